#!/bin/sh
# SELinux, where it is installed, lets the server read its configuration,
# wherever that is kept, and listen on its port.
set -eu
if [ ! -e /etc/selinux/config ]; then
    exit 0
fi

# shellcheck disable=SC2154 # set by the recipe
pattern=$(printf '%s' "$configuration_file" | sed 's/[.+]/\\&/g')

readable() {
    [ -z "$configuration_file" ] ||
        semanage fcontext -l -C | grep -F "$pattern " | grep -qF ':etc_t:'
}

open() {
    # shellcheck disable=SC2154
    [ "$port" = "$vendor_port" ] || semanage port -l -C |
        grep -qE "^$selinux_port_type +tcp +(.*, )?$port(,|\$)"
}

if readable && open; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo "SELinux does not know the port $port or $configuration_file" >&2
    exit 1
fi
# -N: no policy is loaded here. Labels come when the machine starts.
if ! readable; then
    semanage fcontext -N -a -f f -t etc_t "$pattern" ||
        semanage fcontext -N -m -f f -t etc_t "$pattern"
    : > /.autorelabel
fi
if ! open; then
    semanage port -N -a -t "$selinux_port_type" -p tcp "$port" ||
        semanage port -N -m -t "$selinux_port_type" -p tcp "$port"
fi
