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
"""The source of the Tempest plugin: Tempest itself is not needed to read it.

That the tests pass is what tests/cloud/test_tempest.py shows.
"""

import ast
import configparser
import pathlib
import uuid
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[3]
PACKAGE = 'imagebuild_tempest_plugin'

#: What there is where Tempest is.
KNOWN = {PACKAGE, 'oslo_config', 'tempest'}
STANDARD = {'json', 'pathlib', 'time', 'urllib'}


def trees() -> Iterator[tuple[pathlib.Path, ast.Module]]:
    for path in sorted((ROOT / PACKAGE).rglob('*.py')):
        yield path.relative_to(ROOT), ast.parse(path.read_bytes())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module or ''


def found_tests() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every test method, with its place."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith(
                'test_'
            ):
                yield f'{path}:{node.lineno}', node


def ids(test: ast.FunctionDef) -> list[str]:
    return [
        decorator.args[0].value
        for decorator in test.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr == 'idempotent_id'
        and isinstance(decorator.args[0], ast.Constant)
    ]


def test_it_needs_nothing_of_the_service() -> None:
    for path, tree in trees():
        tops = {name.partition('.')[0] for name in imported(tree)}
        assert tops <= KNOWN | STANDARD, path


def test_nothing_of_the_service_needs_it() -> None:
    for top in ('imagebuild', 'heat_plugin'):
        for path in (ROOT / top).rglob('*.py'):
            names = imported(ast.parse(path.read_bytes()))
            assert not any(PACKAGE in name for name in names), path


def test_every_test_has_an_id_of_its_own() -> None:
    seen = set()
    for place, test in found_tests():
        [found] = ids(test)
        assert str(uuid.UUID(found)) == found, place
        assert found not in seen, place
        seen.add(found)
    assert len(seen) > 100


def test_entry_point() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    [line] = setup['entry_points']['tempest.test_plugins'].split('\n')[1:]
    name, _, target = line.partition(' = ')
    module, _, attribute = target.partition(':')
    path = ROOT.joinpath(*module.split('.')).with_suffix('.py')
    names = [
        node.name
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert (name, attribute) == ('imagebuild', names[0])
    assert PACKAGE in setup['files']['packages'].split()
