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
import textwrap

import pytest

from imagebuild import exception
from imagebuild import manifest
from tests.unit.manifest import engine

pytestmark = pytest.mark.usefixtures('core_language')


def load(arguments):
    text = textwrap.dedent(arguments).strip('\n')
    return manifest.load(
        'validators: []\narguments:\n' + textwrap.indent(text, '  ') + '\n'
    )


def problems(arguments):
    try:
        load(arguments)
    except exception.InvalidManifest as error:
        return [str(problem) for problem in error.errors]
    return []


MAPPING = """
    java-version:
      description: The java
        distribution.
      target_variable: JAVA_VERSION
      default: openjdk
      required: false
      choices: [openjdk, oracle-java]
    empty: {default: ''}
    number: {default: 1.10, choices: [1.10, 2]}
    flag: {default: false, type: boolean}
    password: {required: true, hidden: yes}
"""
LIST = """
    - java-version:
        description: The java distribution.
        target_variable: JAVA_VERSION
        default: openjdk
        required: false
        choices: [openjdk, oracle-java]
    - empty: {default: ''}
    - number: {default: 1.10, choices: [1.10, 2]}
    - flag: {default: false, type: boolean}
    - password: {required: true, hidden: yes}
"""
BESIDE = """
    - java-version:
      description: The java distribution.
      target_variable: JAVA_VERSION
      default: openjdk
      required: false
      choices: [openjdk, oracle-java]
    - empty: {default: ''}
    - number: {default: 1.10, choices: [1.10, 2]}
    - flag: {default: false, type: boolean}
    - password: {required: true, hidden: yes}
"""


@pytest.mark.parametrize('text', [MAPPING, LIST, BESIDE])
def test_every_shape_means_the_same(text):
    assert load(text).arguments == (
        manifest.Argument(
            'java-version',
            description='The java distribution.',
            default='openjdk',
            choices=('openjdk', 'oracle-java'),
            target_variable='JAVA_VERSION',
        ),
        manifest.Argument('empty', default=''),
        manifest.Argument('number', default='1.10', choices=('1.10', '2')),
        manifest.Argument('flag', default='false', type='boolean'),
        manifest.Argument('password', required=True, hidden=True),
    )


@pytest.mark.parametrize(
    'text, default',
    [
        ('{default: 0}', '0'),
        ('{default: 8}', '8'),
        ('{default: false}', 'false'),
        ('{default: yes}', 'yes'),
        ("{default: ''}", ''),
        ('{default: 0644}', '0644'),
        ('{required: true}', None),
        ('{required: true, default: x}', 'x'),
    ],
)
def test_defaults_are_text(text, default):
    [argument] = load(f'a: {text}').arguments
    assert argument.default == default


@pytest.mark.parametrize(
    'text, expected',
    [
        ('a:', ['a: it is not required, so it must have a default']),
        ('a: {}', ['a: it is not required, so it must have a default']),
        (
            'a: {default: null}',
            ['a: it is not required, so it must have a default'],
        ),
        (
            'a: {default: x, choices: [y, z]}',
            ['a.default: "x" is not one of: y, z'],
        ),
        (
            'a: {default: 1, choices: ["1.0"]}',
            ['a.default: "1" is not one of: 1.0'],
        ),
        (
            'a: {default: x, type: integer}',
            ['a.default: "x" is not of type integer'],
        ),
        (
            'a: {default: secret, hidden: true, choices: [other]}',
            ['a.default: the value is not one of: other'],
        ),
        (
            'a: {default: x, colour: red}',
            [
                'a.colour: unknown key; known are: choices, default, '
                'description, hidden, required, target_variable, type'
            ],
        ),
        ('a: {default: [x]}', ["a.default: ['x'] is not of type"]),
        ('a: {default: x, choices: []}', ['a.choices: it must not be empty']),
        ('a: {default: x, choices: y}', ["a.choices: 'y' is not of type"]),
        ('a: {default: x, required: maybe}', ["a.required: 'maybe' is not"]),
        ('a: {default: x, type: date}', ["a.type: 'date' is not one of"]),
        (
            'a: {default: x, target_variable: "a b"}',
            ["a.target_variable: 'a b' is not a name"],
        ),
        ('a: x', ["a: 'x' is not of type"]),
        ('a b: {default: x}', ["[\"a b\"]: 'a b' is not a name"]),
        ('1a: {default: x}', ["[\"1a\"]: '1a' is not a name"]),
        (
            'image: {default: x}',
            ['image: "image" is the name of a global option'],
        ),
        (
            'Test-Only: {default: x}',
            [
                'Test-Only: "Test-Only" is the name of a global option',
            ],
        ),
        ('help: {default: x}', ['help: "help" is the name of a global']),
        ('distro: {default: x}', ['distro: "distro" is set for every']),
        (
            'test_only: {default: x}',
            ['test_only: "test_only" is set for every script'],
        ),
        (
            'PATH: {default: x}',
            ['PATH: "PATH" would change how every program runs'],
        ),
        (
            'a: {default: x, target_variable: LD_PRELOAD}',
            ['a: "LD_PRELOAD" would change'],
        ),
        (
            'a: {default: x, target_variable: test_only}',
            ['a: "test_only" is set for every script and cannot be used'],
        ),
        (
            'a-b: {default: x}\na_b: {default: y}',
            ['a_b: the variable "a_b" is also that of the argument "a-b"'],
        ),
        (
            'a: {default: x, target_variable: B}\nB: {default: y}',
            ['B: the variable "B" is also that of the argument "a"'],
        ),
        (
            'a: {default: x, target_variable: V}\n'
            'b: {default: x, target_variable: V}',
            ['b: the variable "V" is also that of the argument "a"'],
        ),
    ],
)
def test_rules(text, expected):
    found = problems(text)
    assert len(found) == len(expected), found
    for told, wanted in zip(found, expected, strict=True):
        joint = '' if wanted.startswith('[') else '.'
        assert told.startswith(f'arguments{joint}{wanted}')


@pytest.mark.parametrize(
    'text, expected',
    [
        (
            '- a: {default: x}\n- a: {default: y}',
            'arguments[1].a: the argument "a" is a duplicate',
        ),
        ('- a', 'arguments[0]: it is not a mapping of one key'),
        ('- {}', 'arguments[0]: it is not a mapping of one key'),
        (
            '- a: {default: x}\n  b: {default: y}',
            'arguments[0]: it must have exactly one key',
        ),
        ('- a: {}', 'arguments[0].a: it is not required, so it must'),
        ('x', 'arguments: it is neither a mapping nor a list'),
    ],
)
def test_rules_of_the_list(text, expected):
    [found] = problems(text)
    assert found.startswith(expected)


def test_every_problem_at_once():
    found = problems('a: {}\nb: {default: x, choices: [y]}\nimage: {}')
    assert len(found) == 3


# -- values -----------------------------------------------------------------

DECLARED = """
    plain: {default: x}
    need: {required: true}
    count: {default: 1, type: integer}
    share: {default: 1.5, type: number}
    flag: {default: true, type: boolean}
    pick: {default: 8, choices: [8, 11]}
    secret: {default: hush, hidden: true, choices: [hush, quiet]}
"""


@pytest.mark.parametrize(
    'given, changed',
    [
        ({'need': 'y'}, {}),
        ({'need': ''}, {'need': ''}),
        ({'need': 0}, {'need': '0'}),
        ({'need': False}, {'need': 'false'}),
        ({'need': 'y', 'pick': 11}, {'pick': '11'}),
        ({'need': 'y', 'plain': None}, {}),
        ({'need': 'y', 'plain': ''}, {'plain': ''}),
        ({'need': 'y', 'count': '-3'}, {'count': '-3'}),
        ({'need': 'y', 'share': 2}, {'share': '2'}),
        ({'need': 'y', 'flag': False}, {'flag': 'false'}),
    ],
)
def test_values(given, changed):
    assert load(DECLARED).resolve(given) == {
        'plain': 'x',
        'need': 'y',
        'count': '1',
        'share': '1.5',
        'flag': 'true',
        'pick': '8',
        'secret': 'hush',
        **changed,
    }


@pytest.mark.parametrize(
    'given, expected',
    [
        (None, ['arguments.need: a value is required']),
        ({'need': None}, ['arguments.need: a value is required']),
        (
            {'need': 'y', 'Plain': 'x'},
            ['arguments.Plain: unknown argument; known are: plain, need, '],
        ),
        (
            {'need': 'y', 'pick': '9'},
            ['arguments.pick: "9" is not one of: 8, 11'],
        ),
        (
            {'need': 'y', 'pick': '8.0'},
            ['arguments.pick: "8.0" is not one of: 8, 11'],
        ),
        (
            {'need': 'y', 'count': '1.5'},
            ['arguments.count: "1.5" is not of type integer'],
        ),
        (
            {'need': 'y', 'flag': 'yes'},
            ['arguments.flag: "yes" is not of type boolean'],
        ),
        (
            {'need': 'y', 'secret': 'out with it'},
            ['arguments.secret: the value is not one of: hush, quiet'],
        ),
        (
            {'need': ['y']},
            ['arguments.need: the value is not a text or number'],
        ),
        ({'need': 'a\0b'}, ['arguments.need: the value holds a NUL']),
        (
            {'zz': '1', 'pick': '9'},
            [
                'arguments.zz: unknown argument',
                'arguments.need: a value is required',
                'arguments.pick: "9" is not one of: 8, 11',
            ],
        ),
    ],
)
def test_values_that_are_not_accepted(given, expected):
    declared = load(DECLARED)
    with pytest.raises(exception.InvalidArguments) as caught:
        declared.resolve(given)
    found = [str(problem) for problem in caught.value.errors]
    assert len(found) == len(expected), found
    for told, wanted in zip(found, expected, strict=True):
        assert told.startswith(wanted)


def test_wrong_values_are_told_before_the_system_is_touched():
    remote = engine.system()
    with pytest.raises(exception.InvalidArguments):
        load(DECLARED).run(remote, {'need': 'y', 'pick': 1})
    assert remote.commands == []


@pytest.mark.parametrize(
    'kind, good, bad',
    [
        (
            'path',
            ['/', '/srv', '/srv/a-b_c.d/e,f:g=h@i+j~k'],
            ['', 'srv', '/srv/', '//srv', '/srv/../x', '/a b', "/a'", '/a\n',
             '/a;b', '/ä', '/$x'],
        ),
        (
            'url',
            ['https://a/b', 'http://[::1]:80/x?y=z&w', 'file:///srv/x',
             'ftp://a/$releasever/$basearch'],
            ['', 'a/b', 'https://', 'ssh://a', 'https://a b', 'https://a\n',
             'https://a"', "https://a'", 'https://a\\b', 'https://a<b>',
             'HTTPS://a'],
        ),
    ],
)  # fmt: skip
def test_what_paths_and_urls_look_like(kind, good, bad):
    argument = manifest.Argument('x', required=True, type=kind)
    assert [argument.error(text) for text in good] == [None] * len(good)
    assert all(argument.error(text) for text in bad)
    assert manifest.Argument('x', default='', type=kind).error('') is None
