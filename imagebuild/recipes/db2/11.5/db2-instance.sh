#!/bin/sh
# There is an instance, which listens and knows where databases go.
set -eu
home=/home/db2inst1
mark=$home/sqllib/.imagebuild
# shellcheck disable=SC2154 # set by the recipe
wanted="$port $data_directory"

if [ "$(cat "$mark" 2> /dev/null)" = "$wanted" ]; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo 'there is no instance with this port and directory' >&2
    exit 1
fi
if [ ! -d "$home/sqllib" ]; then
    /opt/ibm/db2/V11.5/instance/db2icrt -u db2fenc1 -p "$port" db2inst1
fi
mkdir -p -- "$data_directory"
chown db2inst1:db2iadm1 "$data_directory"
runuser -l db2inst1 -c "
    . sqllib/db2profile
    db2set DB2COMM=TCPIP
    db2 update dbm cfg using SVCENAME $port DFTDBPATH '$data_directory'
"
printf '%s\n' "$wanted" > "$mark"
