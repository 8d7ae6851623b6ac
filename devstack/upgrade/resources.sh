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

set -o xtrace

NAME=imagebuild-grenade

function create {
    local build
    build=$(openstack image build create "$NAME" --os fake --wait \
        -f value -c id)
    resource_save imagebuild build "$build"
    resource_save imagebuild image \
        "$(openstack image build show "$build" -f value -c image_id)"
}

function verify {
    local status
    status=$(openstack image build show "$(resource_get imagebuild build)" \
        -f value -c status)
    [[ $status == active ]] \
        || die $LINENO "the build of the old release is $status"
    # And a new one can be made.
    openstack image build create "$NAME-$RANDOM" --os fake --reuse never \
        --wait -f value -c id
}

# Without the API: the image is Glance's, and is there all the time.
function verify_noapi {
    openstack image show "$(resource_get imagebuild image)" -f value -c status
}

function destroy {
    openstack image build delete "$(resource_get imagebuild build)"
}

case $1 in
    early_create | force_destroy) ;;
    create | verify | verify_noapi | destroy) "$1" ;;
    *) die $LINENO "unknown phase $1" ;;
esac
