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
import json

import pytest

from imagebuild import exception
from imagebuild.common import strict_yaml
from imagebuild.manifest import document


def problem(text):
    with pytest.raises(exception.InvalidManifest) as caught:
        document.parse(text)
    [found] = caught.value.errors
    assert found.path == ''
    return found.message


@pytest.mark.parametrize(
    'text, value',
    [
        ('', None),
        ('# only this', None),
        ('a: yes', {'a': 'yes'}),
        ('a: no', {'a': 'no'}),
        ('a: on', {'a': 'on'}),
        ('a: Off', {'a': 'Off'}),
        ('a: true', {'a': True}),
        ('a: FALSE', {'a': False}),
        ('a: tRUE', {'a': 'tRUE'}),
        ('a: !!bool True', {'a': True}),
        ('a: 2024-01-02', {'a': '2024-01-02'}),
        ('a: null', {'a': None}),
        ('a: ~', {'a': None}),
        ('a: =', {'a': '='}),
        ('a: .inf', {'a': '.inf'}),
        ('a: .nan', {'a': '.nan'}),
        ('a: !!int ""', {'a': ''}),
        ('a: !!float ""', {'a': ''}),
        ('8: a', {'8': 'a'}),
        ('1.10: a', {'1.10': 'a'}),
        ('true: a', {'true': 'a'}),
        ('null: a', {'null': 'a'}),
        ('yes: a', {'yes': 'a'}),
        (b'\xef\xbb\xbfa: 1', {'a': 1}),
        ('\ufeffa: 1', {'a': 1}),
        ('a: ä'.encode(), {'a': 'ä'}),
        ('a: "🐧"', {'a': '🐧'}),
        ('x: &x [1]\ny: *x', {'x': [1], 'y': [1]}),
        (
            'x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}',
            {'x': {'a': 1, 'b': 2}, 'y': {'a': 1, 'b': 3}},
        ),
        (
            'x: &x {a: 1}\ny: {b: 3, <<: [*x, {a: 4, c: 5}]}',
            {'x': {'a': 1}, 'y': {'a': 1, 'b': 3, 'c': 5}},
        ),
    ],
)
def test_values(text, value):
    assert document.parse(text) == value


@pytest.mark.parametrize(
    'written',
    [
        '1',
        '1.10',
        '0644',
        '1_000',
        '0x1F',
        '1e3',
        '1.0e+3',
        '08',
        '1:30',
        '-0',
    ],
)
def test_numbers_keep_their_text(written):
    assert document.as_text(document.parse(f'a: {written}')['a']) == written


@pytest.mark.parametrize(
    'value, text',
    [(None, ''), (True, 'true'), (False, 'false'), (1, '1'), ('x', 'x')],
)
def test_as_text(value, text):
    assert document.as_text(value) == text


def test_a_number_of_any_length_is_read():
    digits = '1' * 10_000
    assert document.as_text(document.parse(f'a: {digits}')['a']) == digits


@pytest.mark.parametrize(
    'text, words',
    [
        ('a: 1\na: 2', 'line 2, column 1: duplicate key "a"'),
        ('a: {b: 1, b: 2}', 'line 1, column 11: duplicate key "b"'),
        ('8: 1\n"8": 2', 'line 2, column 1: duplicate key "8"'),
        ('<<: {a: 1}\na: 2\na: 3', 'line 3, column 1: duplicate key "a"'),
        ('? [a]\n: 1', 'a key must be plain text'),
        ('a: [', 'line 1, column 5'),
        ('a: b: c', 'line 1, column 5'),
        ('\ta: 1', 'line 1, column 1'),
        ('a: 1\n---\nb: 2', 'but found another document'),
        (b'a: \xff', 'it is not UTF-8 text (byte 3)'),
        ('a: "\\uD800"', 'line 1: it holds invalid Unicode'),
        ('\x07', 'special characters are not allowed'),
        ('a: *b', "found undefined alias 'b'"),
        ('a: &a [*a]', 'line 1: it contains itself'),
        ('&a {b: {c: *a}}', 'line 1: it contains itself'),
        ('a: !!python/object/apply:os.system [x]', 'could not determine'),
        ('a: !!timestamp x', 'could not determine'),
        ('a: !!binary aGk=', 'could not determine'),
        ('a: !!set {b}', 'could not determine'),
        ('a: !!bool maybe', 'it is neither true nor false'),
        ('a: !!map [1]', 'it is not a mapping'),
        ('a: !!seq {b: 1}', 'expected a sequence node'),
        ('a: ' + '[' * 100 + ']' * 100, 'nested more than 64 levels deep'),
        ('[' * 100_000, 'nested more than 64 levels deep'),
        ('a: ' + 'x' * (strict_yaml.MAX_BYTES + 1), 'it is larger than 4 MiB'),
    ],
    ids=range(25),
)
def test_problems(text, words):
    assert words in problem(text)


def test_aliases_do_not_explode():
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for level in range(1, 12):
        inside = ', '.join([f'*a{level - 1}'] * 10)
        lines.append(f'a{level}: &a{level} [{inside}]')
    assert problem('\n'.join(lines)) == 'it has more than 100000 values'


def test_aliases_do_not_nest_deeper_than_brackets():
    lines = ['- &a0 [x]']
    lines += [f'- &a{level} [*a{level - 1}]' for level in range(1, 100)]
    assert 'its aliases are nested more than 64' in problem('\n'.join(lines))


def test_the_table_of_the_ordinary_safe_loader_is_untouched():
    import yaml

    loaded = yaml.safe_load('a: yes\nb: 2024-01-02\n8: x')
    assert loaded['a'] is True
    assert 8 in loaded


@pytest.mark.parametrize(
    'value',
    [
        {'a': [1, 1.5, None, True, 'x', {'b': []}]},
        {},
        [],
    ],
)
def test_what_was_read_elsewhere(value):
    assert document.plain(json.loads(json.dumps(value))) == value


def test_what_was_read_elsewhere_gets_text_keys():
    assert document.plain({8: (1,), True: {None: 2}}) == {
        '8': [1],
        'true': {'': 2},
    }


def nested(levels):
    value = 'x'
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    'value, words',
    [
        ({'a': {1, 2}}, 'it holds a value of type set'),
        ({'a': b'x'}, 'it holds a value of type bytes'),
        ({(1, 2): 'a'}, 'a key must be plain text'),
        ({1: 'a', '1': 'b'}, 'duplicate key "1"'),
        ({'a': '\ud800'}, 'invalid Unicode'),
        ({'\ud800': 'a'}, 'a key must be plain text'),
        (nested(2000), 'nested more than 64 levels'),
    ],
    ids=range(7),
)
def test_what_was_read_elsewhere_and_is_no_document(value, words):
    with pytest.raises(exception.InvalidManifest, match=words):
        document.plain(value)


def test_reading_stops_when_there_is_too_much(monkeypatch):
    monkeypatch.setattr(strict_yaml, 'MAX_NODES', 100)
    # The open bracket at the end is never reached.
    assert problem('- x\n' * 200 + '[') == 'it has more than 100 values'
