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
# devstack/plugin.sh
# What devstack calls: which phase does what. The work is in lib/imagebuild.

# shellcheck source=devstack/lib/imagebuild
source "$IMAGEBUILD_DIR/devstack/lib/imagebuild"

# Heat's engine may be on another host than the service.
if is_service_enabled imagebuild-api imagebuild-conductor h-eng; then
    case "$1${2:+ $2}" in
        "stack pre-install")
            echo_summary "Checking what imagebuild needs"
            check_imagebuild
            ;;
        "stack install")
            echo_summary "Installing imagebuild"
            install_imagebuild
            ;;
        "stack post-config")
            echo_summary "Configuring imagebuild"
            if is_imagebuild_enabled; then
                configure_imagebuild
                create_imagebuild_accounts
            fi
            configure_imagebuild_in_heat
            ;;
        "stack extra")
            # Heat's own plugin rewrites heat.conf in post-config; where it
            # comes after this one, its engine starts after this.
            configure_imagebuild_in_heat
            if is_imagebuild_enabled; then
                echo_summary "Starting imagebuild"
                init_imagebuild
                start_imagebuild
            fi
            ;;
        "stack test-config")
            if is_service_enabled tempest; then
                echo_summary "Configuring Tempest for imagebuild"
                configure_imagebuild_in_tempest
            fi
            ;;
        "unstack")
            if is_imagebuild_enabled; then
                stop_imagebuild
            fi
            ;;
        "clean")
            if is_imagebuild_enabled; then
                cleanup_imagebuild
            fi
            ;;
    esac
fi
