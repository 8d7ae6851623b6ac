#!/bin/bash
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
#
# devstack/upgrade/upgrade.sh
# Installs the new release, brings the tables to it and starts it.

set -o errexit

source "$GRENADE_DIR/grenaderc"
source "$GRENADE_DIR/functions"

source "$TARGET_DEVSTACK_DIR/stackrc"
source "$TARGET_DEVSTACK_DIR/lib/tls"
source "$TARGET_DEVSTACK_DIR/lib/apache"
source "$TARGET_DEVSTACK_DIR/lib/rpc_backend"

IMAGEBUILD_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$IMAGEBUILD_DIR/devstack/settings"
source "$IMAGEBUILD_DIR/devstack/lib/imagebuild"

set -o xtrace

install_imagebuild
# Configuration stays as the old release left it: that has to do.
upgrade_imagebuild
start_imagebuild

ensure_services_started imagebuild-api imagebuild-conductor
