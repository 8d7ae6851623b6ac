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

# The new release, where devstack's plugins of the target are cloned to; this
# one is grenade's own clone, which is of the same branch.
IMAGEBUILD_DIR=$TARGET_RELEASE_DIR/imagebuild
if [[ ! -e $IMAGEBUILD_DIR/devstack/settings ]]; then
    IMAGEBUILD_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fi
source "$IMAGEBUILD_DIR/devstack/settings"
source "$IMAGEBUILD_DIR/devstack/lib/imagebuild"

set -o xtrace

stack_install_service imagebuild
# Configuration stays as the old release left it: that has to do. But heat.conf
# names the old release's checkout.
configure_imagebuild_in_heat
# Heat's engine may be on a host without anything else of imagebuild.
if is_imagebuild_enabled; then
    # As other projects do: to look at, or to go back to.
    if [[ ! -d $SAVE_DIR/etc.imagebuild ]]; then
        cp -pr "$IMAGEBUILD_CONF_DIR" "$SAVE_DIR/etc.imagebuild"
    fi
    upgrade_imagebuild
    start_imagebuild
    services=
    if is_service_enabled imagebuild-api; then
        services+=" imagebuild-api"
    fi
    if is_service_enabled imagebuild-conductor; then
        services+=" $(_imagebuild_conductors | tr '\n' ' ')"
    fi
    # Names, with blanks between them.
    # shellcheck disable=SC2086
    ensure_services_started $services
fi

# Heat, if it was upgraded before, has loaded the old release's resource type.
if is_service_enabled h-eng && $SYSTEMCTL is-active --quiet devstack@h-eng
then
    restart_service devstack@h-eng
fi
