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

"""No message says "1 steps"."""

import ast
import pathlib
import re

import pytest

from imagebuild import exception
from imagebuild.common.counts import counted

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = [
    path
    for package in ('imagebuild', 'heat_plugin')
    for path in (ROOT / package).rglob('*.py')
]
#: What our messages count. "bytes" are not among them: a size of one has not
#: been met.
NOUNS = (
    'attempts|builds|characters|conductors|elements|entries|errors|failures|'
    'files|hosts|images|keys|layers|lines|machines|minutes|others|packages|'
    'partitions|problems|recipes|seconds|servers|steps|tags|things|times|'
    'values'
)
_NOUN = re.compile(rf' (?:(?:image|more) )?({NOUNS})\b')
_PERCENT = re.compile(rf'%d (?:(?:image|more) )?({NOUNS})\b')
#: Where it is never only one, since the message is about several.
SEVERAL = {
    ('heat_plugin/messages.py', 'seconds'),
    ('imagebuild/client/osc/wait.py', 'seconds'),
    ('imagebuild/clients/visibility.py', 'images'),
    ('imagebuild/cmd/validate.py', 'machines'),
    ('imagebuild/disks/partitions.py', 'partitions'),
    ('imagebuild/drivers/snapshot/boot.py', 'characters'),
    ('imagebuild/drivers/snapshot/user_data.py', 'characters'),
    ('imagebuild/layers/session.py', 'layers'),
    # Of one it is worth a sentence of its own.
    ('imagebuild/manifest/validators/groups.py', 'steps'),
    ('imagebuild/remotes/guest_faults.py', 'seconds'),
    ('imagebuild/remotes/guest_resolver.py', 'files'),
    ('imagebuild/repository/retention.py', 'seconds'),
}


@pytest.mark.parametrize(
    ('number', 'words', 'text'),
    [
        (0, ('step',), '0 steps'),
        (1, ('step',), '1 step'),
        (2, ('step',), '2 steps'),
        (1.0, ('second',), '1 second'),
        (0.5, ('second',), '0.5 seconds'),
        (1800.0, ('second',), '1800 seconds'),
        (123456789012, ('byte',), '123456789012 bytes'),
        (1, ('entry', 'entries'), '1 entry'),
        (3, ('entry', 'entries'), '3 entries'),
    ],
)
def test_counted(number, words, text):
    assert counted(number, *words) == text


@pytest.mark.parametrize(
    'error',
    [
        exception.RunTimeout,
        exception.RemoteCommandTimeout,
        exception.BuildTimeout,
        exception.UploadTimeout,
    ],
)
def test_limits_of_time(error):
    texts = [
        str(error(seconds=seconds, what='a step', command='x.sh'))
        for seconds in (1, 1.0, 0.5, 30)
    ]
    assert re.search(r'\b1 second\b', texts[0])
    assert texts[1] == texts[0]
    assert '0.5 seconds' in texts[2]
    assert '30 seconds' in texts[3]


def is_constant(value):
    """Such as ``_MOST`` and ``limits.MAX_NODES``: known when written."""
    name = ast.unparse(value).rpartition('.')[2]
    return name == name.upper()


def found(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for value, after in zip(
                node.values, node.values[1:], strict=False
            ):
                if (
                    isinstance(value, ast.FormattedValue)
                    and isinstance(after, ast.Constant)
                    and not is_constant(value.value)
                    and (match := _NOUN.match(after.value))
                ):
                    yield value.lineno, match[1]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for match in _PERCENT.finditer(node.value):
                yield node.lineno, match[1]


@pytest.mark.parametrize(
    ('text', 'nouns'),
    [
        ("f'{number} steps'", ['steps']),
        ("f'{len(files)} image files of {total}'", ['files']),
        ("f'after {timeout:g} seconds; it goes on'", ['seconds']),
        ("LOG.info('%d builds are running', number)", ['builds']),
        ("f'more than {_MOST} steps and {limits.MOST} files'", []),
        ("f'{counted(number, \"step\")}, {stepsize}, {name} stepsister'", []),
    ],
)
def test_what_is_found(text, nouns):
    assert [noun for _line, noun in found(ast.parse(text))] == nouns


def test_numbers_are_counted():
    """By imagebuild.common.counts.counted."""
    wrong = [
        f'{path.relative_to(ROOT)}:{line}: {noun}'
        for path in SOURCES
        for line, noun in found(ast.parse(path.read_bytes()))
        if (str(path.relative_to(ROOT)), noun) not in SEVERAL
    ]
    assert wrong == []
