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
import pytest

from imagebuild import exception
from imagebuild.api import strict_json


def refused(data):
    with pytest.raises(exception.InvalidRequest) as caught:
        strict_json.parse(data)
    return [(problem.path, problem.message) for problem in caught.value.errors]


@pytest.mark.parametrize(
    'data, value',
    [
        (
            b'{"a": [1, 2.5, null, true, "x"]}',
            {'a': [1, 2.5, None, True, 'x']},
        ),
        (b'\xef\xbb\xbf{}', {}),
        (b'"\\ud83d\\ude00"', '\U0001f600'),
        (b'9223372036854775807', 2**63 - 1),
        (b'-0.0', 0.0),
    ],
)
def test_plain_values(data, value):
    assert strict_json.parse(data) == value


@pytest.mark.parametrize(
    'data, expected',
    [
        (b'', 'not JSON: line 1, column 1'),
        (b'{"a": }', 'not JSON: line 1'),
        (b'{"a": NaN}', 'NaN is not a number'),
        (b'[-Infinity]', 'not a number'),
        (b'1e999', 'too large'),
        (b'9223372036854775808', 'too large'),
        (b'-' + b'9' * 5000, 'too large'),
        (b'[' * 100_000, 'levels deep'),
        (b'[' * 70 + b']' * 70, 'levels deep'),
        (b'{"a":' * 70 + b'1' + b'}' * 70, 'levels deep'),
        (b'[' + b'0,' * 60_000 + b'0]', 'more than'),
        (b'{"a": 1, "b": 2, "a": 3}', 'duplicate key "a"'),
        (b'\xff\xfe{}', 'not UTF-8 text (byte 0)'),
    ],
)
def test_refused(data, expected):
    [(path, message)] = refused(data)
    assert path == ''
    assert expected in message


@pytest.mark.parametrize(
    'data, path, expected',
    [
        (b'{"a": ["x", "y\\u0000"]}', 'a[1]', 'it holds a NUL'),
        (b'{"a": "\\ud800"}', 'a', 'invalid Unicode'),
        (b'{"a\\u0000": 1}', '["a\0"]', 'in the key, it holds a NUL'),
    ],
)
def test_texts_that_cannot_be_stored(data, path, expected):
    [(where, message)] = refused(data)
    assert where == path
    assert expected in message


def test_all_texts_at_once():
    assert len(refused(b'["\\u0000", "\\udfff", "fine"]')) == 2
