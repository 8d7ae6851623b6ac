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

from collections.abc import Mapping
from typing import Any

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
echo %s > "$2/PG_VERSION"
echo "# the vendor's" > "$2/postgresql.conf"
echo 'local all all peer' > "$2/pg_hba.conf"
"""
POSTGRES = """\
#!/bin/sh
[ "$1 $2" = '--single -D' ] || exit 1
sha256sum > /var/lib/%s/hash
"""


def postgresql_deb(version: str, release: str) -> Package:
    """The package makes a cluster, and configures it elsewhere."""
    programs = f'/usr/lib/postgresql/{version}/bin'
    return Package(
        f'postgresql-{version}',
        f'{version}.{release}.pgdg120+1',
        {
            f'{programs}/initdb': INITDB % version,
            f'{programs}/postgres': POSTGRES % 'postgresql',
            '/usr/lib/systemd/system/postgresql.service': unit(
                '/bin/true', 'root'
            ),
            f'/etc/postgresql/{version}/main/postgresql.conf': (
                f"data_directory = '/var/lib/postgresql/{version}/main'\n"
                "include_dir = 'conf.d'\n"
            ),
            f'/etc/postgresql/{version}/main/pg_hba.conf': (
                'local all all peer\n'
            ),
            f'/var/lib/postgresql/{version}/main/PG_VERSION': f'{version}\n',
        },
        users=('postgres',),
        directories={'/var/lib/postgresql': 'postgres:postgres'},
    )


def postgresql_rpm(
    name: str, version: str, programs: str, service: str
) -> Package:
    """The package makes no cluster.

    :param version: with a release.
    """
    return Package(
        name,
        version,
        {
            f'{programs}/initdb': INITDB % version.partition('.')[0],
            f'{programs}/postgres': POSTGRES % 'pgsql',
            f'/usr/lib/systemd/system/{service}.service': unit(
                f'{programs}/postgres', 'postgres'
            ),
        },
        users=('postgres',),
        directories={'/var/lib/pgsql': 'postgres:postgres'},
    )


def mysql_like(
    name: str,
    version: str,
    service: str,
    *,
    mariadb: bool = False,
    epoch: int = 0,
    directory: str = '/usr/sbin',
) -> Package:
    """A server of MySQL's family."""
    server = 'mariadbd' if mariadb else 'mysqld'
    files = {
        f'{directory}/{server}': MYSQLD,
        f'/usr/lib/systemd/system/{service}.service': unit(
            f'{directory}/{server}', 'mysql'
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


#: Cassandra's packages have no unit.
INIT_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: cassandra
# Required-Start: $remote_fs $network
# Required-Stop: $remote_fs $network
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: cassandra
### END INIT INFO
"""

VERSIONS = {
    'cassandra': '4.1.7',
    'couchbase-server-community': '7.6.2',
    'couchdb': '3.3.3',
    'mongodb-org-server': '7.0.15',
    'mysql-community-server': '8.0.40',
    'percona-server-server': '8.0.39',
    'percona-xtradb-cluster': '8.0.37',
    'vertica': '24.1.0',
}


#: Of those that there are recipes of two versions for.
LATER_VERSIONS = {
    'cassandra': '5.0.2',
    'mongodb-org-server': '8.0.4',
    'mysql-community-server': '8.4.3',
}


def vendors_only(
    release: str,
    *,
    redhat: bool,
    versions: Mapping[str, str] = VERSIONS,
) -> tuple[Package, ...]:
    """What neither family's distribution carries.

    :param release: what follows a version.
    :param versions: of the packages.
    """

    def package(name: str, **kw: Any) -> Package:
        return Package(name, f'{versions[name]}-{release}', **kw)

    mongodb = 'mongod' if redhat else 'mongodb'
    data = '/var/lib/mongo' if redhat else '/var/lib/mongodb'
    conf = '/etc/cassandra' + ('/default.conf' if redhat else '')
    return (
        mysql_like(
            'mysql-community-server',
            f'{versions["mysql-community-server"]}-{release}',
            'mysqld' if redhat else 'mysql',
        ),
        Package('mysql-community-client', f'8.0.40-{release}'),
        mysql_like(
            'percona-server-server',
            f'{versions["percona-server-server"]}-{release}',
            'mysqld' if redhat else 'mysql',
        ),
        mysql_like(
            'percona-xtradb-cluster',
            f'{versions["percona-xtradb-cluster"]}-{release}',
            'mysql',
        ),
        package(
            'mongodb-org-server',
            files={
                '/usr/bin/mongod': '#!/bin/sh\n',
                '/etc/mongod.conf': "# the vendor's\n",
                '/usr/lib/systemd/system/mongod.service': unit(
                    '/usr/bin/mongod --config /etc/mongod.conf', mongodb
                ),
            },
            users=(mongodb,),
            directories={data: f'{mongodb}:{mongodb}'},
        ),
        Package('mongodb-mongosh', f'2.3.3-{release}'),
        Package('mongodb-org-tools', f'7.0.15-{release}'),
        package(
            'cassandra',
            files={
                '/usr/sbin/cassandra': '#!/bin/sh\n',
                '/etc/init.d/cassandra': INIT_SCRIPT,
                f'{conf}/cassandra.yaml': "# the vendor's\n",
            },
            users=('cassandra',),
            directories={'/var/lib/cassandra': 'cassandra:cassandra'},
        ),
        package(
            'couchbase-server-community',
            files={
                '/opt/couchbase/bin/couchbase-server': '#!/bin/sh\n',
                '/opt/couchbase/etc/couchbase/static_config': (
                    '{error_logger_mf_dir, "/opt/couchbase/logs"}.\n'
                    '{rest_port, 8091}.\n'
                ),
                '/usr/lib/systemd/system/couchbase-server.service': unit(
                    '/opt/couchbase/bin/couchbase-server', 'couchbase'
                ),
            },
            users=('couchbase',),
            directories={
                '/opt/couchbase/var/lib/couchbase/data': 'couchbase:couchbase'
            },
        ),
        package(
            'couchdb',
            files={
                '/opt/couchdb/bin/couchdb': '#!/bin/sh\n',
                '/opt/couchdb/etc/local.d/README': 'local.d\n',
                '/usr/lib/systemd/system/couchdb.service': unit(
                    '/opt/couchdb/bin/couchdb', 'couchdb'
                ),
            },
            users=('couchdb',),
            directories={'/var/lib/couchdb': 'couchdb:couchdb'},
        ),
    )


def vertica(release: str) -> Package:
    """Vertica's one package, which its vendor gives to customers."""
    return Package(
        'vertica',
        f'{VERSIONS["vertica"]}-{release}',
        {
            '/opt/vertica/bin/vertica': '#!/bin/sh\n',
            '/opt/vertica/sbin/install_vertica': '#!/bin/sh\n',
        },
        needs=('dialog',),
    )


#: What is in IBM's archive, and what that makes.
DB2 = {
    'server_dec/db2_install': """\
#!/bin/sh
[ "$1 $3 $4 $5 $6" = '-b -p SERVER -n -y' ] || exit 1
mkdir -p "$2/bin" "$2/instance"
cp "$(dirname "$0")/db2icrt" "$2/instance/db2icrt"
""",
    'server_dec/db2icrt': """\
#!/bin/sh
[ "$1 $2 $3 $5" = '-u db2fenc1 -p db2inst1' ] || exit 1
mkdir -p /home/db2inst1/sqllib/adm
cat > /home/db2inst1/sqllib/db2profile << 'END'
db2set() { echo "$@" >> sqllib/calls; }
db2() { echo "$@" >> sqllib/calls; }
END
chown -R db2inst1:db2iadm1 /home/db2inst1/sqllib
""",
}

DEBS = (
    mysql_like(
        'mariadb-server',
        '11.4.4+maria~deb12',
        'mariadb',
        mariadb=True,
        epoch=1,
    ),  # fmt: skip
    Package('mariadb-backup', '11.4.4+maria~deb12', epoch=1),
    postgresql_deb('16', '6-1'),
    *vendors_only('1', redhat=False),
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
    *vendors_only('1.el9', redhat=True),
    mysql_like('MariaDB-server', '11.4.4-1.el9', 'mariadb', mariadb=True),
    Package('MariaDB-backup', '11.4.4-1.el9'),
    *(
        postgresql_rpm(
            f'postgresql{version}-server',
            f'{version}.6-1PGDG.rhel9',
            f'/usr/pgsql-{version}/bin',
            f'postgresql-{version}',
        )
        for version in ('15', '16')
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
)


def later(release: str, *, redhat: bool) -> tuple[Package, ...]:
    """The later versions, and what they need beside them."""
    versions = {**VERSIONS, **LATER_VERSIONS}
    beside = (
        *('mysql-community-client', 'mongodb-mongosh', 'mongodb-org-tools'),
        *LATER_VERSIONS,
    )
    return tuple(
        package
        for package in vendors_only(release, redhat=redhat, versions=versions)
        if package.name in beside
    )


LATER_DEBS = (*later('1', redhat=False), postgresql_deb('17', '2-1'))
LATER_RPMS = (
    *later('1.el9', redhat=True),
    postgresql_rpm(
        'postgresql17-server',
        '17.2-1PGDG.rhel9',
        '/usr/pgsql-17/bin',
        'postgresql-17',
    ),
)


def for_all_guests(version: str, agent: str) -> tuple[Package, ...]:
    """What a guest agent and a developer's key need of a distribution."""
    return (
        Package(
            agent,
            version,
            {
                f'/usr/lib/systemd/system/{agent}.service': unit(
                    '/bin/true', 'root'
                )
            },
        ),
        Package(
            'cloud-init',
            version,
            {
                '/etc/cloud/cloud.cfg': '# of the distribution\n',
                '/usr/bin/cloud-init': '#!/bin/sh\n',
            },
        ),
        # Newer than any that systemd would not have.
        Package('openssh-server', version, epoch=9),
        Package('sudo', version, {'/usr/sbin/visudo': '#!/bin/sh\n'}),
    )


#: Notes what SELinux is told, as the real one lists it.
SEMANAGE = r"""#!/bin/sh
kind=$1
kept=/var/lib/selinux/$kind
shift
case "$1 $2" in
'-l -C') cat $kept 2> /dev/null; exit 0 ;;
'-N -a') shift 2 ;;
*) exit 1 ;;
esac
mkdir -p ${kept%/*}
case "$kind $1 $2" in
'fcontext -f f') shift 2 ;;
esac
case "$kind $1 $3 $4" in
fcontext\ -t\ *) printf '%s all files system_u:object_r:%s:s0\n' "$3" "$2" ;;
port\ -t\ -p\ tcp) printf '%-30s tcp      %s\n' "$2" "$5" ;;
*) exit 1 ;;
esac >> $kept
"""

#: What comes from the distributions themselves, for those whose vendors have
#: no repository, and for those who want no vendor's.
DISTRIBUTION_DEBS = (
    *(Package(name, '1.0-1') for name in ('dialog', 'libaio1', 'binutils')),
    *for_all_guests('1.0-1', 'trove-guestagent'),
)
DISTRIBUTION_RPMS = (
    *for_all_guests('1.0-1.el9', 'openstack-trove-guestagent'),
    *(Package(name, '1.0-1.el9') for name in ('git-core', 'python3-pip')),
    *(
        Package(name, '1.0-1.el9')
        for name in ('dialog', 'libaio', 'libstdc++', 'binutils')
    ),
    mysql_like(
        'mariadb-server',
        '10.11.10-1.el9',
        'mariadb',
        mariadb=True,
        directory='/usr/libexec',
    ),
    Package('mariadb-backup', '10.11.10-1.el9'),
    postgresql_rpm(
        'postgresql-server', '16.4-1.el9', '/usr/bin', 'postgresql'
    ),
    Package(
        'policycoreutils-python-utils',
        '3.6-1.el9',
        {'/usr/sbin/semanage': SEMANAGE},
    ),
)

#: Every image of Red Hat Enterprise Linux has it; this one notes what it is
#: asked to do, and whether a password came along.
SUBSCRIPTION_MANAGER = r"""#!/bin/sh
log=/var/log/subscription-calls
here=/etc/pki/consumer
case $1 in
identity) [ -e $here ]; exit ;;
register)
    case "$2 $3" in
    --username=me\ --password=?* | --org=us\ --activationkey=?*) ;;
    *) exit 1 ;;
    esac
    mkdir -p $here
    ;;
unregister) rm -r $here ;;
esac
echo "$1" >> $log
"""

#: Suites of the vendors' repositories for apt, with their components.
SUITES = {
    'bookworm': 'main mysql-8.0 bookworm/main',
    'bookworm-pgdg': 'main',
    'bookworm/mongodb-org/7.0': 'main',
    '41x': 'main',
}
LATER_SUITES = {
    'bookworm': 'main mysql-8.4-lts',
    'bookworm-pgdg': 'main',
    'bookworm/mongodb-org/8.0': 'main',
    'noble/mongodb-org/8.0': 'multiverse',
    '50x': 'main',
}


def users() -> set[str]:
    """All users that the packages make."""
    return {
        user
        for package in (*RPMS, *DISTRIBUTION_RPMS)
        for user in package.users
    }
