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

"""The driver diskimage_builder without diskimage-builder."""

import json
import pathlib
import stat
from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.disks import disk_plan
from imagebuild.disks import host_command
from imagebuild.drivers import base
from imagebuild.drivers import diskimage_builder
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.diskimage_builder import elements
from imagebuild.drivers.diskimage_builder import options as dib_options
from imagebuild.drivers.diskimage_builder import own_element
from imagebuild.drivers.diskimage_builder import program
from imagebuild.drivers.diskimage_builder import settings as dib_settings
from imagebuild.drivers.diskimage_builder import variables

GIB = 1024**3
DRIVER = diskimage_builder.DiskImageBuilderDriver()
DEBIAN = {'os': 'debian-12'}


def problems_of(
    asked: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    **section: Any,
) -> dict[str, str]:
    """What the driver has against a request, by path."""
    try:
        DRIVER.check_asked(
            asked,
            options or {**DEBIAN, **asked},
            {'diskimage_builder': section},
        )
    except base.InvalidDriverOptions as error:
        return {each.path: each.message for each in error.errors}
    return {}


@pytest.fixture
def own(tmp_path: pathlib.Path) -> pathlib.Path:
    """Elements of an operator, and nobody else's."""
    for name, files in {
        'system': {'element-provides': 'operating-system\n'},
        'other': {'element-provides': 'operating-system\n'},
        'debian-minimal': {'element-provides': 'operating-system\n'},
        'needs': {'element-deps': 'below\nnot-there\n'},
        'below': {'install.d/50-x': '#!/bin/sh\n'},
    }.items():
        for file, text in files.items():
            path = tmp_path / 'elements' / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path / 'elements'


# -- options ----------------------------------------------------------------


def test_a_system_is_an_element_and_a_release() -> None:
    parsed = dib_options.DibOptions.parse(
        {**DEBIAN, 'elements': ['vm', 'debian-minimal']}
    )
    assert parsed.all_elements() == ['debian-minimal', 'vm']
    assert parsed.chosen_release() == 'bookworm'
    other = dib_options.DibOptions.parse({**DEBIAN, 'release': 'sid'})
    assert other.chosen_release() == 'sid'


@pytest.mark.parametrize(
    ('options', 'path'),
    [
        ({}, 'elements'),
        ({'os': 'windows'}, 'os'),
        ({**DEBIAN, 'elements': ['-n']}, 'elements[0]'),
        ({**DEBIAN, 'elements': ['vm', 'a b']}, 'elements[1]'),
        ({**DEBIAN, 'elements': ['../x']}, 'elements[0]'),
        ({**DEBIAN, 'elements': ['x\n']}, 'elements[0]'),
        ({**DEBIAN, 'elements': ['$(id)']}, 'elements[0]'),
        ({**DEBIAN, 'elements': ['vm', 'vm']}, 'elements'),
        ({**DEBIAN, 'elements': 'vm'}, 'elements'),
        ({**DEBIAN, 'release': 'x; id'}, 'release'),
        ({**DEBIAN, 'release': 'bookworm\n'}, 'release'),
        ({**DEBIAN, 'release': '--help'}, 'release'),
        ({**DEBIAN, 'packages': ['a,b']}, 'packages[0]'),
        ({**DEBIAN, 'packages': ['$(id)']}, 'packages[0]'),
        ({**DEBIAN, 'packages': ['--purge']}, 'packages[0]'),
        ({**DEBIAN, 'environment': {'A B': 'x'}}, 'environment'),
        ({**DEBIAN, 'environment': {'A': 'x\ny'}}, 'environment.A'),
        ({**DEBIAN, 'environment': {'A': 1}}, 'environment.A'),
        ({**DEBIAN, 'environment': ['A=x']}, 'environment'),
        ({**DEBIAN, 'partition_table': 'mbr', 'size': 4096}, 'size'),
    ],
)
def test_bad_options(options: dict[str, Any], path: str) -> None:
    with pytest.raises(base.InvalidDriverOptions) as caught:
        DRIVER.validate(options)
    assert [each.path for each in caught.value.errors] == [path]


def test_what_the_operator_names_stays() -> None:
    of_entry = {
        **DEBIAN,
        'elements': ['vm', 'own'],
        'environment': {'DIB_A': '1', 'DIB_B': '1'},
        'packages': ['vim'],
    }
    asked = {'elements': ['own', 'growroot'], 'environment': {'DIB_B': '2'}}
    assert DRIVER.combined(of_entry, asked) == {
        **of_entry,
        'elements': ['vm', 'own', 'growroot'],
        'environment': {'DIB_A': '1', 'DIB_B': '2'},
    }
    # What is no list is found wrong later.
    assert DRIVER.combined(of_entry, {'elements': 7})['elements'] == 7


def test_identity() -> None:
    plain = DRIVER.identity({**DEBIAN, 'elements': ['a', 'b']})
    assert plain == DRIVER.identity({**DEBIAN, 'elements': ['b', 'a']})
    for more in (
        {'elements': ['a']},
        {'packages': ['vim']},
        {'environment': {'A': 'x'}},
        {'release': 'sid'},
        {'base': False},
        {'bootable': False},
        {'size': 9},
        {'file_system': 'xfs'},
        {'partition_table': 'mbr'},
    ):
        assert DRIVER.identity({**DEBIAN, 'elements': ['a', 'b'], **more}) != (
            plain
        ), more
    hourly = {**DEBIAN, 'elements': ['a', 'b'], 'refresh': 1}
    assert DRIVER.identity(hourly) == plain


# -- what users may ask for -------------------------------------------------


def test_users_name_what_is_allowed(own: pathlib.Path) -> None:
    section = {
        'elements_path': [str(own)],
        'allowed_elements': ['needs', 'gone'],
    }
    assert problems_of({'elements': ['needs']}, **section) == {}
    found = problems_of({'elements': ['needs', 'below', 'gone']}, **section)
    assert list(found) == ['elements[1]', 'elements[2]']
    assert found['elements[1]'] == (
        'the element "below" is not among those that users of this service '
        'may name: needs'
    )
    assert found['elements[2]'] == 'there is no element "gone"'
    # An entry of the catalogue may name others.
    assert problems_of({}, {**DEBIAN, 'elements': ['below']}, **section) == {}
    section['allowed_elements'] = ['*']
    assert problems_of({'elements': ['below']}, **section) == {}


def test_by_default_few_are_allowed() -> None:
    found = problems_of({'elements': ['local-config', 'vm']})
    assert list(found) == ['elements[0]']
    for name in ('local-config', 'source-repositories', 'devuser'):
        assert name not in dib_settings.DibSettings().allowed_elements


def test_one_element_makes_the_root(own: pathlib.Path) -> None:
    section = {'elements_path': [str(own)], 'allowed_elements': ['*']}
    with mock.patch.object(
        dib_settings, 'shipped_elements', autospec=True, return_value=None
    ):
        none = problems_of({}, {'elements': ['below']}, **section)
        several = problems_of(
            {}, {'elements': ['system', 'below', 'other']}, **section
        )
    assert 'none of the elements' in none['elements']
    assert several['elements'].endswith(': system, other')


@pytest.mark.parametrize(
    'value',
    [
        'a b',
        'a;id',
        '$(id)',
        '`id`',
        'a|b',
        'a&b',
        '>x',
        "'",
        '"',
        '\\',
        '*',
        '-x',
        '=x',
        '~',
        '{a,b}',
        '#',
        '!1',
        'ä',
    ],
)
def test_a_variable_of_a_user_is_one_word(value: str) -> None:
    section = {'allowed_environment': ['DIB_A']}
    found = problems_of({'environment': {'DIB_A': value}}, **section)
    assert list(found) == ['environment.DIB_A']
    # The operator knows what he does.
    options = {**DEBIAN, 'environment': {'DIB_A': value}}
    assert problems_of({}, options, **section) == {}


def test_users_set_what_is_allowed() -> None:
    good = {'DIB_CLOUD_INIT_DATASOURCES': 'ConfigDrive,OpenStack'}
    assert problems_of({'environment': good}) == {}
    found = problems_of(
        {'environment': {**good, 'DIB_DISTRIBUTION_MIRROR': 'x'}}
    )
    assert list(found) == ['environment.DIB_DISTRIBUTION_MIRROR']


# -- elements ---------------------------------------------------------------


def test_the_digest_is_that_of_the_files(own: pathlib.Path) -> None:
    known = elements.Elements([own])
    assert set(known.expanded(['needs'])) == {'needs', 'below'}
    before = known.digest(['needs'])
    assert known.digest(['needs']) == before
    hook = own / 'below' / 'install.d' / '50-x'
    hook.chmod(0o755)
    executable = known.digest(['needs'])
    hook.write_text('#!/bin/sh\nid\n')
    assert len({before, executable, known.digest(['needs'])}) == 3


def test_an_operators_element_goes_before(
    own: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = tmp_path / 'first'
    (first / 'below').mkdir(parents=True)
    known = elements.Elements([first, own])
    assert known.find('below') == first / 'below'
    assert known.find('needs') == own / 'needs'
    assert known.find('gone') is None


@pytest.mark.parametrize('file_system', ['ext4', 'xfs', 'btrfs'])
def test_our_element(file_system: Any, tmp_path: pathlib.Path) -> None:
    plan = disk_plan.DiskPlan(GIB, True, file_system=file_system)
    own_element.write(tmp_path, plan)
    top = tmp_path / own_element.NAME
    # "vm" looks for one of this name.
    assert top.name.startswith('block-device-')
    provided = (top / 'element-provides').read_text().split()
    assert provided == ['block-device', 'bootloader']
    for hook in ('block-device.d/50-imagebuild', 'root.d/95-imagebuild-fstab'):
        assert (top / hook).stat().st_mode & stat.S_IXUSR
    assert (top / 'imagebuild-fstab').read_text() == plan.fstab()
    names = (top / 'package-installs.yaml').read_text().split()
    known = json.loads((top / 'pkg-map').read_text())
    assert names[0] == 'imagebuild-boot:'
    assert len(names) == (1 if file_system == 'ext4' else 2)
    for name in names[1:]:
        assert name.rstrip(':') in known['default']


def test_without_a_boot_loader_nothing_is_installed(
    tmp_path: pathlib.Path,
) -> None:
    own_element.write(tmp_path, disk_plan.DiskPlan(GIB, bootable=False))
    top = tmp_path / own_element.NAME
    assert not (top / 'package-installs.yaml').exists()


# -- variables --------------------------------------------------------------

SOURCES = [
    apt_sources.AptSource('http://m.example/debian', 'bookworm', ('main',)),
    apt_sources.AptSource(
        'http://m.example/debian', 'bookworm-updates', ('main',)
    ),
    apt_sources.AptSource(
        'http://m.example/debian-security', 'bookworm-security', ('main',)
    ),
]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, 'is_served', lambda source, proxies: True)


@pytest.mark.usefixtures('served')
def test_packages_come_from_the_machines_mirrors() -> None:
    found = variables.combine(
        dib_options.DibOptions.parse(DEBIAN),
        dib_settings.DibSettings(),
        {'http': 'http://p.example'},
        SOURCES,
    )
    assert found == {
        'http_proxy': 'http://p.example',
        'DIB_RELEASE': 'bookworm',
        'DIB_DISTRIBUTION_MIRROR': 'http://m.example/debian',
        'DIB_APT_SOURCES_CONF': (
            'default:deb http://m.example/debian bookworm main\n'
            'updates:deb http://m.example/debian bookworm-updates main\n'
            'security:deb http://m.example/debian-security '
            'bookworm-security main'
        ),
    }


@pytest.mark.usefixtures('served')
def test_who_says_what_a_variable_is() -> None:
    settings = dib_settings.DibSettings.read(
        {
            'diskimage_builder': {
                'environment': [
                    'DIB_DISTRIBUTION_MIRROR=http://o.example',
                    'DIB_X=a=b',
                    'LD_PRELOAD=/tmp/x.so',
                    'PATH=/tmp',
                    'DIB_RELEASE=sid',
                ]
            }
        }
    )
    found = variables.combine(
        dib_options.DibOptions.parse(
            {**DEBIAN, 'environment': {'DIB_X': 'mine', 'break': 'all'}}
        ),
        settings,
        {},
        SOURCES,
    )
    assert found['DIB_DISTRIBUTION_MIRROR'] == 'http://o.example'
    assert found['DIB_X'] == 'mine'
    assert found['DIB_RELEASE'] == 'bookworm'
    assert not {'LD_PRELOAD', 'PATH', 'break'} & set(found)


@pytest.mark.parametrize('release', ['9-stream', 'jammy', ''])
@pytest.mark.usefixtures('served')
def test_what_the_machine_has_no_mirror_of(release: str) -> None:
    assert variables.mirrors(release, {}, SOURCES) == {}


def test_a_setting_that_is_no_variable() -> None:
    section = {'diskimage_builder': {'environment': ['DIB_X']}}
    with pytest.raises(exception.EnvironmentFault, match='not NAME=value'):
        dib_settings.DibSettings.read(section)


# -- the program ------------------------------------------------------------


def request_for(**more: Any) -> program.Request:
    values: dict[str, Any] = {
        'elements': ['debian-minimal'],
        'base': True,
        'packages': [],
        'elements_path': [pathlib.Path('/srv/elements')],
        'environment': {'DIB_X': 'y', 'HOME': '/root'},
        'cache': None,
        'timeout': 60.0,
        **more,
    }
    return program.Request(**values)


def run_with(
    workspace: pathlib.Path,
    output: str = '',
    exit_code: int = 0,
    **more: Any,
) -> tuple[mock.Mock, list[str]]:
    """Run it without it."""
    workspace.mkdir(exist_ok=True)
    lines: list[str] = []

    def fake(argv: list[str], **given: Any) -> str:
        given['files'].output.write_text(output)
        given['watch']()
        if exit_code:
            raise exception.HostCommandFailed(
                program='setpriv', exit_code=exit_code, reason='none'
            )
        return ''

    with mock.patch.object(
        host_command, 'run', autospec=True, side_effect=fake
    ) as run:
        program.run(request_for(**more), workspace, lines.append)
    return run, lines


def test_how_it_is_run(tmp_path: pathlib.Path) -> None:
    run, lines = run_with(
        tmp_path / 'w',
        'one\n\x1b[31mtwo\n',
        packages=['vim', 'less'],
        base=False,
    )
    assert lines == ['one', '\\x1b[31mtwo']
    (argv,) = run.call_args.args
    assert argv[0] == 'setpriv'
    assert {'--kill-child', '--mount', '--pid'} < set(argv)
    dropped = next(word for word in argv if word.startswith('--bounding-set'))
    for name in ('sys_module', 'sys_rawio', 'sys_boot', 'net_admin'):
        assert f'-{name}' in dropped
    inner = json.loads(argv[-1])
    assert inner['argv'][1:] == [
        *('-a', 'amd64', '-t', 'tar', '-o', f'{tmp_path}/w/image'),
        *('--no-tmpfs', '--image-cache', f'{tmp_path}/w/cache', '-n'),
        *('-p', 'vim,less', '--', 'debian-minimal'),
    ]
    assert inner['writable'] == [f'{tmp_path}/w']
    assert '/srv/elements' in inner['readable']
    assert {'/root', '/home', '/etc/imagebuild'} <= set(inner['hidden'])
    environment = inner['environment']
    assert environment['DIB_X'] == 'y'
    assert environment['HOME'] == f'{tmp_path}/w/home'
    assert environment['ELEMENTS_PATH'] == '/srv/elements'
    # Nothing of the conductor's own.
    assert set(environment) == {
        *('DIB_X', 'HOME', 'LANG', 'LOGNAME', 'USER', 'PATH', 'TMPDIR'),
        *('TMP_DIR', 'ELEMENTS_PATH', 'DIB_LOCKFILES', 'DIB_NO_TIMESTAMP'),
        'DIB_PYTHON_EXEC',
    }


def test_downloads_are_kept_where_the_operator_says(
    tmp_path: pathlib.Path,
) -> None:
    cache = tmp_path / 'kept' / 'cache'
    run, _ = run_with(tmp_path / 'w', cache=cache)
    inner = json.loads(run.call_args.args[0][-1])
    assert inner['writable'] == [f'{tmp_path}/w', str(cache)]
    assert str(cache) in inner['argv']
    assert cache.is_dir()


@pytest.mark.parametrize(
    ('output', 'reason'),
    [
        (
            'Get: 1\n> E: Unable to fetch x\n> E: apt-get update failed\n'
            'Unmount /x/mnt\n',
            'E: Unable to fetch x',
        ),
        ('mmdebstrap: error x\n', 'mmdebstrap: error x'),
        ('a\nb\n', 'b'),
        ('', 'none'),
    ],
)
def test_why_it_failed(
    output: str, reason: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(exception.HostCommandFailed) as caught:
        run_with(tmp_path / 'w', output, 7)
    assert str(caught.value) == (
        f'disk-image-create failed (exit code 7): {reason}'
    )


@pytest.mark.parametrize(
    'output',
    [
        '> E: Unable to locate package nonesuch\n',
        'No match for argument: nonesuch\n',
    ],
)
def test_a_package_that_there_is_not(
    output: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(program.UnknownPackages, match='"nonesuch" for deb'):
        run_with(tmp_path / 'w', output, 1, packages=['vim', 'nonesuch'])
    # That of an element is nothing that the user could do about.
    with pytest.raises(exception.HostCommandFailed):
        run_with(tmp_path / 'other', output, 1, packages=['vim'])


def test_a_flood_ends_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, '_MOST_OUTPUT', 1000)
    with pytest.raises(exception.HostCommandFailed, match='more than'):
        run_with(tmp_path / 'w', 'x' * 3000)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    monkeypatch.setattr('shutil.which', lambda *_args, **_kwargs: None)
    missing = DRIVER.missing_to_make()
    assert 'sudo' in missing
    assert 'diskimage-builder (pip install "openstack-imagebuild[dib]")' in (
        missing
    )
