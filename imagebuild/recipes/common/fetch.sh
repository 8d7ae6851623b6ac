#!/bin/sh
# A file is fetched, unless what it is for is there already.
set -eu
# shellcheck disable=SC2154 # set by the recipe
if [ -e "$fetched_for" ]; then
    exit 0
fi
good() {
    # shellcheck disable=SC2154
    printf '%s  %s\n' "$archive_sha256" "$fetched_file" |
        sha256sum -c > /dev/null 2>&1
}
if [ "$test_only" -eq 1 ]; then
    echo "$fetched_for is not there" >&2
    exit 1
fi
if good; then
    exit 0
fi
# shellcheck disable=SC2154
if [ -z "$archive" ]; then
    echo 'the argument archive is empty: its vendor gives the file to you only' >&2
    exit 1
fi
mkdir -p -- "${fetched_file%/*}"
# shellcheck disable=SC2154
case $archive in
file://*) cp -- "${archive#file://}" "$fetched_file" ;;
*)
    if command -v curl > /dev/null; then
        curl -fsSL --retry 2 --proto '=http,https' -o "$fetched_file" \
            -- "$archive"
    elif [ -x /usr/lib/apt/apt-helper ]; then
        /usr/lib/apt/apt-helper -q download-file "$archive" \
            "$fetched_file" > /dev/null
    else
        python3 -c 'import sys, urllib.request
urllib.request.urlretrieve(sys.argv[1], sys.argv[2])' "$archive" \
            "$fetched_file"
    fi
    ;;
esac || {
    echo "the argument archive: $archive cannot be fetched" >&2
    exit 1
}
if ! good; then
    found=$(sha256sum "$fetched_file")
    rm -f -- "$fetched_file"
    echo "the argument archive: $archive is another file, its SHA-256 is" \
        "${found%% *}" >&2
    exit 1
fi
