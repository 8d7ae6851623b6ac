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
"""Who may import whom.

The table below is the one of doc/source/contributor/architecture.rst. The
source is parsed, not run, so imports inside functions and under
``TYPE_CHECKING`` count as well: a type that is needed is known.
"""

import ast
import dataclasses
import graphlib
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = 'imagebuild'

#: package -> what it may import, besides itself and what everyone may. Names
#: are modules of imagebuild, their submodules included; a submodule that is
#: a row of its own ("cmd.conductor") is not part of the package around it.
MAY_IMPORT: dict[str, set[str]] = {
    'exception': set(),
    'common': set(),
    'artifacts': set(),
    # Inside a disk image, and inside the machine that holds it
    'appliance': set(),
    'distros': {'remotes.base'},
    'manifest': {'distros', 'remotes.base'},
    'machines': {'manifest', 'remotes'},
    'recipes': {'manifest'},
    'conversion': {'manifest'},
    'remotes': {'appliance', 'sandbox'},
    'sandbox': set(),
    'sbom': {'distros.os_releases', 'remotes.base'},
    # What the API, the conductors and the jobs all read
    'context': {'policies'},
    'catalogue': {'manifest'},
    'channel_bases': {'catalogue', 'db'},
    'description': {'manifest', 'recipes'},
    'destinations': set(),
    'sealing': set(),
    # Where a disk comes from and where it goes
    'disks': {'appliance'},
    'boot': {'appliance', 'disks', 'sandbox'},
    'clients': set(),
    'layers': {'disks'},
    'repository': {'disks'},
    'drivers': {
        'appliance',
        'artifacts',
        'boot',
        'clients',
        'disks',
        'layers',
        'remotes',
        'sandbox',
    },
    'stores': {'artifacts', 'clients', 'disks'},
    # The service
    'conf': {'appliance', 'destinations'},
    'extension_options': {'conf', 'drivers', 'stores'},
    'db': set(),
    'policies': set(),
    'job': {
        'appliance',
        'artifacts',
        'boot',
        'catalogue',
        'clients',
        'description',
        'destinations',
        'disks',
        'drivers',
        'layers',
        'machines',
        'manifest',
        'recipes',
        'remotes',
        'repository',
        'sbom',
        'stores',
    },
    'messaging': {'db'},
    'conductor': {
        'artifacts',
        'catalogue',
        'channel_bases',
        'clients',
        'conf',
        'context',
        'db',
        'description',
        'destinations',
        'drivers',
        'extension_options',
        'job',
        'layers',
        'machines.networks',
        'messaging',
        'repository',
        'sbom',
        'sealing',
        'stores',
    },
    'api': {
        'catalogue',
        'channel_bases',
        'clients.references',
        'conf',
        'context',
        'db',
        'description',
        'destinations',
        'machines.networks',
        'manifest',
        'messaging',
        'policies',
        'recipes',
        'sbom.versions',
        'sealing',
    },
    'wsgi': {'api', 'conf'},
    'client': set(),
    'heat_plugin': {'client'},
    # Programs. Those for one machine, and what all share, are in cmd itself.
    'cmd': {
        'appliance',
        'boot',
        'catalogue',
        'conf',
        'conversion',
        'disks',
        'drivers',
        'layers',
        'machines',
        'manifest',
        'recipes',
        'remotes',
        'sbom',
    },
    'cmd.conductor': {'conductor', 'conf', 'cmd', 'extension_options'},
    'cmd.standalone': {
        'api',
        'catalogue',
        'cmd',
        'conductor',
        'conf',
        'db',
        'extension_options',
        'messaging',
        'sealing',
    },
    'cmd.manage': {'cmd', 'cmd.manage_images', 'conf', 'db'},
    'cmd.manage_images': {'cmd', 'conf', 'db', 'repository'},
    'cmd.status': {
        'catalogue',
        'cmd',
        'conductor',
        'conf',
        'db',
        'drivers',
        'extension_options',
        'layers',
        'sealing',
    },
}

#: Everyone may import these.
EVERYONES = {'common', 'exception'}

#: Not one of ours, but with a home: only these packages import it.
HOMES = {
    'guestfs': {'appliance'},
    'oslo_messaging': {'messaging'},
    # Whoever loads it before messaging has chosen its backend.
    'oslo_service': {'messaging'},
}


@dataclasses.dataclass(frozen=True)
class Import:
    path: pathlib.Path
    line: int
    module: str
    target: str


# -- reading the source -----------------------------------------------------


def source_files(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return every module under root: dotted name -> file."""
    found = {}
    for top in (PACKAGE, 'heat_plugin'):
        for path in sorted((root / top).rglob('*.py')):
            parts = path.relative_to(root).with_suffix('').parts
            if parts[-1] == '__init__':
                parts = parts[:-1]
            found['.'.join(parts)] = path
    return found


def imports(root: pathlib.Path) -> Iterator[Import]:
    """Find every import of every module, wherever in the file it is."""
    files = source_files(root)
    for module, path in files.items():
        tree = ast.parse(path.read_bytes(), str(path))
        for node in ast.walk(tree):
            for target in _targets(node, module, path, files):
                yield Import(
                    path.relative_to(root), node.lineno, module, target
                )


def _targets(node, module, path, files):
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=base, names=names, level=level):
            base = _absolute(base or '', level, module, path)
            for alias in names:
                # "from a import b": b is a module of a or a name in it.
                whole = f'{base}.{alias.name}'
                yield whole if whole in files else base
        case ast.Call(
            func=ast.Name(id='__import__' | 'import_module')
            | ast.Attribute(attr='import_module'),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name


def _absolute(base, level, module, path):
    if not level:
        return base
    parts = module.split('.')
    if path.name == '__init__.py':
        level -= 1
    parts = parts[: len(parts) - level]
    return '.'.join([*parts, base] if base else parts)


# -- the rules --------------------------------------------------------------


def short(module: str) -> str:
    """Return the name used in the table, '' for imagebuild itself."""
    return module.removeprefix(PACKAGE).removeprefix('.')


def within(module: str, whole: str) -> bool:
    return module == whole or module.startswith(f'{whole}.')


def package_of(module: str) -> str | None:
    """Return the innermost package that a module is in."""
    return max(
        (name for name in MAY_IMPORT if within(module, name)),
        key=len,
        default=None,
    )


def is_ours(target: str) -> bool:
    return within(target, PACKAGE) or within(target, 'heat_plugin')


def is_allowed(found: Import) -> bool:
    source = package_of(short(found.module))
    if not is_ours(found.target):
        top = found.target.partition('.')[0]
        return top not in HOMES or source in HOMES[top]
    target = short(found.target)
    if target == '':
        # The package itself holds nothing.
        return True
    target_package = package_of(target)
    if source is None or target_package is None:
        # The package itself imports nothing of ours; packages that the table
        # does not have are another test's.
        return False
    if target_package == source or target_package in EVERYONES:
        return True
    return any(
        within(target, allowed) and within(allowed, target_package)
        for allowed in MAY_IMPORT[source]
    )


def violations(root: pathlib.Path) -> list[str]:
    return [
        f'{found.path}:{found.line}: {short(found.module) or PACKAGE} may '
        f'not import {short(found.target)}'
        for found in imports(root)
        if not is_allowed(found)
    ]


def unlisted(root: pathlib.Path) -> list[str]:
    """Return the modules that are in no package of the table."""
    return [
        module
        for module in source_files(root)
        if module != PACKAGE and package_of(short(module)) is None
    ]


# -- the tests --------------------------------------------------------------


def test_every_module_has_a_package():
    assert unlisted(ROOT) == []


def test_imports_follow_the_table():
    assert violations(ROOT) == []


@pytest.mark.parametrize('name', ['api', 'client'])
def test_modules_of_a_package_do_not_import_each_other_in_circles(name):
    graph: dict[str, set[str]] = {}
    for found in imports(ROOT):
        module, target = short(found.module), short(found.target)
        # A package and its modules import each other by nature.
        if within(module, name) and within(target, name):
            if not within(module, target) and not within(target, module):
                graph.setdefault(module, set()).add(target)
    # Raises CycleError, which names the circle.
    graphlib.TopologicalSorter(graph).prepare()


def documented() -> dict[str, set[str]]:
    """Return the table as contributors read it."""
    text = (ROOT / 'doc/source/contributor/architecture.rst').read_text()
    table = text.partition('package or module ')[2].partition('``\n\n')[0]
    rows: dict[str, set[str]] = {}
    for line in table.splitlines():
        found = re.match(r'``([\w.]+)``  ', line)
        if found:
            row = rows.setdefault(found[1], set())
            line = line[found.end() :]
        if line.startswith('=') and rows:
            break
        if rows:
            row.update(re.findall(r'``([\w.]+)``', line))
    return rows


def test_the_documented_table_is_this_one():
    assert documented() == MAY_IMPORT


def test_table_names_only_packages():
    for allowed in MAY_IMPORT.values():
        for name in allowed:
            assert package_of(name), name


def test_remotes_and_distros_are_leaves_below_the_engine():
    # What the architecture says in words: engine and drivers never meet.
    def reach(start, seen):
        for name in MAY_IMPORT[start]:
            if package_of(name) not in seen:
                seen.add(package_of(name))
                reach(package_of(name), seen)
        return seen

    assert 'drivers' not in reach('manifest', set())
    assert 'manifest' not in reach('drivers', set())


@pytest.fixture
def tree(tmp_path):
    def write(files):
        for name, text in {f'{PACKAGE}/__init__.py': '', **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


MODULES = {
    'imagebuild/exception.py': '',
    'imagebuild/appliance/__init__.py': '',
    'imagebuild/cmd/__init__.py': '',
    'imagebuild/cmd/output.py': '',
    'imagebuild/cmd/conductor.py': '',
    'imagebuild/drivers/__init__.py': '',
    'imagebuild/drivers/bootstrap.py': '',
    'imagebuild/drivers/fake.py': '',
    'imagebuild/manifest/__init__.py': '',
    'imagebuild/manifest/schema.py': '',
    'imagebuild/remotes/__init__.py': '',
    'imagebuild/remotes/base.py': '',
    'imagebuild/remotes/ssh.py': '',
}


@pytest.mark.parametrize(
    'name, text',
    [
        ('drivers/x.py', 'import imagebuild.manifest'),
        ('drivers/x.py', 'from imagebuild import manifest'),
        ('drivers/x.py', 'from imagebuild.manifest import schema'),
        ('drivers/x.py', 'from imagebuild.manifest.schema import a as b'),
        ('drivers/x.py', 'from ..manifest import schema'),
        ('drivers/__init__.py', 'from .. import manifest'),
        ('drivers/x.py', 'def f():\n    from imagebuild import manifest'),
        (
            'drivers/x.py',
            'import typing\nif typing.TYPE_CHECKING:\n'
            '    from imagebuild import manifest',
        ),
        (
            'drivers/x.py',
            "import importlib\nimportlib.import_module('imagebuild.manifest')",
        ),
        ('manifest/x.py', 'from imagebuild.remotes import ssh'),
        ('manifest/x.py', 'from imagebuild import remotes'),
        ('manifest/x.py', 'from imagebuild import appliance'),
        ('cmd/pack.py', 'from imagebuild.job import main'),
        ('cmd/pack.py', 'from imagebuild.cmd import conductor'),
        ('remotes/x.py', 'import guestfs'),
        ('remotes/x.py', 'def f():\n    import guestfs'),
        ('__init__.py', 'from imagebuild import exception'),
        ('exception.py', 'from imagebuild import manifest'),
    ],
)
def test_checker_catches(tree, name, text):
    root = tree({**MODULES, f'imagebuild/{name}': text})
    [found] = violations(root)
    assert found.startswith(f'imagebuild/{name}:')
    assert 'may not import' in found


@pytest.mark.parametrize(
    'name, text',
    [
        ('manifest/x.py', 'from imagebuild import exception'),
        ('manifest/x.py', 'from imagebuild.manifest import schema'),
        ('manifest/x.py', 'from . import schema'),
        ('manifest/x.py', 'from imagebuild.remotes import base'),
        ('manifest/x.py', 'from imagebuild.remotes.base import Remote'),
        ('manifest/x.py', 'import imagebuild.remotes.base'),
        ('manifest/x.py', 'import yaml'),
        ('appliance/x.py', 'def f():\n    import guestfs'),
        ('cmd/pack.py', 'from imagebuild.cmd import output'),
        ('cmd/pack.py', 'from imagebuild.drivers import bootstrap'),
        ('drivers/x.py', 'from imagebuild.remotes import ssh'),
    ],
)
def test_checker_lets_pass(tree, name, text):
    root = tree({**MODULES, f'imagebuild/{name}': text})
    assert violations(root) == []


@pytest.mark.parametrize(
    'name', ['imagebuild/attic/__init__.py', 'imagebuild/util.py']
)
def test_checker_catches_a_package_that_is_not_in_the_table(tree, name):
    root = tree({**MODULES, name: ''})
    assert len(unlisted(root)) == 1
