#!/bin/sh
# The data directory is there, belongs to the server's user, and SELinux,
# where it is installed, knows what it holds.
set -eu

# shellcheck disable=SC2154 # set by the recipe
: "${data_directory:=$vendor_data_directory}"
pattern="$(printf '%s' "$data_directory" | sed 's/[.+]/\\&/g')(/.*)?"

fail() {
    echo "$1" >&2
    exit 1
}

labelled() {
    [ ! -e /etc/selinux/config ] || [ -z "$selinux_type" ] ||
        [ "$data_directory" = "$vendor_data_directory" ] ||
        semanage fcontext -l -C | grep -F "$pattern " |
        grep -qF ":$selinux_type:"
}

found=$(stat -c '%U:%G %a' -- "$data_directory" 2> /dev/null) || found=
if [ "$test_only" -eq 1 ]; then
    [ "$found" = "$data_owner $data_mode" ] ||
        fail "$data_directory is not a directory of $data_owner, mode $data_mode"
    labelled || fail "SELinux does not know $data_directory as $selinux_type"
    exit 0
fi
if [ -e "$data_directory" ] && [ ! -d "$data_directory" ]; then
    fail "$data_directory is not a directory"
fi
mkdir -p -- "$data_directory"
chown -- "$data_owner" "$data_directory"
chmod -- "$data_mode" "$data_directory"
if ! labelled; then
    # -N: no policy is loaded here. Labels come when the machine starts.
    semanage fcontext -N -a -t "$selinux_type" "$pattern" ||
        semanage fcontext -N -m -t "$selinux_type" "$pattern"
    : > /.autorelabel
fi
