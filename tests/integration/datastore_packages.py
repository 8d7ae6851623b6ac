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
"""The packages that vendors have of their datastores, made for tests.

Names, versions, users, units and paths are the vendors'; the programs in
them are stand-ins that do what the recipes ask of them and can be looked at.
"""

from __future__ import annotations

from tests.integration.vendors import Package


def unit(program: str, user: str, alias: str = '') -> str:
    """A systemd unit."""
    also = f'Alias={alias}\n' if alias else ''
    return (
        f'[Unit]\nDescription=Test\n[Service]\nUser={user}\n'
        f'ExecStart={program}\n[Install]\nWantedBy=multi-user.target\n{also}'
    )


#: What a server of MySQL's family does with the options the recipe gives.
MYSQLD = """\
#!/bin/sh
for option do
    case $option in
    --datadir=*) data=${option#*=} ;;
    --init-file=*) statements=${option#*=} ;;
    --initialize-insecure) mkdir -p "$data/mysql"; echo made; exit 0 ;;
    esac
done
[ -d "$data/mysql" ] || { echo 'ERROR: no data directory' >&2; exit 1; }
# A hash, as the real one keeps.
sed 's/SHUTDOWN;/down/' "$statements" | sha256sum > "$data/mysql/user.hash"
"""
INSTALL_DB = """\
#!/bin/sh
for option do
    case $option in
    --datadir=*) mkdir -p "${option#*=}/mysql" ;;
    esac
done
"""
INITDB = """\
#!/bin/sh
[ "$1" = -D ] || exit 1
echo 16 > "$2/PG_VERSION"
echo "# the vendor's" > "$2/postgresql.conf"
echo 'local all all peer' > "$2/pg_hba.conf"
"""
POSTGRES = """\
#!/bin/sh
[ "$1 $2" = '--single -D' ] || exit 1
sha256sum > /var/lib/pgsql/hash
"""


def mysql_like(
    name: str,
    version: str,
    service: str,
    *,
    mariadb: bool = False,
    epoch: int = 0,
) -> Package:
    """A server of MySQL's family."""
    server = 'mariadbd' if mariadb else 'mysqld'
    files = {
        f'/usr/sbin/{server}': MYSQLD,
        f'/usr/lib/systemd/system/{service}.service': unit(
            f'/usr/sbin/{server}', 'mysql'
        ),
    }
    if mariadb:
        files['/usr/bin/mariadb-install-db'] = INSTALL_DB
    return Package(
        name,
        version,
        files,
        users=('mysql',),
        directories={'/var/lib/mysql': 'mysql:mysql'},
        epoch=epoch,
    )


DEBS = (
    mysql_like(
        'mariadb-server',
        '11.4.4+maria~deb12',
        'mariadb',
        mariadb=True,
        epoch=1,
    ),  # fmt: skip
    Package('mariadb-backup', '11.4.4+maria~deb12', epoch=1),
    Package(
        'postgresql-16',
        '16.6-1.pgdg120+1',
        {
            '/usr/lib/postgresql/16/bin/initdb': INITDB,
            '/usr/lib/postgresql/16/bin/postgres': POSTGRES.replace(
                '/var/lib/pgsql', '/var/lib/postgresql'
            ),
            '/usr/lib/systemd/system/postgresql.service': unit(
                '/bin/true', 'root'
            ),
            '/etc/postgresql/16/main/postgresql.conf': (
                "data_directory = '/var/lib/postgresql/16/main'\n"
                "include_dir = 'conf.d'\n"
            ),
            '/etc/postgresql/16/main/pg_hba.conf': 'local all all peer\n',
            '/var/lib/postgresql/16/main/PG_VERSION': '16\n',
        },
        users=('postgres',),
        directories={'/var/lib/postgresql': 'postgres:postgres'},
    ),
    Package('redis-tools', '7.4.1-1rl1~bookworm1', epoch=6),
    Package('redis-tools', '8.0.0-1rl1~bookworm1', epoch=6),
    *(
        Package(
            'redis-server',
            version,
            {
                '/usr/bin/redis-server': '#!/bin/sh\n',
                '/usr/lib/systemd/system/redis-server.service': unit(
                    '/usr/bin/redis-server /etc/redis/redis.conf', 'redis'
                ),
            },
            users=('redis',),
            directories={'/var/lib/redis': 'redis:redis'},
            needs=(f'redis-tools (= 6:{version})',),
            epoch=6,
        )
        for version in ('7.4.1-1rl1~bookworm1', '8.0.0-1rl1~bookworm1')
    ),
)

RPMS = (
    mysql_like('MariaDB-server', '11.4.4-1.el9', 'mariadb', mariadb=True),
    Package('MariaDB-backup', '11.4.4-1.el9'),
    mysql_like('mariadb-server', '10.11.10-1.el9', 'mariadb', mariadb=True),
    Package('mariadb-backup', '10.11.10-1.el9'),
    Package(
        'postgresql16-server',
        '16.6-1PGDG.rhel9',
        {
            '/usr/pgsql-16/bin/initdb': INITDB,
            '/usr/pgsql-16/bin/postgres': POSTGRES,
            '/usr/lib/systemd/system/postgresql-16.service': unit(
                '/usr/pgsql-16/bin/postgres', 'postgres'
            ),
        },
        users=('postgres',),
        directories={'/var/lib/pgsql': 'postgres:postgres'},
    ),
    Package(
        'postgresql-server',
        '16.4-1.el9',
        {
            '/usr/bin/initdb': INITDB,
            '/usr/bin/postgres': POSTGRES,
            '/usr/lib/systemd/system/postgresql.service': unit(
                '/usr/bin/postgres', 'postgres'
            ),
        },
        users=('postgres',),
        directories={'/var/lib/pgsql': 'postgres:postgres'},
    ),
    Package(
        'redis',
        '7.4.1-1.el9',
        {
            '/usr/bin/redis-server': '#!/bin/sh\n',
            '/usr/lib/systemd/system/redis.service': unit(
                '/usr/bin/redis-server /etc/redis/redis.conf', 'redis'
            ),
        },
        users=('redis',),
        directories={'/var/lib/redis': 'redis:redis'},
    ),
    Package(
        'policycoreutils-python-utils',
        '3.6-1.el9',
        {
            '/usr/sbin/semanage': (
                '#!/bin/sh\n'
                'kept=/var/lib/selinux/fcontext\n'
                'shift\n'
                'case "$1 $2" in\n'
                "'-l -C') cat $kept 2> /dev/null; exit 0 ;;\n"
                'esac\n'
                '[ "$1 $2 $3" = "-N -a -t" ] || exit 1\n'
                'mkdir -p ${kept%/*}\n'
                'printf "%s all files system_u:object_r:%s:s0\\n" '
                '"$5" "$4" >> $kept\n'
            )
        },
    ),
    Package(
        'subscription-manager',
        '1.29-1.el9',
        {
            '/usr/sbin/subscription-manager': (
                '#!/bin/sh\n'
                'log=/var/log/subscription-calls\n'
                'here=/etc/pki/consumer\n'
                'echo "$1" >> $log\n'
                'case $1 in\n'
                'identity) [ -e $here ] ;;\n'
                'register) [ -n "$2$3" ] && mkdir -p $here ;;\n'
                'unregister) rm -r $here ;;\n'
                'esac\n'
            )
        },
    ),
)

#: Suites of the vendors' repositories for apt.
SUITES = {'bookworm': 'main', 'bookworm-pgdg': 'main'}


def users() -> set[str]:
    """All users that the packages make."""
    return {user for package in (*DEBS, *RPMS) for user in package.users}
