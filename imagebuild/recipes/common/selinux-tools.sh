#!/bin/sh
# Holds when SELinux need not be told of what the arguments change, or can be.
set -eu
# shellcheck disable=SC2154 # set by the recipe
: "${data_directory:=$vendor_data_directory}"

usual() {
    [ "$data_directory" = "$vendor_data_directory" ] || return
    # Only some of the recipes say more of their servers.
    [ -z "${vendor_port:-}" ] ||
        { [ "$port" = "$vendor_port" ] && [ -z "$configuration_file" ]; }
}

# shellcheck disable=SC2154 # set by the recipe
if [ ! -e /etc/selinux/config ] || [ -z "$selinux_type" ] || usual ||
    command -v semanage > /dev/null; then
    exit 0
fi
echo 'semanage is not installed' >&2
exit 1
