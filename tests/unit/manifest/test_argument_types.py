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
import jsonschema
import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.api import views
from imagebuild.manifest import argument_types

KEY = (
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFDYWOCYXsx/YEGKrwzFq1h/QsJXCohAlanoz'
    'KzQ9lRc developer'
)
# As one begins; no scanner of secrets should find one here.
PRIVATE = '-----BEGIN OPENSSH {} KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n'
GOOD = {
    'string': ['', 'a\nb', 'x' * 1000],
    'line': ['', 'Grüße', "it's", 'a; rm -rf /'],
    'word': ['a', '0.0.0.0', '::', '*', 'gcomm://10.0.0.1,10.0.0.2', '-1'],
    'words': ['a', 'Test Cluster', '127.0.0.1 -::1'],
    'integer': ['0', '-3', '+5', '0644'],
    'number': ['1', '1.5', '-.5', '1e3'],
    'port': ['1', '65535', '0080'],
    'boolean': ['true', 'false'],
    'path': ['/', '/srv/a-b_c.d'],
    'url': ['http://a/b', 'file:///x', 'https://u@h:1/$releasever?a=b'],
    'ssh_key': [KEY],
}
BAD = {
    'line': ['a\nb', 'a\rb', '\x1b[2J', 'a\u2028b', 'a\0'],
    'word': ['', 'a b', 'a\n', '"', "'", 'a;b', '$(x)', '`x`', 'ü', '#', '%n'],
    'words': ['', ' a', 'a  b', 'a ', 'a\nb', "a 'b'"],
    'integer': ['', '1.5', '1_0', ' 1', '٣', '1\n', '0x1f', '9' * 200],
    'number': ['', 'nan', 'inf', '1_0', ' 1', '1e', '٣'],
    'port': ['', '0', '65536', '70000', '-1', '1.0', '٣', ' 80', '80\n'],
    'boolean': ['', 'yes', 'True', '1'],
    'path': ['', 'srv', './srv', '../..', '/a/../b', '/a b', '//a', '/a\n'],
    'url': ['', '/x', 'gopher://x', 'http://', "http://a'b", 'http://a b'],
    'ssh_key': [
        *('', 'x', 'ssh-ed25519', 'ssh-ed25519 ***', f'{KEY}\n{KEY}'),
        'ssh-rsa AAAA', KEY[:60],
    ],
}  # fmt: skip


def cases(table):
    return [
        pytest.param(kind, value, id=f'{kind}-{number}')
        for kind, values in table.items()
        for number, value in enumerate(values)
    ]


def argument(kind, **more):
    return manifest.Argument('a', type=kind, **more)


def test_all_are_here():
    assert set(GOOD) == set(argument_types.NAMES)
    assert set(BAD) == set(argument_types.NAMES) - {'string'}


@pytest.mark.parametrize('kind, value', cases(GOOD))
def test_good(kind, value):
    assert argument(kind).error(value) is None


@pytest.mark.parametrize('kind, value', cases(BAD))
def test_bad(kind, value):
    wrong = argument(kind).error(value)
    assert f'is not of type {kind} (' in wrong
    assert wrong.isprintable()
    assert len(wrong) < 300
    hidden = argument(kind, hidden=True).error(value)
    assert hidden.startswith('the value is not of type')


@pytest.mark.parametrize('kind', argument_types.NAMES)
def test_empty_where_the_default_is(kind):
    assert argument(kind, default='').error('') is None


def test_a_private_key_is_not_repeated():
    wrong = argument('ssh_key').error(PRIVATE.format('PRIVATE'))
    assert 'its public half is wanted' in wrong
    assert 'b3Blbn' not in wrong


@pytest.mark.parametrize('kind', argument_types.NAMES)
def test_schema(kind):
    """What the service says of them is what they are."""
    declared = argument(kind, required=True)
    schema = views.arguments_schema([declared])
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for value in GOOD[kind]:
        if kind in ('integer', 'number', 'port', 'boolean'):
            value = value == 'true' if kind == 'boolean' else float(value)
        check.validate({'a': value})
    if 'pattern' in schema['properties']['a']:
        for value in BAD[kind]:
            assert not check.is_valid({'a': value}), value


def test_schema_of_what_may_be_empty():
    schema = views.arguments_schema([argument('word', default='')])
    check = jsonschema.Draft202012Validator(schema)
    check.validate({'a': ''})
    assert not check.is_valid({'a': 'a b'})


def test_in_a_manifest():
    loaded = manifest.load(
        'arguments: {port: {type: port, default: 80}}\nvalidators: []\n'
    )
    assert loaded.resolve({'port': 8080}) == {'port': '8080'}
    with pytest.raises(exception.InvalidArguments) as caught:
        loaded.resolve({'port': 70000})
    assert (
        'arguments.port: "70000" is not of type port (a number from 1 to '
        '65535)'
    ) in str(caught.value)
