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
"""User data of cloud-init as manifests."""

import base64
import gzip
import pathlib

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from imagebuild import conversion
from imagebuild import exception
from imagebuild import manifest
from imagebuild.common import strict_yaml
from imagebuild.conversion import cloud_init
from imagebuild.conversion import draft

DATA = pathlib.Path(__file__).parents[2] / 'user_data'
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZ0v8WRYJKwYBBAHaRw8BAQdA
=abcd
-----END PGP PUBLIC KEY BLOCK-----
"""


def made(tmp_path, text, head='#cloud-config\n'):
    path = tmp_path / 'user-data'
    content = text if isinstance(text, bytes) else (head + text).encode()
    path.write_bytes(content)
    found = conversion.convert(path)
    assert found.form == 'cloud-init'
    manifest.load(found.text)
    return found


def steps(found):
    return strict_yaml.parse(found.text)['validators']


def lost(found):
    return [str(note) for note in found.notes if note.lost]


@pytest.mark.parametrize(
    'path', sorted(DATA.iterdir()), ids=lambda path: path.stem
)
def test_each_file_becomes_a_manifest(path):
    found = conversion.convert(path)
    assert found.form == 'cloud-init'
    manifest.load(found.text)
    assert steps(found)


ROWS = {
    'package with a version': (
        'packages: [a=1.0, [b, 2], {apt: [c], snap: [d]}]',
        [{'package': [{'a': {'version': '1.0'}}, {'b': {'version': '2'}},
                      'c']}],
        ['packages[2]: packages of snap cannot be installed'],
    ),
    'name of no package': (
        'packages: ["a b", nano/testing]',
        [],
        ['packages[1]: "nano/testing" names a release; name a version or a '
         'repository',
         'packages: a manifest cannot have it: step.package[0]: \'a b\' is '
         'not a package name'],
    ),
    'users': (
        'users: [{name: amy, sudo: null, ssh_import_id: [gh:amy], '
        'selinux_user: null}]',
        [{'user': {'amy': {'locked': True}}}],
        ['users[0].ssh_import_id: the keys would be fetched from a server; '
         'put them into ssh_authorized_keys'],
    ),
    'no name of a user': (
        'users: [{name: "$(reboot)"}]',
        [],
        ['users[0]: "$(reboot)" is not the name of a user'],
    ),
    'a zone that is none': (
        'timezone: "x; reboot"', [], ['timezone: it is not a time zone'],
    ),
    'what a machine does': (
        'power_state: {mode: poweroff}\nsnap: {}\nmade_up: 1\n',
        [],
        ['power_state: an image is not powered off or rebooted',
         'snap: snaps cannot be installed into an image',
         'made_up: imagebuild has no step for it'],
    ),
    'what only the machine can do': (
        'growpart: {mode: auto}\nmounts: [[vdb, /srv]]\n',
        [{'package': 'cloud-init'},
         {'cloud_init': {'config': {'growpart': {'mode': 'auto'},
                                    'mounts': [['vdb', '/srv']]}}}],
        [],
    ),
    'a repository with its key': (
        'apt: {sources: {x.list: {source: "deb [signed-by=$KEY_FILE] '
        f'https://p.example/d $RELEASE main", key: "{KEY!r}"}}}}}}'.replace(
            "'", ''),
        [{'os_case': [{'debian': [{'repository': {'x': {
            'url': 'https://p.example/d', 'components': ['main'],
            'key': KEY}}}]}]}],
        [],
    ),
    'a key from elsewhere': (
        'apt: {sources: {x: {source: "deb https://p.example/d a b", '
        'keyid: F00}, y: {source: "ppa:a/b"}}}',
        [],
        ['apt.sources.x: its key would be fetched from a key server; write '
         'it as "key", or as "key" of the step "repository"',
         'apt.sources.y: a personal package archive is set up by the '
         'machine'],
    ),
    'a repository of yum': (
        'yum_repos: {epel: {baseurl: "http://p.example/e", enabled: true}}',
        [{'os_case': [{'redhat': [{'file': {'/etc/yum.repos.d/epel.repo': {
            'content': '[epel]\nbaseurl = http://p.example/e\n'
            'enabled = 1\n'}}}]}]}],
        [],
    ),
    'wrong forms': (
        'users: 3.5\npackages: {a: b}\nwrite_files: [{content: x}, 7]\n'
        'apt: [x]\nchpasswd: [y]\nntp: z\nyum_repos: 1\nruncmd: {a: b}\n'
        'ca_certs: x\n',
        [],
        ['runcmd: it is not a list, as cloud-init wants it',
         'write_files[0]: it has no path, as cloud-init wants it',
         'write_files[1]: it is not a mapping, as cloud-init wants it',
         'ca_certs: it is not a mapping, as cloud-init wants it',
         'users[0]: "3.5" is not the name of a user',
         'chpasswd: it is not a mapping, as cloud-init wants it',
         'apt: it is not a mapping, as cloud-init wants it',
         'yum_repos: it is not a mapping, as cloud-init wants it',
         'ntp: it is not a mapping, as cloud-init wants it',
         'packages: it is not a list, as cloud-init wants it'],
    ),
}  # fmt: skip


@pytest.mark.parametrize('row', ROWS)
def test_row(tmp_path, row):
    text, wanted, problems = ROWS[row]
    found = made(tmp_path, text)
    assert steps(found) == wanted
    assert lost(found) == problems


def test_commands_are_quoted_as_cloud_init_does(tmp_path):
    found = made(tmp_path, 'runcmd: [[echo, "it\'s", 7], "a && b", null]\n')
    [step] = steps(found)
    assert step['script']['runcmd']['inline'].splitlines() == [
        '#!/bin/sh',
        draft.GUARD,
        "'echo' 'it'\\''s' '7'",
        'a && b',
    ]


def test_a_password_in_clear_is_asked_for(tmp_path):
    found = made(
        tmp_path,
        'users: [{name: amy, plain_text_passwd: hunter2, lock_passwd: no}]\n'
        'chpasswd: {list: "bob:hunter3\\nroot:R"}\n',
    )
    assert 'hunter' not in found.text + str(found.notes)
    arguments = manifest.load(found.text).arguments
    assert [
        (argument.name, argument.hidden, argument.required)
        for argument in arguments
    ] == [
        ('amy-password-hash', True, True),
        ('bob-password-hash', True, True),
    ]
    assert {'user': {'amy': {'password_hash': '{{ amy-password-hash }}'}}} in (
        steps(found)
    )


def test_gzip_and_a_bomb(tmp_path):
    found = made(tmp_path, gzip.compress(b'#cloud-config\npackages: [a]\n'))
    assert steps(found) == [{'package': ['a']}]
    with pytest.raises(exception.InvalidInput, match='unpacks to more'):
        made(tmp_path, gzip.compress(bytes(64 * 1024**2)))
    bomb = base64.b64encode(gzip.compress(bytes(64 * 1024**2))).decode()
    found = made(
        tmp_path,
        f'write_files: [{{path: /a, encoding: gz+b64, content: {bomb}}}]',
    )
    assert lost(found) == [
        'write_files[0]: its content is too large when unpacked, as '
        'cloud-init wants it'
    ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('#cloud-config\na: &a [*a]\n', 'contains itself'),
        (
            '#cloud-config\na: &a [x, x]\n'
            + ''.join(
                f'{chr(98 + n)}: &{chr(98 + n)} [{", ".join(["*" + chr(97 + n)] * 9)}]\n'  # noqa: E501
                for n in range(9)
            ),
            'more than 100000 values',
        ),
        ('#cloud-config\n' + '[' * 200, 'levels deep'),
        ('#cloud-config\n- a\n', 'is not a mapping'),
        ('#cloud-config\na: b: c\n', 'is not YAML: line'),
        ('#cloud-config\na: \xff'.encode('latin-1'), 'not UTF-8'),
        ('## template: jinja\n#cloud-config\n{% if x %}\n', 'statements'),
        (b'\x1f\x8bgarbage', 'is damaged'),
        ('#cloud-config-archive\n' + '- a\n' * 201, 'more than 200 parts'),
    ],
)
def test_what_cannot_be_read(tmp_path, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(exception.InvalidInput, match=message):
        made(tmp_path, content)


def test_parts_that_are_not_taken(tmp_path):
    found = made(
        tmp_path,
        b'#cloud-config-archive\n'
        b'- {type: text/x-include-url, content: "http://a.example"}\n'
        b'- {type: text/part-handler, content: "x"}\n'
        b'- {content: "what is this"}\n'
        b'- {type: text/cloud-boothook, content: "#cloud-boothook\\ntrue"}\n'
        b'- "#!/usr/bin/python3\\nprint(1)\\n"\n',
    )
    assert [line.partition(': ')[2] for line in lost(found)] == [
        'what it includes is fetched by the machine',
        'handlers of parts run on the machine alone',
        'cloud-init does not know it',
    ]
    assert len(steps(found)) == 2


def test_a_newline_makes_no_line_of_a_manifest(tmp_path):
    found = made(tmp_path, '"a\\nvalidators: [package: evil]\\n": 1\n')
    assert steps(found) == []
    assert 'a\\nvalidators' in found.text


_SCALARS = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(allow_nan=False),
    strategies.text(max_size=12),
    strategies.binary(max_size=5),
    strategies.dates(),
)
_NAMES = sorted(
    {key for key, _ in cloud_init._ORDER}
    | {'runcmd', 'fqdn', 'mounts', 'snap'}
)
_INNER = strategies.sampled_from(
    ['name', 'path', 'content', 'source', 'sources', 'users', 'list', 'key',
     'servers', 'groups', 'sudo', 'uid', 'trusted', 'owner', 'permissions',
     'append', 'defer', 'password', 'type', 'conf', 'configs', 'encoding']
)  # fmt: skip
_VALUES = strategies.recursive(
    _SCALARS,
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=3),
        strategies.dictionaries(_INNER, inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(strategies.dictionaries(strategies.sampled_from(_NAMES), _VALUES))
def test_anything_becomes_a_manifest_that_loads(config):
    import yaml

    from imagebuild.conversion import writer

    text = '#cloud-config\n' + yaml.safe_dump(config)
    found = draft.Draft('x', 'cloud-init')
    try:
        cloud_init.convert(text.encode(), found)
    except exception.InvalidInput:
        return  # nested too deeply, or not text
    writer.settle(found)
    manifest.load(writer.text(found))
