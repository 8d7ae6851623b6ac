#!/bin/sh
# The data directory holds a database cluster, which reads our configuration.
set -eu

# shellcheck disable=SC2154 # set by the recipe
data=${data_directory:-$vendor_data_directory}
# In the data directory, unless the distribution keeps it apart.
# shellcheck disable=SC2154
main=${main_configuration:-$data/postgresql.conf}

fail() {
    echo "$@" >&2
    exit 1
}

moved() {
    [ -z "$main_configuration" ] ||
        grep -qxF "data_directory = '$data'" "$main"
}

included() {
    # shellcheck disable=SC2154
    [ -n "$main_configuration" ] ||
        grep -qxF "include_if_exists = '$vendor_configuration'" "$main"
}

if [ -f "$data/PG_VERSION" ]; then
    version=$(cat -- "$data/PG_VERSION")
    # shellcheck disable=SC2154
    [ "$version" = "$datastore_version" ] ||
        fail "$data holds a database cluster of PostgreSQL $version, which" \
            "$datastore_version does not read"
fi
if [ "$test_only" -eq 1 ]; then
    [ -f "$data/PG_VERSION" ] || fail "$data holds no database cluster"
    moved || fail "$main does not name $data"
    included || fail "$main does not include $vendor_configuration"
    exit 0
fi
if [ ! -f "$data/PG_VERSION" ]; then
    mkdir -p -- "$data"
    if [ -f "$vendor_data_directory/PG_VERSION" ]; then
        # The package has made it.
        cp -a -- "$vendor_data_directory/." "$data"
        rm -rf -- "$vendor_data_directory"
    else
        chown postgres:postgres "$data"
        # shellcheck disable=SC2154
        runuser -u postgres -- "$program_directory/initdb" -D "$data" \
            --auth-local=peer --auth-host=scram-sha-256 > /dev/null
    fi
fi
if ! moved; then
    sed -i '/^[[:space:]]*data_directory[[:space:]]*=/d' "$main"
    printf "data_directory = '%s'\n" "$data" >> "$main"
fi
if ! included; then
    printf "include_if_exists = '%s'\n" "$vendor_configuration" >> "$main"
fi
