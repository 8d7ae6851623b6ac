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
"""Modules and functions that can be read at one sitting."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
#: Migrations are written once, and tell everything in one place.
MODULES = [
    path
    for package in ('imagebuild', 'heat_plugin')
    for path in sorted((ROOT / package).rglob('*.py'))
    if 'versions' not in path.parts
]
LINES = 500
LINES_OF_A_FUNCTION = 59


def functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


def too_long(name, text):
    lines = len(text.splitlines())
    found = [f'{name} has {lines} lines'] if lines > LINES else []
    return found + [
        f'{name}: {function} has {lines} lines'
        for function, lines in functions(text)
        if lines > LINES_OF_A_FUNCTION
    ]


def test_nothing_is_too_long():
    assert len(MODULES) > 300
    found = [
        line
        for path in MODULES
        for line in too_long(path.relative_to(ROOT), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('x = 1\n' * 500, []),
        ('x = 1\n' * 501, ['m has 501 lines']),
        ('def f():\n' + '    x = 1\n' * 58, []),
        ('def f():\n' + '    x = 1\n' * 59, ['m: f has 60 lines']),
    ],
)
def test_what_is_too_long(text, found):
    assert too_long('m', text) == found
