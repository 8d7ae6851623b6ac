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
"""A test that is skipped where it counts is no test.

Tests choose what they do by the machine that they run on, and look at what
comes of it in either case. The source is parsed, not run.
"""

import ast
import pathlib
from collections.abc import Iterator

import pytest

TESTS = pathlib.Path(__file__).parents[1]
#: Ways of pytest and unittest to leave a test out or to let it fail.
WAYS = frozenset(
    {
        'importorskip',
        'skip',
        'skipIf',
        'skipTest',
        'skipUnless',
        'SkipTest',
        'skipif',
        'xfail',
        'expectedFailure',
    }
)
#: "path below tests:name" of those that have to be.
EXCEPTIONS: frozenset[str] = frozenset()


def ways(source: str) -> Iterator[str]:
    """The ways out that a module uses, as it names them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in WAYS:
            yield node.attr
        elif isinstance(node, ast.Name) and node.id in WAYS:
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from {each.name for each in node.names} & WAYS


def test_no_test_is_left_out() -> None:
    modules = sorted(TESTS.rglob('*.py'))
    assert len(modules) > 100
    found = {
        f'{path.relative_to(TESTS)}:{name}'
        for path in modules
        for name in ways(path.read_text())
    }
    assert found == EXCEPTIONS


@pytest.mark.parametrize('way', sorted(WAYS))
@pytest.mark.parametrize(
    'source',
    [
        'pytest.{}("x")',
        '@pytest.mark.{}(x)\ndef f(): ...',
        'from pytest import {}',
        'pytest.param(1, marks=pytest.mark.{})',
        '{}("x")',
    ],
)
def test_what_is_found(source: str, way: str) -> None:
    assert list(ways(source.format(way))) == [way]


def test_what_only_sounds_like_it() -> None:
    assert list(ways('def left_out(skips): return "skipped"')) == []
