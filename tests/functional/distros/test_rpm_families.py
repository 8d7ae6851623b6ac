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
import subprocess

import pytest

from imagebuild import exception
from imagebuild.distros import base
from imagebuild.distros import os_releases
from imagebuild.distros import redhat
from imagebuild.distros import rpm_family
from imagebuild.distros import rpm_state
from imagebuild.distros import suse

REDHAT = redhat.RedHat(os_releases.OsRelease('centos'))
SUSE = suse.Suse(os_releases.OsRelease('sles'))
DEMO = base.Package('demo', '1.0')
HOSTILE = base.Package('a;touch$(x)')
RPM = r"""
case $* in
-qa*) printf 'package\tdemo\t0\t1.0\t1\tnoarch\n' ;;
*/usr/bin/demo) echo demo ;;
*/*) exit 1 ;;
*) printf 'provide\tvirtual\t\n'; echo 'no package provides nothing'; exit 1 ;;
esac
"""


@pytest.mark.parametrize('distro', [REDHAT, SUSE])
def test_the_state_is_one_call(system, distro: base.Distro) -> None:
    system.stub('rpm', RPM)
    asked = [
        DEMO,
        base.Package('/usr/bin/demo'),
        base.Package('/usr/bin/other'),
        base.Package('virtual'),
        base.Package('nothing'),
        HOSTILE,
    ]
    state = distro.package_state(system, asked)
    assert [p.name for p in state.missing(asked)] == [
        '/usr/bin/other',
        'nothing',
        'a;touch$(x)',
    ]
    assert len(system.commands) == 1
    assert system.log[-1].endswith(' -- demo virtual nothing a;touch$(x)')


def test_groups_are_looked_at_in_the_cache(system) -> None:
    system.stub('rpm', RPM)
    system.stub('dnf', 'echo "   Web Server (web)"')
    group = base.Package('@web')
    assert REDHAT.package_state(system, [group]).satisfies(group)
    assert system.log[1].startswith('dnf -C ')


@pytest.mark.parametrize(
    ('program', 'refresh', 'expected'),
    [
        ('dnf', False, ['dnf -y {} install -- demo-1.0 a;touch$(x)']),
        ('dnf', True, ['dnf -y {} --refresh install -- demo-1.0 a;touch$(x)']),
        ('yum', True, [
            'yum -q clean expire-cache',
            'yum -y {} --setopt=skip_missing_names_on_install=0 install '
            'demo-1.0 a;touch$(x)',
        ]),
    ],
)  # fmt: skip
def test_install_is_one_call(system, program, refresh, expected) -> None:
    system.stub('rpm', RPM)
    system.stub(program, 'echo said')
    told = []
    state = REDHAT.install(
        system,
        [DEMO, HOSTILE],
        refresh=refresh,
        asked_about=[base.Package('virtual')],
        on_output=lambda stream, text: told.append((stream, text)),
    )
    assert state.satisfies(DEMO) and state.satisfies(base.Package('virtual'))
    assert len(system.commands) == 1
    options = '--setopt=retries=3 --setopt=timeout=60'
    log = [line for line in system.log if line.startswith(program)]
    assert log == [line.format(options) for line in expected]
    assert {stream for stream, _ in told} == {'stderr'}
    assert ''.join(text for _, text in told).startswith('said\n')


@pytest.mark.parametrize(
    ('distro', 'program', 'wanted'),
    [(REDHAT, 'dnf', 'demo-1.0'), (SUSE, 'zypper', 'demo=1.0')],
)
def test_failures_are_told(system, distro, program, wanted) -> None:
    system.stub('rpm', RPM)
    system.stub(program, 'echo Error: no; exit 4')
    with pytest.raises(exception.RemoteCommandFailed) as caught:
        distro.install(system, [DEMO], refresh=False)
    assert caught.value.argv == (program, 'install', wanted)
    assert caught.value.exit_code_of_command == 4
    assert caught.value.stderr == 'Error: no\n'


@pytest.mark.parametrize(
    ('distro', 'said', 'name'),
    [
        (REDHAT, 'No match for argument: nginxx', "'nginxx'"),
        (REDHAT, 'No package nginxx available.', "'nginxx'"),
        (REDHAT, 'No match for argument: demo-1.0', "'demo' in version '1.0'"),
        (REDHAT, "Module or Group 'web' is not available.", "'@web'"),
        (SUSE, "No provider of 'nginxx' found.", "'nginxx'"),
        (SUSE, "Package 'nginxx' not found.", "'nginxx'"),
        (SUSE, "No provider of 'demo=1.0' found.", "'demo' in version '1.0'"),
        (SUSE, "No provider of 'pattern:web' found.", "'@web'"),
    ],
)
def test_what_is_not_known_is_named(system, distro, said, name) -> None:
    system.stub('rpm', RPM)
    system.stub(distro.program, f'echo "{said}"; exit 1')
    wanted = [DEMO, base.Package('nginxx'), base.Package('@web')]
    with pytest.raises(exception.RemoteCommandFailed) as caught:
        distro.install(system, wanted, refresh=False)
    assert str(caught.value) == (
        f'package {name} is not known to {distro.program} of this image '
        f'({distro.os_release.id})'
    )


@pytest.mark.parametrize('code', [0, 102, 103, 106])
def test_zypper_has_several_ways_to_succeed(system, code: int) -> None:
    system.stub('rpm', RPM)
    system.stub('zypper', f'case $* in *refresh) exit 4;; esac; exit {code}')
    assert SUSE.install(system, [DEMO], refresh=True).satisfies(DEMO)
    assert system.log[0] == 'zypper --non-interactive refresh'
    assert system.log[1].endswith(' -- demo=1.0')


@pytest.mark.parametrize(
    ('name', 'version', 'expected'),
    [
        ('demo', None, 'demo'),
        ('demo', '1.0', 'demo-1.0'),
        ('demo.i686', '1.0', 'demo-1.0-*.i686'),
        ('demo.i686', '1.0-1', 'demo-1.0-1.i686'),
        ('python3.11', '1', 'python3.11-1'),
        ('@web', None, '@web'),
    ],
)
def test_dnf_specifications(name, version, expected: str) -> None:
    package = base.Package(name, version)
    assert redhat.RedHat.specification(package) == expected


def test_zypper_patterns() -> None:
    package = base.Package('@web')
    assert suse.Suse.specification(package) == 'pattern:web'


def test_plans() -> None:
    assert REDHAT.install_plan([DEMO], refresh=True) == [
        ['dnf', '-y', '--refresh', 'install', 'demo-1.0']
    ]
    assert SUSE.install_plan([DEMO], refresh=True) == [
        ['zypper', '--non-interactive', 'refresh'],
        ['zypper', '--non-interactive', 'install', 'demo=1.0'],
    ]


@pytest.mark.parametrize(
    ('distro', 'key', 'path'),
    [
        (
            REDHAT,
            '/etc/pki/rpm-gpg/RPM-GPG-KEY-demo',
            '/etc/yum.repos.d/demo.repo',
        ),
        (SUSE, '/etc/zypp/keys.d/demo.asc', '/etc/zypp/repos.d/demo.repo'),
    ],
)
def test_repository(distro: base.Distro, key: str, path: str) -> None:
    repository = base.Repository(
        'demo', 'https://example.org/x', key='KEY', priority=10
    )
    key_file, repo = distro.repository_files(repository)
    assert (key_file.path, key_file.content) == (key, b'KEY\n')
    assert repo.path == path
    lines = repo.content.decode().splitlines()
    assert lines[:7] == [
        '[demo]',
        'name=demo',
        'baseurl=https://example.org/x',
        'enabled=1',
        'gpgcheck=1',
        f'gpgkey=file://{key}',
        'priority=10',
    ]


def test_a_trusted_repository_is_not_checked() -> None:
    repository = base.Repository('demo', 'file:///srv', trusted=True)
    (repo,) = REDHAT.repository_files(repository)
    assert b'gpgcheck=0\n' in repo.content


@pytest.mark.parametrize(
    'script',
    [
        rpm_state.QUERY,
        rpm_family._START + redhat._INSTALL + rpm_state.AFTER_INSTALL,
        rpm_family._START + suse._INSTALL + rpm_state.AFTER_INSTALL,
        redhat._CLEAN,
        suse._CLEAN,
    ],
)
def test_scripts_are_shell(script: str) -> None:
    subprocess.run(['sh', '-n'], input=script, text=True, check=True)
