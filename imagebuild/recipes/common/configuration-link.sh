#!/bin/sh
# A link leads from where the server looks for its configuration to where it
# is kept. What was kept elsewhere before is moved.
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
if [ -e "$configuration_file" ] && { [ ! -f "$configuration_file" ] ||
    ! grep -q '^[#;%] Written by imagebuild' "$configuration_file"; }; then
    echo "the argument configuration-file is $configuration_file, where" \
        'there is something else already' >&2
    exit 1
fi
mkdir -p -- "${configuration_file%/*}/" "${vendor_configuration%/*}/"
before=$(readlink -f -- "$vendor_configuration") || before=
case $before in
"$configuration_file") ;;
/usr/*) cp -p -- "$before" "$configuration_file" ;;
*)
    if [ -f "$before" ]; then
        # What is to stand there is written next.
        mv -- "$before" "$configuration_file"
    elif [ ! -e "$configuration_file" ]; then
        : > "$configuration_file"
    fi
    ;;
esac
ln -sfn -- "$configuration_file" "$vendor_configuration"
