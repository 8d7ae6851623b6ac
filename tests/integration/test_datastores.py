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
from imagebuild.recipes import directory as directory_recipes
from imagebuild.recipes import search
from imagebuild.remotes import sandbox as remotes
from tests.integration import datastore_cases
from tests.integration import datastore_packages
from tests.integration import datastore_servers
from tests.integration import native_disk
from tests.integration import sample_agent
from tests.integration import sandboxes
from tests.integration import vendors

PROGRAM = pathlib.Path(sys.executable).parent / 'imagebuild-pack'
SETTINGS = dataclasses.replace(sandboxes.SETTINGS, memory=1024)


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
            *(tree / 'deb').rglob(f'{name}_*.deb'),
            *(tree / 'rpm').rglob(f'{name}-*.rpm'),
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


#: What was packed in this run of the tests.
PACKED: set[str] = set()


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
    return [
        path
        for path in files
        if datastore_cases.SECRET.encode() in path.read_bytes()
    ]


# -- really built -------------------------------------------------------------


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
        for name, real in datastore_servers.REAL.items():
            recipe = recipes.get(name, real.version)
            with pytest.raises(exception.NotConforming):
                recipe.run(remote, real.values, reconcile=False)
            report = pack(remote, recipe, real.values)
            seen.append(str(report))
        for name, real in datastore_servers.REAL.items():
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
        PACKED.update(datastore_servers.REAL)
    # What they keep is a hash: no byte of the disk has the password.
    assert datastore_cases.SECRET not in ''.join(seen)
    assert not holds_secret(tmp_path)


# -- from vendors' repositories -----------------------------------------------


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
        for case in datastore_cases.LATER:
            if case.family == name:
                recipe = recipes.get(case.recipe, case.version)
                pack(remote, recipe, values_for(recipe, family, case.values))
                remote.run(['/bin/sh', '-c', case.look])
                PACKED.add(str(case))
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
        # The first: a key that is there and accepted is not fetched again.
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
            *(1, '', '', 'NO_PUBKEY' if source == 'apt' else 'not installed'),
        ),
        ({argument: nobody}, 3, argument, nobody, 'onnect'),
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
        assert all(word in message for word in words), (
            f'{message}\n{caught.value.output}'
        )
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
    recipe = recipes.get(
        datastore_cases.BESIDE.recipe, datastore_cases.BESIDE.version
    )
    values = {
        'data-directory': '/srv/pg15',
        'port': '5434',
        **datastore_cases.BESIDE.values,
    }
    pack(remote, recipe, values_for(recipe, family, values))
    values['data-directory'] = '/srv/pg'
    with pytest.raises(exception.StepFailed) as caught:
        recipe.run(remote, values_for(recipe, family, values))
    assert 'of PostgreSQL 17, which 15 does not' in caught.value.output
    # Back to where the vendor has it.
    pack(
        remote,
        recipe,
        values_for(recipe, family, datastore_cases.BESIDE.values),
    )
    remote.run(['/bin/sh', '-c', datastore_cases.BESIDE.look])
    PACKED.add(str(datastore_cases.BESIDE))


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
        *(
            (case.recipe, case.version, case.family)
            for case in datastore_cases.CASES
        ),
        *(
            (case.recipe, case.version, case.family)
            for case in datastore_cases.LATER
        ),
        (
            datastore_cases.BESIDE.recipe,
            datastore_cases.BESIDE.version,
            datastore_cases.BESIDE.family,
        ),
        *(
            (name, real.version, 'debian')
            for name, real in datastore_servers.REAL.items()
        ),
    }


def test_every_recipe_is_packed_on_every_family() -> None:
    assert packed() == {
        (recipe.name, recipe.version, family)
        for versions in recipes.find().values()
        for recipe in versions.values()
        if isinstance(recipe, directory_recipes.DirectoryRecipe)
        for family in recipe.load().os
    }


@pytest.mark.parametrize('case', datastore_cases.CASES, ids=str)
def test_vendors_packages(
    case: datastore_cases.Case,
    families: dict[str, Family],
    tmp_path: pathlib.Path,
) -> None:
    family = families[case.family]
    recipe = recipes.get(case.recipe, case.version)
    values = values_for(recipe, family, case.values)
    with opened(family, tmp_path) as remote:
        report = pack(remote, recipe, values)
        remote.run(['/bin/sh', '-c', case.look])
        PACKED.add(str(case))
    assert datastore_cases.SECRET not in str(report)
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
    every = (
        *datastore_cases.CASES,
        *datastore_cases.LATER,
        datastore_cases.BESIDE,
    )
    if PACKED != {*map(str, every), *datastore_servers.REAL}:
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
