#!/bin/sh
# A link leads from where the server looks for its configuration to where it
# is kept.
set -eu
# shellcheck disable=SC2154 # set by the recipe
if [ "$configuration_file" = "$vendor_configuration" ] ||
    [ "$(readlink -- "$vendor_configuration")" = "$configuration_file" ]; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo "$vendor_configuration does not lead to $configuration_file" >&2
    exit 1
fi
mkdir -p -- "${configuration_file%/*}/" "${vendor_configuration%/*}/"
if [ -f "$vendor_configuration" ] && [ ! -L "$vendor_configuration" ]; then
    # As the package brought it; what is to stand there is written next.
    mv -- "$vendor_configuration" "$configuration_file"
elif [ ! -e "$configuration_file" ]; then
    : > "$configuration_file"
fi
ln -sfn -- "$configuration_file" "$vendor_configuration"
