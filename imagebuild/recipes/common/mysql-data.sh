#!/bin/bash
# The data directory holds a database, whose root has a password or comes
# from the machine's root only.
set -euo pipefail

# shellcheck disable=SC2154 # set by the recipe
mark=/var/lib/imagebuild/mysql-root

# With a salt: what is kept does not give the password away.
# shellcheck disable=SC2154
digest() {
    printf '%s:%s:%s' "$1" "$data_directory" "$root_password" | sha256sum |
        cut -d' ' -f1
}

prepared() {
    # shellcheck disable=SC2154
    [ -d "$data_directory/mysql" ] && [ -f "$mark" ] &&
        read -r salt kept < "$mark" && [ "$(digest "$salt")" = "$kept" ]
}

if prepared; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo "$data_directory holds no database, or root has another password" >&2
    exit 1
fi
case $root_password in
*$'\n'*)
    echo 'the password of root holds a line break' >&2
    exit 1
    ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' HUP INT TERM
chown mysql "$scratch"
if [ ! -d "$data_directory/mysql" ]; then
    # shellcheck disable=SC2154
    if [ -n "$install_program" ]; then
        "$install_program" --no-defaults --user=mysql \
            --datadir="$data_directory" --skip-test-db > "$scratch/log" 2>&1
    else
        "$server_program" --no-defaults --user=mysql \
            --datadir="$data_directory" --initialize-insecure \
            > "$scratch/log" 2>&1
    fi || {
        tail -n 20 "$scratch/log" >&2
        exit 1
    }
fi

# The server takes the statements from a pipe, so that no disk holds them.
password=${root_password//\\/\\\\}
password=${password//\'/\\\'}
if [ -n "$install_program" ]; then
    way='unix_socket'
    if [ -n "$password" ]; then
        way="unix_socket OR mysql_native_password USING PASSWORD('$password')"
    fi
    way="VIA $way"
    plugin=()
else
    plugin=(--plugin-load-add=auth_socket.so)
    way='WITH auth_socket'
    if [ -n "$password" ]; then
        way="BY '$password'"
    fi
fi
mkfifo -m 600 "$scratch/statements"
chown mysql "$scratch/statements"
(
    printf "ALTER USER 'root'@'localhost' IDENTIFIED %s;\n" "$way"
    printf 'SHUTDOWN;\n'
) > "$scratch/statements" &
writer=$!
# Without the configuration: it may want other nodes, or a log elsewhere.
if ! timeout 300 "$server_program" --no-defaults --user=mysql \
    --datadir="$data_directory" --skip-networking --skip-log-bin \
    --loose-mysqlx=OFF "${plugin[@]}" \
    --socket="$scratch/socket" --pid-file="$scratch/pid" \
    --init-file="$scratch/statements" > "$scratch/log" 2>&1; then
    # TERM is lost on a child that has not put our traps off yet; it would make
    # a file of what is to be in no file. Without "Killed" among the messages.
    disown "$writer" 2> /dev/null || :
    kill -KILL "$writer" 2> /dev/null || :
    grep -v 'ALTER USER' "$scratch/log" | tail -n 20 >&2 || :
    echo "the server could not be started with $data_directory" >&2
    exit 1
fi
wait "$writer"
if grep -q 'ERROR.*\(ALTER\|syntax\|init\)' "$scratch/log"; then
    echo 'the password of root could not be set' >&2
    exit 1
fi
mkdir -p "${mark%/*}"
salt=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
(umask 077 && printf '%s %s\n' "$salt" "$(digest "$salt")" > "$mark")
