#!/bin/sh
# Installs what IBM's archive holds.
set -eu
# shellcheck disable=SC2154 # set by the recipe
if [ -e "$fetched_for" ]; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo 'Db2 is not installed' >&2
    exit 1
fi
# shellcheck disable=SC2154
if [ "$license" != accepted ]; then
    echo "Db2 is installed only if its licence is accepted: license" >&2
    exit 1
fi
# shellcheck disable=SC2154
directory=${fetched_file%/*}
tar -xzf "$fetched_file" -C "$directory"
installer=
for file in "$directory"/*/db2_install; do
    installer=$file
done
if [ ! -x "$installer" ]; then
    echo 'the archive holds no db2_install' >&2
    exit 1
fi
"$installer" -b "${fetched_for%/bin}" -p SERVER -n -y
rm -rf "${installer%/*}"
