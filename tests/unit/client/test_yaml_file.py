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
from osc_lib import exceptions as osc_exceptions

from imagebuild import manifest
from imagebuild.client.osc import yaml_file
from imagebuild.manifest import document
from imagebuild.recipes import search as recipes


@pytest.mark.parametrize(
    'text, value',
    [
        ('1', 1),
        ('1.5', 1.5),
        ('1.10', '1.10'),
        ('0644', '0644'),
        ('0x1f', '0x1f'),
        ('1_000', '1_000'),
        ('1:30', '1:30'),
        ('.inf', '.inf'),
        ('true', True),
        ('False', False),
        ('yes', 'yes'),
        ('off', 'off'),
        ('2026-01-01', '2026-01-01'),
        ('~', None),
        ('', None),
        ('"1"', '1'),
        ('[a, {b: 1}]', ['a', {'b': 1}]),
        ('{8: x, true: y, null: z}', {'8': 'x', 'true': 'y', 'null': 'z'}),
        ('{"json": [1, null, false]}', {'json': [1, None, False]}),
    ],
)
def test_values(text, value):
    found = yaml_file.parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    'text, said',
    [
        ('{a: 1, a: 2}', 'duplicate key'),
        ('? [a]\n: b', 'plain text'),
        ('a: [', 'line 1'),
        ('&x [*x]', 'contains itself'),
        ('!!python/object:os.system {}', 'constructor'),
        ('a\0b', 'unacceptable'),
        ('[' * 5000, 'deep'),
    ],
)
def test_refused(text, said):
    with pytest.raises(ValueError, match=said):
        yaml_file.parse(text)


def test_aliases_do_not_fill_the_memory():
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]']
    for number in range(1, 12):
        inner = ', '.join([f'*a{number - 1}'] * 9)
        lines.append(f'a{number}: &a{number} [{inner}]')
    with pytest.raises(ValueError, match='values'):
        yaml_file.parse('\n'.join(lines))


def test_merge_keys():
    text = 'base: &b {x: 1, y: 2}\nall: {<<: *b, y: 3}'
    assert yaml_file.parse(text)['all'] == {'x': 1, 'y': 3}


@pytest.mark.parametrize(
    'content, said',
    [
        (b'- a', 'does not hold a mapping'),
        (b'', 'does not hold a mapping'),
        (b'\xff', 'not UTF-8'),
        (b'a: {', 'cannot be used: line 1'),
        (b'x' * (yaml_file.MAX_BYTES + 1), 'larger than 4 MiB'),
    ],
)
def test_files_refused(tmp_path, content, said):
    path = tmp_path / 'x.yaml'
    path.write_bytes(content)
    with pytest.raises(osc_exceptions.CommandError, match=said):
        yaml_file.load_mapping(path, 'thing')


def test_missing_file(tmp_path):
    with pytest.raises(osc_exceptions.CommandError, match='No such file'):
        yaml_file.load_mapping(tmp_path / 'x', 'thing')


MANIFEST = """
arguments:
  release: {default: 1.10, choices: [1.10, 2.0]}
  mode: {default: 0644}
  hours: {default: 12:30}
  sure: {default: yes}
min_disk: 5
validators:
  - os_case:
      - debian: [{package: nginx}]
      - redhat: [{package: {httpd: {version: "2.40"}}}]
  - argument_case:
      argument_name: release
      cases:
        1.10: [{script: {x: {inline: "echo 1.10"}}}]
        2.0: [{package: [a, {b: {version: "1.20"}}]}]
  - file: {/etc/x: {content: 007, mode: 0600}}
"""


def test_json_says_the_same_to_the_service():
    """What goes through this client has the content of the file itself."""
    through = json.loads(json.dumps(yaml_file.parse(MANIFEST)))
    direct = manifest.load(MANIFEST)
    sent = manifest.load(document.plain(through))
    for values in ({}, {'release': '2.0'}):
        assert sent.content_key(values) == direct.content_key(values)


@pytest.mark.parametrize(
    'path', sorted(recipes.SHIPPED.glob('*/*/manifest.yaml')), ids=str
)
def test_shipped_recipes_say_the_same(path):
    # The files of a recipe are in several directories; a client sends those
    # beside a manifest only.
    roots = [
        path.parent,
        *path.parents[1].glob('common'),
        recipes.SHIPPED / 'common',
    ]
    found = yaml_file.parse(path.read_text())
    sent = manifest.load(
        document.plain(json.loads(json.dumps(found))), resource_roots=roots
    )
    direct = manifest.load(path, resource_roots=roots)
    values = {
        item.name: 'https://x/y' for item in direct.arguments if item.required
    }
    assert sent.content_key(values) == direct.content_key(values)
