#!/bin/sh
# The first of the packages has the version that the recipe is for.
set -eu
# shellcheck disable=SC2154 # set by the recipe
package=${packages%% *}
case $distro_family in
debian) found=$(dpkg-query -W -f '${Version}' "$package") ;;
*) found=$(rpm -q --qf '%{VERSION}\n' --whatprovides "$package" | head -n 1) ;;
esac
found=${found#*:}
# shellcheck disable=SC2154
case $found in
"$datastore_version" | "$datastore_version"[!0-9]*) ;;
*)
    echo "$package is of version $found, not $datastore_version: another" \
        'package-source may have it; one that an image has already stays' >&2
    exit 1
    ;;
esac
