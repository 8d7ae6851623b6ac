#!/bin/sh
# No other server of MySQL's family is there: the package manager would remove
# it, and they would share a data directory.
set -eu

installed() {
    # shellcheck disable=SC2154 # set by every run
    case $distro_family in
    debian)
        state=$(dpkg-query -W -f '${Status}' "$1" 2> /dev/null) || return 1
        [ "${state##* }" = installed ]
        ;;
    *) rpm -q "$1" > /dev/null ;;
    esac
}

for other in mariadb-server MariaDB-server mysql-server \
    mysql-community-server percona-server-server \
    percona-xtradb-cluster-server; do
    # shellcheck disable=SC2154 # set by the recipe
    case " $packages " in
    *" $other "* | *" ${other%-server} "*) continue ;;
    esac
    if installed "$other"; then
        echo "the image has $other already, which cannot be there together" \
            "with ${packages%% *}" >&2
        exit 1
    fi
done
