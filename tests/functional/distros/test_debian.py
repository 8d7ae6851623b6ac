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
from imagebuild.distros import debian
from imagebuild.distros import os_releases

RELEASE = os_releases.OsRelease('debian', codename='bookworm')
DISTRO = debian.Debian(RELEASE)
NGINX = base.Package('nginx', '1.22*')
HOSTILE = base.Package('a;touch$(x)')
DPKG = r"printf 'ii \tnginx\t1.22.1-9\tamd64\thttpd\n'"


def test_the_state_is_one_call(system) -> None:
    system.stub('dpkg-query', DPKG)
    state = DISTRO.package_state(system, [NGINX])
    assert state.satisfies(NGINX)
    assert len(system.commands) == 1


def test_install_is_one_call(system) -> None:
    system.stub('apt-get', 'echo said; echo complained >&2')
    system.stub('dpkg-query', DPKG)
    told = []
    state = DISTRO.install(
        system,
        [NGINX, HOSTILE],
        refresh=True,
        on_output=lambda stream, text: told.append((stream, text)),
    )
    assert state.satisfies(base.Package('httpd'))
    (command,) = system.commands
    assert command.env['DEBIAN_FRONTEND'] == 'noninteractive'
    update, install, query = system.log
    assert update.endswith(' update') and 'Languages=none' in update
    assert install.endswith(' --allow-downgrades install -- nginx=1.22* '
                            'a;touch$(x)')  # fmt: skip
    assert query.startswith('dpkg-query -W')
    assert {stream for stream, _ in told} == {'stderr'}
    assert ''.join(text for _, text in told) == 'said\ncomplained\n' * 2


def test_without_refresh_and_pin(system) -> None:
    system.stub('apt-get')
    system.stub('dpkg-query', DPKG)
    DISTRO.install(system, [base.Package('nginx')], refresh=False)
    assert [line.split()[0] for line in system.log] == [
        'apt-get',
        'dpkg-query',
    ]
    assert 'downgrades' not in system.log[0]


def test_services_are_not_started(system) -> None:
    system.stub('apt-get', '/usr/sbin/policy-rc.d; echo "policy says $?"')
    system.stub('dpkg-query', DPKG)
    told = []
    DISTRO.install(
        system, [NGINX], refresh=False, on_output=lambda _, s: told.append(s)
    )
    assert ''.join(told) == 'policy says 101\n'
    assert not system.policy.exists()


@pytest.mark.parametrize('code', [0, 100])
def test_a_policy_of_the_image_stays(system, code: int) -> None:
    system.policy.write_text('own')
    system.stub('apt-get', f'exit {code}')
    system.stub('dpkg-query', DPKG)
    try:
        DISTRO.install(system, [NGINX], refresh=False)
    except exception.RemoteCommandFailed:
        assert code
    assert system.policy.read_text() == 'own'


def test_a_failing_update_alone_is_no_error(system) -> None:
    system.stub('apt-get', 'case $* in *update) exit 100;; esac')
    system.stub('dpkg-query', DPKG)
    assert DISTRO.install(system, [NGINX], refresh=True).satisfies(NGINX)


def test_both_failures_are_told(system) -> None:
    system.stub(
        'apt-get',
        'case $* in *update) echo "E: no route";; '
        '*) echo "E: no package" >&2;; esac; exit 100',
    )
    with pytest.raises(exception.RemoteCommandFailed) as caught:
        DISTRO.install(system, [NGINX], refresh=True)
    error = caught.value
    assert error.argv == ('apt-get', 'install', 'nginx=1.22*')
    assert error.exit_code_of_command == 100
    assert 'E: no route\n' in error.stderr
    assert error.stderr.endswith('E: no package\n')
    assert not system.policy.exists()


SAID = '''Reading package lists...
E: Unable to locate package nginxx
E: Unable to locate package never-asked-for
E: Version '1.22*' for 'nginx' was not found
E: Package 'exim' has no installation candidate
'''


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['nginxx'], "package 'nginxx' is not known to apt of this image"),
        (
            ['nginx', 'exim'],
            "packages 'exim', 'nginx' in version '1.22*' are not known to "
            'apt of this image',
        ),
        (['curl'], 'command failed with exit code 100: apt-get'),
    ],
)
def test_what_apt_does_not_know_is_named(system, names, expected) -> None:
    system.stub('apt-get', f'cat <<"E"\n{SAID}\nE\nexit 100')
    packages = [
        NGINX if name == 'nginx' else base.Package(name) for name in names
    ]
    distro = debian.Debian(os_releases.OsRelease('debian', version_id='12'))
    with pytest.raises(exception.RemoteCommandFailed) as caught:
        distro.install(system, packages, refresh=False)
    known = 'command failed' in expected
    assert str(caught.value) == expected + (' (debian-12)' * (not known))
    assert 'Unable to locate' in caught.value.stderr


def test_an_index_that_could_not_be_refreshed_is_named(system) -> None:
    system.stub('apt-get', 'echo E: Unable to locate package nginx; exit 100')
    with pytest.raises(
        exception.RemoteCommandFailed, match='index could not be refreshed'
    ):
        DISTRO.install(system, [base.Package('nginx')], refresh=True)


def test_nothing_is_ever_removed(system) -> None:
    with pytest.raises(exception.StepFailed, match='remove'):
        DISTRO.install(system, [base.Package('libc6-')], refresh=False)
    assert not system.commands


def test_plan() -> None:
    assert DISTRO.install_plan([NGINX], refresh=True) == [
        ['apt-get', 'update'],
        ['apt-get', '-y', 'install', 'nginx=1.22*'],
    ]


def _files(**fields) -> dict[str, str]:
    repository = base.Repository('demo', 'https://example.org/x', **fields)
    files = DISTRO.repository_files(repository)
    return {file.path: file.content.decode() for file in files}


def test_repository() -> None:
    files = _files(
        suites=('stable', 'testing'),
        components=('main', 'extra'),
        key='KEY',
        priority=900,
    )
    assert files == {
        '/etc/apt/keyrings/demo.asc': 'KEY\n',
        '/etc/apt/sources.list.d/demo.sources': (
            'Types: deb\n'
            'URIs: https://example.org/x\n'
            'Suites: stable testing\n'
            'Components: main extra\n'
            'Signed-By: /etc/apt/keyrings/demo.asc\n'
        ),
        '/etc/apt/preferences.d/demo.pref': (
            'Package: *\nPin: origin "example.org"\nPin-Priority: 900\n'
        ),
    }


@pytest.mark.parametrize(
    ('fields', 'expected'),
    [
        ({}, 'Suites: ./\n'),
        ({'suites': ('./',), 'components': ('main',)}, 'Suites: ./\n'),
        ({'components': ('x',)}, 'Suites: bookworm\nComponents: x\n'),
        ({'suites': ('s',)}, 'Suites: s\nComponents: main\n'),
        ({'trusted': True}, 'Suites: ./\nTrusted: yes\n'),
    ],
)
def test_repository_suites(fields, expected: str) -> None:
    (text,) = _files(**fields).values()
    assert text.endswith('/x\n' + expected)


@pytest.mark.parametrize('script', [debian._INSTALL, debian._CLEAN])
def test_scripts_are_shell(script: str) -> None:
    subprocess.run(['sh', '-n'], input=script, text=True, check=True)
