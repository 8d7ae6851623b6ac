#!/bin/sh
# Holds when all packages are there, so that nothing has to be fetched.
set -eu
# shellcheck disable=SC2154,SC2086 # names, separated by spaces
if ! rpm -q --whatprovides $packages > /dev/null; then
    echo "not all of these are installed: $packages" >&2
    exit 1
fi
