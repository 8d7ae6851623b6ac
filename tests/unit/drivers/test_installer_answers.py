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
"""What installers are answered with, and that nobody adds a line to it."""

import json
import pathlib
import re
from typing import Any

import jsonschema
import pytest

from imagebuild.boot import mirror_network
from imagebuild.drivers import base
from imagebuild.drivers.installer import InstallerOptions
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import autoinstall
from imagebuild.drivers.installer import kickstart
from imagebuild.drivers.installer import preseed
from imagebuild.drivers.installer import settings

WORD = 'imagebuild-0123456789abcdef'
HASH = '$6$rounds=5000$salt$' + 'x' * 86
KEY = 'ssh-ed25519 ' + 'A' * 68
#: Ends a section, a quote, a line and a document, in every syntax.
HOSTILE = (
    'echo \'"$(id)"\'\n%end\nrootpw --plaintext x\n%post\n'
    'd-i passwd/root-password password x\n- poweroff: [\n...\n---\nEOF\n\\'
)
FULL: dict[str, Any] = {
    'installer': 'one',
    'size': 8,
    'swap': 512,
    'locale': 'de_DE.UTF-8',
    'keyboard': 'de',
    'timezone': 'Europe/Berlin',
    'hostname': 'web-1',
    'root_password_hash': HASH,
    'users': [
        {
            'name': 'ann',
            'ssh_keys': [f"{KEY} ann's \"key\" $(id)"],
            'sudo': True,
        },
        {'name': 'bob', 'password_hash': HASH, 'sudo': True},
    ],
    'packages': ['vim', 'libc++-dev=1:2~3'],
    'late_commands': ['true', HOSTILE],
}

#: Of the documentation of autoinstall ("Autoinstall configuration reference
#: manual"): what we use of it, and no more.
_TEXTS = {'type': 'array', 'items': {'type': 'string'}}
AUTOINSTALL = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['version', 'storage', 'late-commands'],
    # Without an identity it asks for one, unless there is user data.
    'anyOf': [{'required': ['identity']}, {'required': ['user-data']}],
    'properties': {
        'version': {'const': 1},
        'interactive-sections': _TEXTS,
        'refresh-installer': {
            'type': 'object',
            'additionalProperties': False,
            'properties': {
                'update': {'type': 'boolean'},
                'channel': {'type': 'string'},
            },
        },
        'locale': {'type': 'string'},
        'keyboard': {
            'type': 'object',
            'additionalProperties': False,
            'required': ['layout'],
            'properties': {
                'layout': {'type': 'string'},
                'variant': {'type': 'string'},
                'toggle': {'type': ['string', 'null']},
            },
        },
        'timezone': {'type': 'string'},
        'source': {
            'type': 'object',
            'additionalProperties': False,
            'properties': {
                'search_drivers': {'type': 'boolean'},
                'id': {'type': 'string'},
            },
        },
        'user-data': {'type': 'object'},
        'proxy': {'type': ['string', 'null']},
        'apt': {
            'type': 'object',
            'properties': {
                'geoip': {'type': 'boolean'},
                'fallback': {
                    'enum': ['abort', 'continue-anyway', 'offline-install']
                },
                'primary': {
                    'type': 'array',
                    'items': {
                        'type': 'object',
                        'required': ['arches', 'uri'],
                    },
                },
            },
        },
        'ssh': {
            'type': 'object',
            'properties': {
                'install-server': {'type': 'boolean'},
                'authorized-keys': _TEXTS,
                'allow-pw': {'type': 'boolean'},
            },
        },
        'storage': {
            'type': 'object',
            'required': ['config'],
            'properties': {
                'swap': {'type': 'object'},
                'config': {
                    'type': 'array',
                    'items': {
                        'type': 'object',
                        'required': ['type', 'id'],
                        'properties': {
                            'type': {
                                'enum': [
                                    'disk',
                                    'partition',
                                    'format',
                                    'mount',
                                ]
                            }
                        },
                    },
                },
            },
        },
        'packages': _TEXTS,
        'late-commands': {
            'type': 'array',
            'items': {
                'type': ['string', 'array'],
                'items': {'type': 'string'},
            },
        },
        'shutdown': {'enum': ['reboot', 'poweroff']},
    },
}


def request(
    options: dict[str, Any], family: settings.Family, **more: Any
) -> answers.Request:
    installer = settings.Installer(
        'one',
        family,
        settings.InputFile(pathlib.Path('/kernel')),
        settings.InputFile(pathlib.Path('/initrd')),
        **{'mirror': 'http://mirror.example:8080/debian', **more},
    )
    return answers.Request(InstallerOptions.parse(options), installer, WORD)


def questions(text: str) -> dict[str, str]:
    """A preseed as debconf-set-selections reads it."""
    found = {}
    for line in text.splitlines():
        owner, question, kind, value = (*line.split(' ', 3), '')[:4]
        assert owner in ('d-i', 'tasksel', 'popularity-contest'), line
        assert kind in (
            'boolean',
            'multiselect',
            'note',
            'password',
            'select',
            'string',
        ), line
        assert question not in found
        found[question] = value
    return found


def test_preseed() -> None:
    found = questions(preseed.preseed(request(FULL, 'debian')))
    assert found['debian-installer/locale'] == 'de_DE.UTF-8'
    assert found['keyboard-configuration/xkb-keymap'] == 'de'
    assert found['time/zone'] == 'Europe/Berlin'
    assert found['netcfg/hostname'] == 'web-1'
    assert found['mirror/http/hostname'] == 'mirror.example:8080'
    assert found['mirror/http/directory'] == '/debian'
    assert found['mirror/http/proxy'] == mirror_network.PROXY
    assert found['pkgsel/include'] == 'vim libc++-dev=1:2~3'
    assert found['hw-detect/firmware-lookup'] == 'never'
    # Debian 13 asks for another where it is "!".
    assert found['passwd/root-password-crypted'] == '*'
    recipe = found['partman-auto/expert_recipe']
    assert recipe.count('{') == recipe.count('}')
    parts = recipe.split(' . ')
    assert ['biosgrub' in each for each in parts] == [True, False, False]
    assert '512 512 512 linux-swap' in parts[1]
    assert parts[2].endswith('mountpoint{ / } .')
    assert found['debian-installer/exit/poweroff'] == 'true'


def test_preseed_of_a_medium() -> None:
    """Without a mirror nothing is asked of one."""
    asked = request({'installer': 'one'}, 'debian', mirror='')
    found = questions(preseed.preseed(asked))
    assert found['apt-setup/use_mirror'] == 'false'
    assert not any(name.startswith('mirror/') for name in found)
    mbr = {'installer': 'one', 'partition_table': 'mbr'}
    found = questions(preseed.preseed(request(mbr, 'debian')))
    assert found['partman-partitioning/default_label'] == 'msdos'
    assert 'biosgrub' not in found['partman-auto/expert_recipe']


@pytest.mark.parametrize('mirror', ['http://mirror.example/ubuntu', ''])
def test_autoinstall(mirror: str) -> None:
    asked = request(FULL, 'ubuntu', mirror=mirror)
    answer = autoinstall.answer(asked)
    head, text = answer.on_disk['user-data'].decode().split('\n', 1)
    assert head == '#cloud-config'
    found = json.loads(text)['autoinstall']
    jsonschema.validate(found, AUTOINSTALL)
    assert found.get('proxy') == (mirror_network.PROXY if mirror else None)
    assert [each['id'] for each in found['storage']['config']] == [
        'disk', 'bios', 'swap', 'format-swap', 'root', 'format-root',
        'mount-root', 'mount-swap',
    ]  # fmt: skip
    assert found['packages'] == FULL['packages']
    plain = request({'installer': 'one'}, 'ubuntu')
    jsonschema.validate(autoinstall.autoinstall(plain), AUTOINSTALL)


#: What reads one line, or one word, must not find another one in it.
BREAKERS = ('\n', '\r', '\x00', '"', "'", '\\', ' x', '\u2028', '$(id)', '%')


@pytest.mark.parametrize('breaker', BREAKERS)
@pytest.mark.parametrize(
    'name',
    [
        'installer',
        'locale',
        'keyboard',
        'timezone',
        'hostname',
        'root_password_hash',
    ],
)
def test_values_stay_values(name: str, breaker: str) -> None:
    value = {**FULL}[name]
    for bad in (f'{value}{breaker}', f'{breaker}{value}', breaker):
        with pytest.raises(base.InvalidDriverOptions) as caught:
            InstallerOptions.parse({**FULL, name: bad})
        assert [each.path for each in caught.value.errors] == [name]


@pytest.mark.parametrize('name', ['installer', 'timezone', 'hostname'])
def test_values_are_no_options_of_commands(name: str) -> None:
    """Of a kickstart's, such as "timezone --nontp"."""
    for bad in ('--nontp', '-x'):
        with pytest.raises(base.InvalidDriverOptions):
            InstallerOptions.parse({**FULL, name: bad})


@pytest.mark.parametrize('breaker', BREAKERS)
def test_entries_stay_entries(breaker: str) -> None:
    bad = {
        'packages': [f'vim{breaker}'],
        'users': [{'name': f'ann{breaker}'}],
    }
    for name, value in bad.items():
        with pytest.raises(base.InvalidDriverOptions):
            InstallerOptions.parse({**FULL, name: value})


@pytest.mark.parametrize(
    'bad',
    [
        {'packages': ['-y']},
        {'packages': ['@everything']},
        {'packages': ['%end']},
        {'users': [{'name': 'ann', 'password_hash': 'secret'}]},
        {'users': [{'name': 'ann', 'password': 'secret'}]},
        {'root_password_hash': 'secret'},
        {'users': [{'name': 'ann', 'ssh_keys': [f'{KEY}\nssh-rsa x']}]},
        {'users': [{'name': 'ann', 'ssh_keys': ['command="x" ' + KEY]}]},
        {'late_commands': ['x\r\nd-i x']},
        {'late_commands': ['']},
        {'installer': '../../etc/passwd'},
        {'kernel': '/boot/vmlinuz'},
    ],
)
def test_what_may_not_be_asked(bad: dict[str, Any]) -> None:
    with pytest.raises(base.InvalidDriverOptions) as caught:
        InstallerOptions.parse({**FULL, **bad})
    assert 'secret' not in str(caught.value)


def test_commands_add_no_line() -> None:
    """The same file, line by line, whatever a command has in it."""
    kind = {**FULL, 'late_commands': ['true']}
    for family, write in (
        ('debian', preseed.preseed),
        ('redhat', kickstart.kickstart),
    ):
        plain = write(request(kind, family)).splitlines()  # type: ignore
        hostile = write(request(FULL, family)).splitlines()  # type: ignore
        assert len(plain) == len(hostile)
        differing = [one for one, other in zip(hostile, plain) if one != other]
        for line in differing:
            assert re.fullmatch(r'printf %s [A-Za-z0-9+/=]+ >>\S+', line)
    found = autoinstall.autoinstall(request(FULL, 'ubuntu'))
    assert (
        found.keys() == autoinstall.autoinstall(request(kind, 'ubuntu')).keys()
    )


@pytest.mark.parametrize('bad', ['a\nb', 'a\r', 'a\x85b', 'a\u2028b', 'a\\'])
def test_a_line_is_one(bad: str) -> None:
    with pytest.raises(ValueError):
        answers.one_line(bad)


def test_no_hash_on_a_command_line() -> None:
    for family, write in (
        ('debian', preseed.answer),
        ('redhat', kickstart.answer),
        ('ubuntu', autoinstall.answer),
    ):
        answer = write(request(FULL, family))  # type: ignore
        line = ' '.join(answer.arguments)
        assert HASH not in line
        assert 'ann' not in line
        assert len(line) < 1024
        assert 'console=ttyS0' in line
