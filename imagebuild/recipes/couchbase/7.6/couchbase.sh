#!/bin/sh
# A link leads to the data, and the configuration names the port.
set -eu
# shellcheck disable=SC2154 # set by the recipe
line="{rest_port, $port}."

linked() {
    # shellcheck disable=SC2154
    [ "$data_directory" = "$vendor_data_directory" ] ||
        [ "$(readlink -- "$vendor_data_directory")" = "$data_directory" ]
}

# shellcheck disable=SC2154
if linked && grep -qxF "$line" "$vendor_configuration"; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo "no link leads to $data_directory, or the port is not $port" >&2
    exit 1
fi
if ! linked; then
    if [ -d "$vendor_data_directory" ] && [ ! -L "$vendor_data_directory" ]
    then
        # Nothing may be in it yet.
        rmdir -- "$vendor_data_directory"
    fi
    mkdir -p -- "${vendor_data_directory%/*}"
    ln -sfn -- "$data_directory" "$vendor_data_directory"
fi
sed -i '/^{rest_port,/d' "$vendor_configuration"
printf '%s\n' "$line" >> "$vendor_configuration"
