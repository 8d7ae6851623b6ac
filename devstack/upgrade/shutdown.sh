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
# devstack/upgrade/shutdown.sh
# Stops the old release; conductors hand back their builds.

set -o errexit

source "$GRENADE_DIR/grenaderc"
source "$GRENADE_DIR/functions"

source "$BASE_DEVSTACK_DIR/functions"
source "$BASE_DEVSTACK_DIR/stackrc"
source "$BASE_DEVSTACK_DIR/lib/tls"
source "$BASE_DEVSTACK_DIR/lib/apache"

IMAGEBUILD_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$IMAGEBUILD_DIR/devstack/settings"
source "$IMAGEBUILD_DIR/devstack/lib/imagebuild"

set -o xtrace

stop_imagebuild

# By the names of their units: stop_process leaves none of them enabled, and
# processes are looked for then.
ensure_services_stopped imagebuild-api imagebuild-conductor
