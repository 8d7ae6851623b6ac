#!/bin/sh
# Holds when SELinux need not be told of the data directory, or can be.
set -eu
# shellcheck disable=SC2154 # set by the recipe
: "${data_directory:=$vendor_data_directory}"
# shellcheck disable=SC2154 # set by the recipe
if [ ! -e /etc/selinux/config ] || [ -z "$selinux_type" ] ||
    [ "$data_directory" = "$vendor_data_directory" ] ||
    command -v semanage > /dev/null; then
    exit 0
fi
echo 'semanage is not installed' >&2
exit 1
