# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Servers whose packages Debian has, and how to talk to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.integration.datastore_cases import SECRET

MARIADB = r"""
set -eu
start() {
    mkdir -p /run/mysqld
    chown mysql /run/mysqld
    runuser -u mysql -- /usr/sbin/mariadbd > /tmp/log 2>&1 &
    server=$!
    for attempt in $(seq 1000); do
        if mariadb-admin ping > /dev/null 2>&1; then return; fi
        sleep 0.2
    done
    cat /tmp/log >&2
    exit 1
}
say() { MYSQL_PWD=$root_password mariadb -N -u root "$@"; }
start
say -h 127.0.0.1 -P 3307 -e 'CREATE DATABASE d; CREATE TABLE d.t (a INT);
    INSERT INTO d.t VALUES (42)'
# Nobody else gets in.
if MYSQL_PWD=wrong mariadb -u root -h 127.0.0.1 -P 3307 -e 'SELECT 1'; then
    exit 1
fi
if runuser -u nobody -- mariadb -u root -e 'SELECT 1'; then exit 1; fi
say -e 'SHUTDOWN'
wait "$server"
start
say -e 'SELECT a, @@datadir, @@version FROM d.t'
say -e 'SHUTDOWN'
wait "$server"
"""
POSTGRESQL = r"""
set -eu
export PGCTLTIMEOUT=250
say() {
    PGPASSWORD=$root_password psql -h 127.0.0.1 -p 5433 -U postgres -tA \
        -v ON_ERROR_STOP=1 "$@"
}
pg_ctlcluster 15 main start
say -c 'CREATE TABLE t (a INT)' -c 'INSERT INTO t VALUES (42)'
if PGPASSWORD=wrong psql -h 127.0.0.1 -p 5433 -U postgres -c 'SELECT 1'; then
    exit 1
fi
pg_ctlcluster 15 main stop -m fast
pg_ctlcluster 15 main start
say -c 'SELECT a FROM t' -c 'SHOW data_directory' -c 'SHOW server_version'
runuser -u postgres -- psql -p 5433 -tAc 'SELECT 1'
pg_ctlcluster 15 main stop -m fast
"""
REDIS = r"""
set -eu
start() {
    runuser -u redis -- redis-server /etc/redis/redis.conf &
    server=$!
    for attempt in $(seq 2000); do
        if redis-cli -p 6380 ping > /dev/null 2>&1; then return; fi
        sleep 0.1
    done
    exit 1
}
say() { REDISCLI_AUTH=$password redis-cli -p 6380 "$@"; }
start
say set answer 42
redis-cli -p 6380 get answer | grep NOAUTH
say shutdown save || :
wait "$server"
start
say get answer
say config get dir
say info server | grep redis_version
say shutdown nosave || :
wait "$server"
"""


@dataclasses.dataclass(frozen=True)
class Real:
    """A recipe whose packages Debian has.

    :ivar talk: starts the server, inserts, restarts, reads.
    :ivar answers: what is found in what it prints.
    """

    version: str
    values: Mapping[str, str]
    talk: str
    answers: tuple[str, ...]


REAL = {
    'mariadb': Real(
        '10.11',
        {
            'data-directory': '/srv/mariadb',
            'configuration-file': '/srv/conf/mariadb.cnf',
            'port': '3307',
            'root-password': SECRET,
        },
        MARIADB,
        ('42\t/srv/mariadb/\t10.11.',),
    ),
    'postgresql': Real(
        '15',
        {
            'data-directory': '/srv/postgresql',
            'configuration-file': '/srv/conf/postgresql.conf',
            'port': '5433',
            'clients': '10.0.0.0/8',
            'root-password': SECRET,
        },
        POSTGRESQL,
        ('42\n', '/srv/postgresql\n', '15.'),
    ),
    'redis': Real(
        '7',
        {
            'data-directory': '/srv/redis',
            'configuration-file': '/srv/conf/redis.conf',
            'port': '6380',
            'password': SECRET,
            'service': 'disabled',
        },
        REDIS,
        ('42\n', '/srv/redis\n', 'redis_version:7.'),
    ),
}
