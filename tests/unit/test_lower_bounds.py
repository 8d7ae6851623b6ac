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
"""Lower bounds of requirements; tools/lower-constraints.sh runs with them."""

import importlib
import pathlib
import re
import tomllib

# Imported it asks ldconfig for libraries, which a unit test may not do.
import asyncssh  # noqa: F401
import pytest

import imagebuild
from tools import lower_bounds

ROOT = pathlib.Path(imagebuild.__file__).parent
MODULES = sorted(
    '.'.join(('imagebuild', *path.relative_to(ROOT).with_suffix('').parts))
    for path in ROOT.rglob('*.py')
    if path.name != '__init__.py'
)
#: Modules that do something when they are imported: the API of this machine's
#: configuration, Alembic's environment.
STARTS = {'imagebuild.db.migrations.env', 'imagebuild.wsgi.api'}


def test_every_requirement_has_a_lower_bound():
    assert lower_bounds.ours()['stevedore'] == '5.4.1'


@pytest.mark.parametrize(
    'name',
    ['requirements.txt', 'test-requirements.txt', 'doc/requirements.txt'],
)
def test_what_a_checkout_is_worked_on_with_has_one_as_well(name):
    text = (lower_bounds.ROOT / name).read_text()
    assert lower_bounds.bounds(text)


def test_pbr_builds_with_the_version_that_it_runs_with():
    """Three files name it."""
    wanted = lower_bounds.ours()['pbr']
    project = tomllib.loads((lower_bounds.ROOT / 'pyproject.toml').read_text())
    requires = project['build-system']['requires']
    assert lower_bounds.bounds(*requires) == {'pbr': wanted}
    setup = (lower_bounds.ROOT / 'setup.py').read_text()
    assert re.findall(r"'pbr(.*?)'", setup) == [f'>={wanted}']


def test_a_requirement_without_one_is_refused():
    with pytest.raises(ValueError, match='no lower bound: rich'):
        lower_bounds.bounds('rich # MIT')


def test_the_constraints_have_each_name_once(capsys):
    lower_bounds.main()
    lines = capsys.readouterr().out.splitlines()
    names = [
        lower_bounds.canonical(re.split('=', line)[0])
        for line in lines
        if ';' not in line
    ]
    assert len(names) == len(set(names)) > 500
    assert 'pyopenssl==24.2.1' in lines


def test_another_version_is_named(monkeypatch, capsys):
    monkeypatch.setattr(
        lower_bounds, 'ours', lambda: {'rich': '1.0', 'pytest': '0'}
    )
    versions = {'rich': '1.0.0', 'pytest': '8.0'}
    monkeypatch.setattr(lower_bounds.metadata, 'version', versions.get)
    assert lower_bounds.main(['--installed']) == 1
    assert capsys.readouterr().out == 'pytest: 8.0 is installed, not 0\n'


def test_every_module_is_imported():
    assert len(MODULES) > 250
    for name in MODULES:
        if name not in STARTS:
            importlib.import_module(name)
