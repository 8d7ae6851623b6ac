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

import dataclasses
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from collections.abc import Sequence

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.disks import image_file
from imagebuild.remotes import sandbox as remotes
from tests.integration import datastore_packages
from tests.integration import native_disk
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
    """

    name: str
    image: pathlib.Path
    values: Mapping[str, str]


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
    vendor.write_key(tree / 'key.asc')
    # Vendors have one such directory for each distribution.
    (tree / 'deb' / 'debian').symlink_to('.')
    vendor.close()
    values = {
        'signing-key': 'file:///srv/vendor/key.asc',
        'signing-key-fingerprints': vendor.fingerprint,
    }
    return {
        'debian': Family(
            'debian',
            _with_vendors(minimal_image, tree, workspace / 'debian'),
            {**values, 'apt-repository': 'file:///srv/vendor/deb'},
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
        ),
    }


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
        path.write_text('validators: [package: [ca-certificates, systemd]]\n')
        argv = [PROGRAM, '--image', image, '--manifest', path]
        done = subprocess.run(
            [*argv, '--isolation', 'sandbox'], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    with native_disk.Native(workspace, (image_file.inspect(image),)) as disk:
        root, _ = disk.mount()
        disk.child.sh(f'cp -a {tree} {workspace}/root/srv/vendor')
        disk.child.sh(
            f'rm -rf {workspace}/root/etc/apt/sources.list'
            f' {workspace}/root/etc/apt/sources.list.d/*'
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


def values_for(
    recipe: recipes.Recipe, family: Family, values: Mapping[str, str]
) -> dict[str, str]:
    """Those of a family that the recipe knows, and more."""
    known = {argument.name for argument in recipe.arguments()}
    common = {
        name: value for name, value in family.values.items() if name in known
    }
    if 'yum-signing-key' in known:
        common['yum-signing-key'] = common['signing-key']
    return {**common, **values}


def pack(
    remote: remotes.SandboxRemote,
    recipe: recipes.Recipe,
    values: Mapping[str, str],
) -> manifest.Report:
    """Pack, see that it conforms, and that packing again changes nothing."""
    report = recipe.run(remote, values)
    assert report.changed
    recipe.run(remote, values, reconcile=False)
    again = recipe.run(remote, values)
    assert not again.changed, [
        step for step in again.steps if step.result is not manifest.Result.OK
    ]
    return report


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


def test_real_servers_answer(
    minimal_image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """All in one guest: they do not disturb each other."""
    seen = []
    with sandboxes.opened(minimal_image, tmp_path, SETTINGS) as remote:
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
                timeout=120,
            )
            for answer in real.answers:
                assert answer in result.stdout, result.output
        state = remote.run(
            ['systemctl', 'is-enabled', 'redis-server'], check=False
        )
        assert state.stdout.strip() == 'disabled'
    # What they keep is a hash: no byte of the disk has the password.
    assert SECRET not in ''.join(seen)
    for path in tmp_path.rglob('*'):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


# -- from vendors' repositories -----------------------------------------------

CASES = [
    Case(
        'mariadb', '11.4', 'debian',
        {'root-password': SECRET, 'data-directory': '/srv/db'},
        'grep -q /srv/db /etc/mysql/mariadb.conf.d/90-imagebuild.cnf &&'
        'grep -q "/srv/db/..* rwk" /etc/apparmor.d/local/usr.sbin.mariadbd &&'
        'test -d /srv/db/mysql',
    ),
    Case(
        'mariadb', '11.4', 'redhat',
        {'root-password': SECRET, 'data-directory': '/srv/db'},
        'test -d /srv/db/mysql',
    ),
    Case(
        'mariadb', '10.11', 'redhat', {},
        'test -f /etc/dnf/modules.d/mariadb.module',
    ),
    Case('postgresql', '16', 'debian', {'root-password': SECRET}),
    Case(
        'postgresql', '16', 'redhat',
        {'root-password': SECRET, 'data-directory': '/srv/pg'},
        'grep -q PGDATA=/srv/pg /etc/systemd/system/postgresql-16.service.d/*',
    ),
    Case('postgresql', '16', 'redhat', {'package-source': 'distribution'}),
    Case('redis', '7', 'debian', {'package-source': 'vendor'}),
    Case('redis', '7', 'redhat', {'package-source': 'vendor'}),
]  # fmt: skip


#: Where the packages are the distribution's own.
AS_DISTRIBUTION = {('redhat', None), ('redhat', 'distribution')}
DISTRIBUTION = b"""\
[distribution]
name=Distribution
baseurl=file:///srv/vendor/rpm
gpgcheck=0
"""


@pytest.mark.parametrize('case', CASES, ids=str)
def test_vendors_packages(
    case: Case, families: dict[str, Family], tmp_path: pathlib.Path
) -> None:
    family = families[case.family]
    recipe = recipes.get(case.recipe, case.version)
    values = values_for(recipe, family, case.values)
    with sandboxes.opened(family.image, tmp_path, SETTINGS) as remote:
        if (family.name, values.get('package-source')) in AS_DISTRIBUTION:
            remote.write_file('/etc/yum.repos.d/vendor.repo', DISTRIBUTION)
        pack(remote, recipe, values)
        remote.run(['/bin/sh', '-c', case.look])
