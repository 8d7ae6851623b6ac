#!/bin/bash
# Who is let in, and the password of the user postgres.
set -euo pipefail

# shellcheck disable=SC2154 # set by the recipe
data=${data_directory:-$vendor_data_directory}
# shellcheck disable=SC2154
if [ -n "$main_configuration" ]; then
    configuration=${main_configuration%/*}
else
    configuration=$data
fi
hba=$configuration/pg_hba.conf
mark=/var/lib/imagebuild/postgresql-root

# With a salt: what is kept does not give the password away.
# shellcheck disable=SC2154
digest() {
    printf '%s:%s:%s' "$1" "$data" "$root_password" | sha256sum |
        cut -d' ' -f1
}

has_password() {
    [ -z "$root_password" ] && [ ! -e "$mark" ] && return
    [ -f "$mark" ] && read -r salt kept < "$mark" &&
        [ "$(digest "$salt")" = "$kept" ]
}

# shellcheck disable=SC2154
line=${clients:+"host all all $clients scram-sha-256 # imagebuild"}

lets_in() {
    [ "$(grep ' # imagebuild$' "$hba" || :)" = "$line" ]
}

if has_password && lets_in; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo 'the user postgres has another password, or other clients are let' \
        'in' >&2
    exit 1
fi
case $clients in
*[!0-9a-fA-F.:/a-z-]*)
    echo 'the argument clients is not a network' >&2
    exit 1
    ;;
esac
case $root_password in
*$'\n'*)
    echo 'the password holds a line break' >&2
    exit 1
    ;;
esac
if ! lets_in; then
    sed -i '/ # imagebuild$/d' "$hba"
    if [ -n "$line" ]; then
        printf '%s\n' "$line" >> "$hba"
    fi
fi
if ! has_password; then
    password=NULL
    if [ -n "$root_password" ]; then
        password="'${root_password//\'/\'\'}'"
    fi
    # By a pipe, and in no log.
    # shellcheck disable=SC2154
    printf 'ALTER ROLE postgres PASSWORD %s\n' "$password" |
        runuser -u postgres -- "$program_directory/postgres" --single \
            -D "$configuration" -c log_min_error_statement=panic \
            -c log_statement=none postgres > /dev/null
    mkdir -p "${mark%/*}"
    salt=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    (umask 077 && printf '%s %s\n' "$salt" "$(digest "$salt")" > "$mark")
fi
