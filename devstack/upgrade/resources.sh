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
# devstack/upgrade/resources.sh
# A build that is made before the upgrade and has to be there after it.

set -o errexit

source "$GRENADE_DIR/grenaderc"
source "$GRENADE_DIR/functions"
source "$TOP_DIR/openrc" admin admin

IMAGEBUILD_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$IMAGEBUILD_DIR/devstack/settings"
source "$IMAGEBUILD_DIR/devstack/lib/imagebuild"

set -o xtrace

NAME=imagebuild-grenade

# Make a build and print its id: the command prints its progress, too
# _build name always|never
function _build {
    openstack image build create "$1" --os fake --reuse "$2" --wait \
        -f value -c id >&2
    openstack image build list --name "$1" --limit 1 -f value -c ID
}

function create {
    local build
    build=$(_build "$NAME" always)
    [[ -n $build ]] || die $LINENO "there is no build $NAME"
    resource_save imagebuild build "$build"
    resource_save imagebuild image \
        "$(openstack image build show "$build" -f value -c image_id)"
}

# verify pre-upgrade|post-upgrade
function verify {
    local build status again
    build=$(resource_get imagebuild build)
    status=$(openstack image build show "$build" -f value -c status)
    [[ $status == active ]] \
        || die $LINENO "the build that was made before is $status"
    status=$(openstack image show "$(resource_get imagebuild image)" \
        -f value -c status)
    [[ $status == active ]] \
        || die $LINENO "the image that was made before is $status"
    openstack image build log "$build" >/dev/null
    if [[ ${1:-} == post-upgrade ]]; then
        # And the new release builds.
        again=$(_build "$NAME-again" never)
        resource_save imagebuild again "$again"
    fi
}

# All services are down, Keystone and Glance, too: the database is not.
function verify_noapi {
    "$IMAGEBUILD_BIN_DIR/imagebuild-manage" \
        --config-file "$IMAGEBUILD_CONF" db version
}

# May be done again
function destroy {
    local key build
    for key in again build; do
        build=$(resource_get imagebuild "$key")
        if [[ -n $build ]]; then
            openstack image build delete --wait "$build"
            resource_save imagebuild "$key" ""
        fi
    done
}

if ! is_service_enabled imagebuild-api; then
    echo "imagebuild-api is not enabled here: nothing to do in phase $1"
    exit 0
fi

case $1 in
    early_create | force_destroy) ;;
    create | verify | verify_noapi | destroy) "$@" ;;
    *) die $LINENO "unknown phase $1" ;;
esac
