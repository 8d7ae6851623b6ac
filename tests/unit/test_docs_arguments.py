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
"""No example of ours gives an argument a name that none can have."""

import json
import pathlib
import re

import pytest

from imagebuild.api import openapi
from imagebuild.api import routes
from imagebuild.manifest import arguments

ROOT = pathlib.Path(__file__).parents[2]
FILES = [
    ROOT / 'README.rst',
    ROOT / 'CONTRIBUTING.rst',
    *(ROOT / 'doc' / 'source').rglob('*.rst'),
    *(ROOT / 'releasenotes' / 'notes').glob('*.yaml'),
    *(ROOT / 'templates').rglob('*.yaml'),
    *(ROOT / 'imagebuild' / 'recipes').rglob('*.yaml'),
    *(ROOT / 'benchmarks').rglob('*.yaml'),
    *(ROOT / 'etc').rglob('*.yaml'),
    *(ROOT / 'heat_plugin').rglob('*.py'),
    *(ROOT / 'imagebuild').rglob('*.py'),
]

_OPTION = re.compile(r'--argument[ =]\'?(?P<name>\w+)[=:]')
# {size: 2} and {"size": 2}; nested ones have their names within.
_FLOW = re.compile(r'["\']?\barguments["\']?: *\{(?P<inner>[^{}]*)\}')
_KEY = re.compile(r'(?:^|,)\s*["\']?(?P<name>[A-Za-z_]\w*)["\']?\s*:')
_BLOCK = re.compile(
    r'^(?P<indent> *)(?:- )?arguments: *\n'
    r'(?P<inner>(?P<more>(?P=indent) +)[A-Za-z_][\w.]*:.*\n'
    r'(?:(?P=more).*\n|\n)*)',
    re.MULTILINE,
)


def names(text):
    """Names of arguments that a text declares or gives."""
    yield from (match['name'] for match in _OPTION.finditer(text))
    for match in _FLOW.finditer(text):
        yield from (key['name'] for key in _KEY.finditer(match['inner']))
    for match in _BLOCK.finditer(text):
        keys = rf'^{match["more"]}([A-Za-z_]\w*):'
        yield from re.findall(keys, match['inner'], re.MULTILINE)


def reserved(text):
    return [
        name
        for name in names(text)
        if name.lower() in arguments.RESERVED_NAMES | arguments.RESERVED
    ]


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ("           arguments: {version: '7'}\n", ['version']),
        ('"arguments": {"port": 1, "host": "x"}', ['port', 'host']),
        ('x --argument port=6380 --argument image=y', ['port', 'image']),
        (
            '  arguments:\n    port:\n      default: 1\n\n    host: {}\n'
            '  x:\n',
            ['port', 'host'],
        ),
    ],
)
def test_what_is_found(text, found):
    assert list(names(text)) == found


def test_no_example_has_a_reserved_name():
    wrong = [
        f'{path.relative_to(ROOT)}: {name}'
        for path in FILES
        for name in reserved(path.read_text())
    ]
    assert wrong == []
    api = openapi.document(routes.ROUTES, 'http://api.example:9797')
    assert reserved(json.dumps(api)) == []


def test_there_are_examples():
    found = {
        path: list(names(path.read_text()))
        for path in FILES
        if path.suffix in ('.rst', '.yaml')
    }
    assert sum(map(bool, found.values())) > 20
