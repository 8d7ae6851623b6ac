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
"""Which recipes are packed in tests, on which families, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

SECRET = "Qz7'secret\\9w"


@dataclasses.dataclass(frozen=True)
class Case:
    """A recipe on a family.

    :ivar values: arguments besides those of the family.
    :ivar look: a shell command that succeeds where all is as it must be.
    """

    recipe: str
    version: str
    family: str
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    look: str = 'true'

    def __str__(self) -> str:
        source = self.values.get('package-source', '')
        return f'{self.recipe}-{self.version}-{self.family}-{source}'


ELSEWHERE = {'data-directory': '/srv/db', 'configuration-file': '/srv/conf/c'}
#: Of MySQL and its relatives.
SERVER = {**ELSEWHERE, 'root-password': SECRET, 'port': '3307'}
SERVER_LOOK = (
    'test -f /srv/db/mysql/user.hash &&'
    'grep -q "datadir = /srv/db" /srv/conf/c &&'
    'if [ -d /etc/apt ]; then'
    ' grep -q "/srv/db/.* rwk" /etc/apparmor.d/local/usr.sbin.m*d; fi'
)
SELINUX_LOOK = (
    'cd /var/lib/selinux && grep -q mysqld_db_t fcontext &&'
    'grep -q "/srv/conf/c all files .*:etc_t:" fcontext &&'
    'grep -q "mysqld_port_t .* 3307" port'
)

KEY = (
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFDYWOCYXsx/YEGKrwzFq1h/QsJXCohAlanoz'
    'KzQ9lRc developer'
)
#: What is beside a datastore in a guest of a database service.
GUEST = {
    'guest-agent': 'package',
    'cloud-datasource': 'openstack',
    'developer-key': KEY,
}
GUEST_LOOK = (
    'grep -q ConfigDrive /etc/cloud/cloud.cfg.d/90_imagebuild.cfg &&'
    'grep -q NzaC1lZDI1 /home/developer/.ssh/authorized_keys &&'
    'cd /usr/lib/systemd/system &&'
    'systemctl --root=/ is-enabled *guestagent.service'
)
REGISTERED = 'test "$(echo $(cat /var/log/subscription-calls))" = "%s"'

CASES = [
    Case(
        'mariadb', '11.4', 'debian', {**SERVER, **GUEST},
        f'{SERVER_LOOK} && {GUEST_LOOK}',
    ),
    Case(
        'mariadb', '11.4', 'redhat', {**SERVER, **GUEST},
        f'{SERVER_LOOK} && {SELINUX_LOOK} && test -e /.autorelabel &&'
        f'{GUEST_LOOK}',
    ),
    Case(
        'mariadb', '10.11', 'redhat',
        {
            'subscription': 'account',
            'subscription-username': 'me',
            'subscription-password': SECRET,
            'cloud-datasource': 'config-drive',
        },
        'grep -q stream=10.11 /etc/dnf/modules.d/mariadb.module &&'
        + REGISTERED % 'register attach unregister clean',
    ),
    *(
        Case(name, '8.0', family, SERVER, SERVER_LOOK)
        for name in ('mysql', 'percona', 'pxc')
        for family in ('debian', 'redhat')
    ),
    Case('mysql', '8.0', 'debian', {'service': 'disabled'}),
    Case('postgresql', '16', 'debian', {'root-password': SECRET}),
    Case(
        'postgresql', '16', 'redhat', {**ELSEWHERE, 'root-password': SECRET},
        'grep -q PGDATA=/srv/db /etc/systemd/system/postgresql-16.service.d/*',
    ),
    Case(
        'postgresql', '16', 'redhat',
        {
            'package-source': 'distribution',
            'subscription': 'activation-key',
            'subscription-org': 'us',
            'subscription-key': SECRET,
            'cloud-datasource': 'metadata',
        },
        REGISTERED % 'register unregister clean',
    ),
    Case('redis', '7', 'debian', {'package-source': 'vendor'}),
    Case('redis', '7', 'redhat', {'package-source': 'vendor'}),
    *(
        Case(
            'mongodb', '7.0', family, values,
            'grep -qx "  dbPath: \'/srv/db\'" /etc/mongod.conf',
        )
        for family in ('debian', 'redhat')
        for values in (
            {**ELSEWHERE, 'replica-set': 'rs0'},
            {
                'data-directory': '/srv/db',
                'package-source': 'directory',
                'package-directory': '/srv/vendor/offline',
            },
        )
    ),
    *(
        Case(
            'cassandra', '4.1', family, ELSEWHERE,
            'grep -q "\'/srv/db/hints\'" /srv/conf/c',
        )
        for family in ('debian', 'redhat')
    ),
    *(
        Case(
            'couchbase', '7.6', family,
            {'data-directory': '/srv/db', 'port': '9091'},
            'cd /opt/couchbase && test -d var/lib/couchbase/data/. &&'
            'grep -qx "{rest_port, 9091}." etc/couchbase/static_config &&'
            'grep -q logger etc/couchbase/static_config',
        )
        for family in ('debian', 'redhat')
    ),
    *(
        Case(
             'couchdb', '3', family,
             {**ELSEWHERE, 'admin-hash': '-pbkdf2-1,2,10'},
             'grep -q "database_dir = /srv/db" /srv/conf/c')
        for family in ('debian', 'redhat')
    ),
    Case('couchdb', '3', 'debian'),
    *(
        Case('db2', '11.5', family, ELSEWHERE,
             'grep -q "DFTDBPATH /srv/db" /home/db2inst1/sqllib/calls &&'
             '! test -e /var/cache/imagebuild/db2/db2.tar.gz')
        for family in ('debian', 'redhat')
    ),
    *(
        Case(
            'vertica', '24', family, ELSEWHERE,
            'grep -q DATABASE=db_srvr /srv/conf/c',
        )
        for family in ('debian', 'redhat')
    ),
]  # fmt: skip


def elsewhere(name: str) -> dict[str, str]:
    """Places of its own, where several are in one image."""
    return {
        'data-directory': f'/srv/{name}',
        'configuration-file': f'/srv/conf/{name}',
    }


#: One after the other in one guest of each family.
LATER = [
    *(
        Case('cassandra', '5.0', family, elsewhere('cassandra'),
             "grep -q '/srv/cassandra/hints' /srv/conf/cassandra")
        for family in ('debian', 'redhat')
    ),
    *(
        Case('mongodb', '8.0', family, elsewhere('mongodb'),
             "grep -q '/srv/mongodb' /srv/conf/mongodb")
        for family in ('debian', 'redhat')
    ),
    *(
        Case('mysql', '8.4', family,
             {**elsewhere('mysql'), 'root-password': SECRET},
             'test -f /srv/mysql/mysql/user.hash')
        for family in ('debian', 'redhat')
    ),
    *(
        Case('postgresql', '17', family,
             {**elsewhere('pg'), 'port': '5433', 'root-password': SECRET},
             'test "$(cat /srv/pg/PG_VERSION)" = 17')
        for family in ('debian', 'redhat')
    ),
]  # fmt: skip
#: With the packages of the earlier versions, in the same guest.
BESIDE = Case(
    'postgresql', '15', 'redhat', {'package-source': 'vendor'},
    '! test -e /etc/systemd/system/postgresql-15.service.d/imagebuild.conf',
)  # fmt: skip
