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
"""The recipes of datastores, in the sandbox.

Those whose packages Debian has are really built; their servers are started
in the built image and spoken to with their own clients. The others, and the
ways to a vendor's repository, run against repositories made for tests
(vendors.py): with the real apt and dnf, and signatures that are checked.

One guest for several recipes where they do not disturb each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.disks import image_file
from imagebuild.recipes import directory
from imagebuild.recipes import search
from imagebuild.remotes import sandbox as remotes
from tests.integration import datastore_packages
from tests.integration import native_disk
from tests.integration import sample_agent
from tests.integration import sandboxes
from tests.integration import vendors

PROGRAM = pathlib.Path(sys.executable).parent / 'imagebuild-pack'
SETTINGS = dataclasses.replace(sandboxes.SETTINGS, memory=1024)
SECRET = "Qz7'secret\\9w"


@dataclasses.dataclass(frozen=True)
class Family:
    """A guest with the vendors' repositories in it.

    :ivar image: is only read.
    :ivar values: arguments that lead to the repositories.
    :ivar given: recipe to the file that its vendor gives to customers.
    :ivar ran: the scripts of recipes that were run in guests of it.
    """

    name: str
    image: pathlib.Path
    values: Mapping[str, str]
    given: Mapping[str, pathlib.Path]
    ran: set[bytes] = dataclasses.field(default_factory=set)


@pytest.fixture(scope='module')
def families(
    minimal_image: pathlib.Path,
    redhat_image: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Family]:
    workspace = tmp_path_factory.mktemp('vendors')
    vendor = vendors.Vendor(workspace)
    tree = workspace / 'vendor'
    tree.mkdir()
    vendor.apt(
        tree / 'deb', datastore_packages.DEBS, datastore_packages.SUITES
    )
    vendor.yum(tree / 'rpm', datastore_packages.RPMS)
    later = tree / 'later'
    vendor.apt(
        later / 'deb',
        datastore_packages.LATER_DEBS,
        datastore_packages.LATER_SUITES,
    )
    vendor.yum(later / 'rpm', datastore_packages.LATER_RPMS)
    vendor.apt(
        tree / 'expired',
        datastore_packages.LATER_DEBS,
        datastore_packages.LATER_SUITES,
        valid_until='Fri, 02 Jan 2026 00:00:00 UTC',
    )
    # The distribution's own, for what recipes need of it.
    vendor.apt(
        tree / 'distribution' / 'deb',
        datastore_packages.DISTRIBUTION_DEBS,
        {'stable': 'main'},
    )
    vendor.yum(
        tree / 'distribution' / 'rpm', datastore_packages.DISTRIBUTION_RPMS
    )
    vendor.write_key(tree / 'key.asc')
    # What vendors give to customers only.
    given = tree / 'given'
    given.mkdir()
    packages = [
        vendor.deb(datastore_packages.vertica('1'), given),
        vendor.rpm(datastore_packages.vertica('1.el9'), given),
    ]
    archive = given / 'db2.tar.gz'
    vendors.write_archive(archive, datastore_packages.DB2)
    # The files of an offline directory, of both families.
    for name in ('mongodb-org-server', 'mongodb-mongosh', 'mongodb-org-tools'):
        for path in (
            *tree.rglob(f'{name}_*.deb'),
            *tree.rglob(f'{name}-*.rpm'),
        ):
            place = tree / 'offline'
            place.mkdir(exist_ok=True)
            shutil.copyfile(path, place / path.name)
    # Vendors have one such directory for each distribution.
    (tree / 'deb' / 'debian').symlink_to('.')
    for name in ('debian', 'ubuntu'):
        (later / 'deb' / name).symlink_to('.')
    vendor.close()
    stranger = vendors.Vendor(workspace / 'stranger')
    stranger.write_key(tree / 'stranger.asc')
    stranger.close()
    values = {
        'signing-key': 'file:///srv/vendor/key.asc',
        'signing-key-fingerprints': vendor.fingerprint,
        'license': 'accepted',
    }
    files = {'debian': packages[0], 'redhat': packages[1]}
    return {
        'debian': Family(
            'debian',
            _with_vendors(minimal_image, tree, workspace / 'debian'),
            {**values, 'apt-repository': 'file:///srv/vendor/deb'},
            {'db2': archive, 'vertica': files['debian']},
        ),
        'redhat': Family(
            'redhat',
            _with_vendors(
                redhat_image,
                tree,
                workspace / 'redhat',
                sorted(datastore_packages.users() - {'redis'}),
            ),
            {**values, 'yum-repository': 'file:///srv/vendor/rpm'},
            {'db2': archive, 'vertica': files['redhat']},
        ),
    }


#: What recipes need of Debian. The files that --copy-in brings are looked at
#: where they must be, and later where they must be no longer.
NEEDED = """\
validators:
  - package: [ca-certificates, systemd]
  - script: {brought: {inline: 'ls /srv/brought/by/mongodb-org-server_*'}}
"""
#: Both families' own repositories; SELinux' settings where there is one.
FINISH = """\
cd {root}
test ! -e srv/brought || exit 1
rm -rf etc/apt/sources.list etc/apt/sources.list.d/*
if [ -d etc/apt ]; then
    cat > etc/apt/sources.list.d/debian.list << 'END'
deb [trusted=yes] file:///srv/vendor/distribution/deb stable main
END
else
    cat > etc/yum.repos.d/distribution.repo << 'END'
[distribution]
name=Distribution
baseurl=file:///srv/vendor/distribution/rpm
gpgcheck=0
END
    mkdir -p etc/selinux
    cat > usr/sbin/subscription-manager << 'END'
{manager}END
    chmod 755 usr/sbin/subscription-manager
    printf 'SELINUX=enforcing\\nSELINUXTYPE=targeted\\n' > etc/selinux/config
fi
"""


def _with_vendors(
    base: pathlib.Path,
    tree: pathlib.Path,
    workspace: pathlib.Path,
    users: Sequence[str] = (),
) -> pathlib.Path:
    workspace.mkdir()
    image = workspace / 'image.qcow2'
    shutil.copyfile(base, image)
    if not users:
        # What recipes need of Debian; nothing else comes from there.
        path = workspace / 'manifest.yaml'
        path.write_text(NEEDED)
        argv = [PROGRAM, '--image', image, '--isolation', 'sandbox']
        argv += ['--copy-in', f'{tree}/offline:/srv/brought/by']
        done = subprocess.run(
            [*argv, '--manifest', path], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    with native_disk.Native(workspace, (image_file.inspect(image),)) as disk:
        root, _ = disk.mount()
        disk.child.sh(f'cp -a {tree} {workspace}/root/srv/vendor')
        disk.child.sh(
            FINISH.format(
                root=workspace / 'root',
                manager=datastore_packages.SUBSCRIPTION_MANAGER,
            )
        )
        for user in users:
            disk.child.sh(f'useradd --root {workspace}/root --system {user}')
        disk.finish()
    return image


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


#: What was packed in this run of the tests.
PACKED: set[Case] = set()


@contextlib.contextmanager
def opened(
    family: Family, directory: pathlib.Path, *, command_timeout: float = 300
) -> Iterator[remotes.SandboxRemote]:
    """Open a guest, and note the scripts that run in it."""
    with sandboxes.opened(
        family.image, directory, SETTINGS, command_timeout=command_timeout
    ) as remote:
        run_script = remote.run_script

        def noted(content: bytes, **more: Any) -> Any:
            family.ran.add(content)
            return run_script(content, **more)

        remote.run_script = noted  # type: ignore[method-assign]
        yield remote


def values_for(
    recipe: recipes.Recipe, family: Family, values: Mapping[str, str]
) -> dict[str, str]:
    """Those of a family that the recipe knows, and more."""
    known = {argument.name for argument in recipe.arguments()}
    common = {
        name: value for name, value in family.values.items() if name in known
    }
    if 'archive' in known:
        given = family.given[recipe.name]
        common['archive'] = f'file:///srv/vendor/given/{given.name}'
        digest = hashlib.sha256(given.read_bytes()).hexdigest()
        common['archive-sha256'] = digest
    if 'yum-signing-key' in known:
        common['yum-signing-key'] = common['signing-key']
    return {**common, **values}


def pack(
    remote: remotes.SandboxRemote,
    recipe: manifest.Bindable,
    values: Mapping[str, str],
) -> manifest.Report:
    """Pack, see that it conforms, and that packing again changes nothing."""
    try:
        report = recipe.run(remote, values)
    except exception.StepFailed as error:
        pytest.fail(f'{error}\n{error.output}')
    assert report.changed
    recipe.run(remote, values, reconcile=False)
    again = recipe.run(remote, values)
    assert not again.changed, [
        step for step in again.steps if step.result is not manifest.Result.OK
    ]
    return report


def holds_secret(directory: pathlib.Path) -> list[pathlib.Path]:
    """Files of a disk, and of its run, that have the password in any byte."""
    files = [path for path in directory.rglob('*') if path.is_file()]
    assert any(path.name == 'overlay.qcow2' for path in files)
    return [path for path in files if SECRET.encode() in path.read_bytes()]


# -- really built -------------------------------------------------------------

MARIADB = r"""
set -eu
start() {
    mkdir -p /run/mysqld
    chown mysql /run/mysqld
    runuser -u mysql -- /usr/sbin/mariadbd > /tmp/log 2>&1 &
    server=$!
    for attempt in $(seq 100); do
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
    for attempt in $(seq 100); do
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


@pytest.mark.timeout(1200)
def test_real_servers_answer(
    minimal_image: pathlib.Path,
    families: dict[str, Family],
    tmp_path: pathlib.Path,
) -> None:
    """All in one guest: they do not disturb each other."""
    seen = []
    real_debian = dataclasses.replace(families['debian'], image=minimal_image)
    with opened(real_debian, tmp_path, command_timeout=600) as remote:
        for name, real in REAL.items():
            recipe = recipes.get(name, real.version)
            with pytest.raises(exception.NotConforming):
                recipe.run(remote, real.values, reconcile=False)
            report = pack(remote, recipe, real.values)
            seen.append(str(report))
        for name, real in REAL.items():
            result = remote.run_script(
                real.talk.encode(),
                name=f'{name}.sh',
                env={
                    key.replace('-', '_'): value
                    for key, value in real.values.items()
                    if 'password' in key
                },
                timeout=300,
            )
            for answer in real.answers:
                assert answer in result.stdout, result.output
        check_guest_agents(remote)
        state = remote.run(
            ['systemctl', 'is-enabled', 'redis-server'], check=False
        )
        assert state.stdout.strip() == 'disabled'
    # What they keep is a hash: no byte of the disk has the password.
    assert SECRET not in ''.join(seen)
    assert not holds_secret(tmp_path)


# -- from vendors' repositories -----------------------------------------------

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


def later(family: Family) -> Family:
    """Its vendors' repositories of the later versions."""
    values = {
        name: value.replace('/srv/vendor/', '/srv/vendor/later/')
        if name.endswith('-repository')
        else value
        for name, value in family.values.items()
    }
    return dataclasses.replace(family, values=values)


@pytest.mark.parametrize('name', ['debian', 'redhat'])
def test_later_versions(
    name: str, families: dict[str, Family], tmp_path: pathlib.Path
) -> None:
    family = later(families[name])
    with opened(family, tmp_path) as remote:
        check_repositories_that_fail(remote, family)
        for case in LATER:
            if case.family == name:
                recipe = recipes.get(case.recipe, case.version)
                pack(remote, recipe, values_for(recipe, family, case.values))
                remote.run(['/bin/sh', '-c', case.look])
                PACKED.add(case)
        check_packed_again(remote, family)
        if name == 'redhat':
            check_beside(remote, families[name])
            check_guest_agent_of_the_red_hat_family(remote)
        else:
            check_ubuntu(remote, family)
    assert not holds_secret(tmp_path)


def check_repositories_that_fail(
    remote: remotes.SandboxRemote, family: Family
) -> None:
    """One sentence with the argument and the address; nothing is there."""
    recipe = recipes.get('cassandra', '5.0')
    source = 'apt' if family.name == 'debian' else 'yum'
    argument = f'{source}-repository'
    key = 'signing-key'
    nobody = 'http://127.0.0.1:9/x'
    cases = [
        ({argument: nobody}, 3, argument, nobody, 'onnect'),
        ({key: nobody}, 3, key, nobody, 'cannot be fetched'),
        (
            {'signing-key-fingerprints': 'A' * 40},
            *(1, key, '/srv/vendor/key.asc', 'is another one'),
        ),
        (
            {
                key: 'file:///srv/vendor/stranger.asc',
                'signing-key-fingerprints': '',
            },
            *(1, '', '', 'NO_PUBKEY' if source == 'apt' else 'not correct'),
        ),
    ]
    if source == 'apt':
        cases.append(
            (
                {argument: 'file:///srv/vendor/expired'},
                *(1, argument, '/srv/vendor/expired', 'is expired'),
            )
        )
    for values, code, *words in cases:
        with pytest.raises(exception.StepFailed) as caught:
            recipe.run(remote, values_for(recipe, family, values))
        message = str(caught.value)
        assert caught.value.exit_code == code, message
        assert all(word in message for word in words), message
        assert '\n' not in message
    manager = ['dpkg', '-s'] if source == 'apt' else ['rpm', '-q']
    assert remote.run([*manager, 'cassandra'], check=False).exit_code


def check_packed_again(remote: remotes.SandboxRemote, family: Family) -> None:
    """With other arguments; and what the image excludes is said."""
    mysql = recipes.get('mysql', '8.4')
    values = {
        'data-directory': '/srv/other',
        'configuration-file': '/srv/conf/other',
    }
    pack(remote, mysql, values_for(mysql, family, values))
    remote.run(
        [
            *('/bin/sh', '-c'),
            'test -d /srv/mysql/mysql && test -d /srv/other/mysql &&'
            'grep -q "datadir = /srv/other" /srv/conf/other &&'
            '! test -e /srv/conf/mysql',
        ]
    )
    for name, version, given, wrong in (
        ('percona', '8.0', {}, 'the image has mysql-community-server'),
        ('mysql', '8.0', {}, 'is of version 8.4.3'),
        ('cassandra', '5.0', {'data-directory': '/etc/x'}, 'itself uses'),
        (
            *('postgresql', '17', {'configuration-file': '/etc/passwd'}),
            'something else already',
        ),
    ):
        recipe = recipes.get(name, version)
        with pytest.raises(exception.StepFailed) as caught:
            recipe.run(remote, values_for(recipe, family, given))
        assert wrong in caught.value.output, caught.value.output
    assert b'root:x:0' in remote.read_file('/etc/passwd')


def check_beside(remote: remotes.SandboxRemote, family: Family) -> None:
    """An earlier version, which has its own directories."""
    recipe = recipes.get(BESIDE.recipe, BESIDE.version)
    values = {'data-directory': '/srv/pg15', 'port': '5434', **BESIDE.values}
    pack(remote, recipe, values_for(recipe, family, values))
    values['data-directory'] = '/srv/pg'
    with pytest.raises(exception.StepFailed) as caught:
        recipe.run(remote, values_for(recipe, family, values))
    assert 'of PostgreSQL 17, which 15 does not' in caught.value.output
    # Back to where the vendor has it.
    pack(remote, recipe, values_for(recipe, family, BESIDE.values))
    remote.run(['/bin/sh', '-c', BESIDE.look])
    PACKED.add(BESIDE)


def check_ubuntu(remote: remotes.SandboxRemote, family: Family) -> None:
    """The same family; what its vendors have for it is elsewhere."""
    before = remote.read_file('/etc/os-release')
    remote.write_file(
        '/etc/os-release',
        b'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'
        b'VERSION_CODENAME=noble\n',
    )
    remote.run(
        [
            *('dpkg', '--purge', 'mongodb-mongosh', 'mongodb-org-server'),
            'mongodb-org-tools',
        ]
    )
    recipe = recipes.get('mongodb', '8.0')
    pack(remote, recipe, values_for(recipe, family, {}))
    sources = remote.read_file('/etc/apt/sources.list.d/mongodb.sources')
    assert b'Suites: noble/mongodb-org/8.0\n' in sources
    assert b'Components: multiverse\n' in sources
    remote.write_file('/etc/os-release', before)


def check_guest_agent_of_the_red_hat_family(
    remote: remotes.SandboxRemote,
) -> None:
    for name, text in sample_agent.SOURCES.items():
        remote.write_file(f'/srv/agent/{name}', text.encode())
    loaded = manifest.load(
        'validators: [include: guest-agent.yaml]\n',
        [search.SHIPPED / 'common'],
    )
    values = {
        'guest-agent': 'directory',
        'guest-agent-directory': '/srv/agent',
        'guest-agent-program': 'sample-agent',
    }
    pack(remote, loaded, values)
    ran = remote.run(['/opt/guest-agent/bin/sample-agent'])
    assert ran.stdout == 'the guest agent is up\n'


#: Those of one family only.
OF_ONE = {
    'couchdb-answers.sh': 'debian',
    'packages-installed.sh': 'redhat',
}


def packed() -> set[tuple[str, str, str]]:
    """Recipe, version and family of everything that is packed here."""
    return {
        *((case.recipe, case.version, case.family) for case in CASES),
        *((case.recipe, case.version, case.family) for case in LATER),
        (BESIDE.recipe, BESIDE.version, BESIDE.family),
        *((name, real.version, 'debian') for name, real in REAL.items()),
    }


def test_every_recipe_is_packed_on_every_family() -> None:
    assert packed() == {
        (recipe.name, recipe.version, family)
        for versions in recipes.find().values()
        for recipe in versions.values()
        if isinstance(recipe, directory.DirectoryRecipe)
        for family in recipe.load().os
    }


@pytest.mark.parametrize('case', CASES, ids=str)
def test_vendors_packages(
    case: Case, families: dict[str, Family], tmp_path: pathlib.Path
) -> None:
    family = families[case.family]
    recipe = recipes.get(case.recipe, case.version)
    values = values_for(recipe, family, case.values)
    with opened(family, tmp_path) as remote:
        report = pack(remote, recipe, values)
        remote.run(['/bin/sh', '-c', case.look])
        PACKED.add(case)
    assert SECRET not in str(report)
    assert not holds_secret(tmp_path)


# -- the guest agent ----------------------------------------------------------

#: Sources in a directory, a repository of them with a tag, and an index.
PREPARE = rb"""
set -eu
cd /srv/agent
says() { sed "s/^SAYS = .*/SAYS = '$1'/" -i backend.py; }
says pypi
mkdir -p /srv/index/sample-agent
PYTHONPATH=. python3 -c \
    'import backend; backend.build_wheel("/srv/index/sample-agent")'
rm -rf __pycache__
cd /srv/index/sample-agent
wheel=$(echo *.whl)
echo "<a href='$wheel'>$wheel</a>" > index.html
cd /srv/agent
git init -q -b main
git config user.name T
git config user.email t@example.org
says tagged
git add -A
git commit -qm one
git tag 1.0
says tip
git commit -qam two
says directory
echo sample-agent > /srv/requirements.txt
echo 'sample-agent==1.0' > /srv/constraints.txt
"""
AGENTS = {
    'pypi': {
        'guest-agent-distribution': 'sample-agent==1.0',
        'guest-agent-index': 'file:///srv/index/',
        'guest-agent-constraints': '/srv/constraints.txt',
    },
    'tagged': {
        'guest-agent': 'git',
        'guest-agent-repository': 'file:///srv/agent',
        'guest-agent-ref': '1.0',
    },
    'tip': {
        'guest-agent': 'git',
        'guest-agent-repository': 'file:///srv/agent',
        'guest-agent-ref': 'main',
    },
    'directory': {
        'guest-agent-directory': '/srv/agent',
        'guest-agent-requirements': '/srv/requirements.txt',
        'guest-agent-index': 'file:///srv/index/',
    },
}


def check_guest_agents(remote: remotes.SandboxRemote) -> None:
    """The agent comes from each source that is no package."""
    manifest.load('validators: [package: [git, python3-venv]]\n').run(remote)
    for name, text in sample_agent.SOURCES.items():
        remote.write_file(f'/srv/agent/{name}', text.encode())
    remote.run_script(PREPARE, name='prepare')
    loaded = manifest.load(
        'validators: [include: guest-agent.yaml]\n',
        [search.SHIPPED / 'common'],
    )
    for says, values in AGENTS.items():
        pack(
            remote,
            loaded,
            {
                'guest-agent': says,
                'guest-agent-program': 'sample-agent',
                **values,
            },
        )
        ran = remote.run(['/opt/guest-agent/bin/sample-agent'])
        assert ran.stdout == f'{says}\n'
    unit = remote.read_file('/etc/systemd/system/guest-agent.service')
    assert b'/sample-agent --config-dir=/etc/trove/conf.d\n' in unit
    with pytest.raises(exception.StepFailed) as caught:
        loaded.run(
            remote,
            {
                'guest-agent': 'git',
                'guest-agent-repository': 'https://me:pw@example.org/x',
            },
        )
    assert 'would be left in the image' in caught.value.output


def test_every_script_ran(
    families: dict[str, Family],
) -> None:
    """The last one: on each family, where all of the tests above were run."""
    if PACKED != {*CASES, *LATER, BESIDE}:
        return
    scripts = {
        path: path.read_bytes() for path in search.SHIPPED.rglob('*.sh')
    }
    missed = {
        (str(path.relative_to(search.SHIPPED)), family.name)
        for path, content in scripts.items()
        for family in families.values()
        if OF_ONE.get(path.name, family.name) == family.name
        and content not in family.ran
    }
    assert not missed
