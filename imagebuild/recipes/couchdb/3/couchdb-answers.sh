#!/bin/sh
# What the package would ask: it is not to configure anything itself.
set -eu
if dpkg-query -W -f '${Status}' couchdb 2> /dev/null | grep -q ' installed$'
then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo 'couchdb is not installed' >&2
    exit 1
fi
debconf-set-selections << 'END'
couchdb couchdb/mode select none
couchdb couchdb/mode seen true
END
