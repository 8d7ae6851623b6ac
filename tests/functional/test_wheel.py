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
"""A wheel is built of this checkout, and has all that is installed of it."""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tools import lower_bounds

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ('imagebuild', 'heat_plugin', 'imagebuild_tempest_plugin')
#: Where what is no Python goes: a directory of the checkout, one of a prefix.
DATA = {'etc': 'etc', 'templates': 'share/openstack-imagebuild/templates'}
FILES = (
    'LICENSE',
    'MANIFEST.in',
    'README.rst',
    'pyproject.toml',
    'requirements.txt',
    'setup.cfg',
    'setup.py',
)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """One of a copy, since to build leaves things behind.

    As without git, where the version is the builder's to say: what else is
    to be carried has to be in MANIFEST.in.
    """
    place = tmp_path_factory.mktemp('wheel')
    sources = place / 'sources'
    for name in (*PACKAGES, *DATA):
        shutil.copytree(
            ROOT / name,
            sources / name,
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    for name in FILES:
        shutil.copy(ROOT / name, sources / name)
    done = subprocess.run(
        [
            sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
            '--no-index', '--no-build-isolation', '--no-cache-dir',
            '--disable-pip-version-check', '--wheel-dir', place, sources,
        ],
        env={**os.environ, 'PBR_VERSION': '0.1.0'},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(
        place / 'openstack_imagebuild-0.1.0-py3-none-any.whl'
    ) as archive:
        yield archive


def sources(*directories):
    return {
        str(path.relative_to(ROOT))
        for directory in directories
        for path in (ROOT / directory).rglob('*')
        if path.is_file()
        and '__pycache__' not in path.parts
        # An editor's, say.
        and not path.name.startswith('.')
    }


def test_it_has_every_file_of_the_packages(wheel):
    """Recipes, migrations and py.typed among them."""
    carried = {name for name in wheel.namelist() if name.startswith(PACKAGES)}
    assert carried == sources(*PACKAGES)
    assert 'imagebuild/recipes/redis/7/manifest.yaml' in carried
    assert 'imagebuild/py.typed' in carried


def test_it_has_samples_catalogue_and_templates(wheel):
    prefix = 'openstack_imagebuild-0.1.0.data/data/'
    carried = {
        name.removeprefix(prefix)
        for name in wheel.namelist()
        if name.startswith(prefix)
    }
    wanted = {
        name.replace(directory, target, 1)
        for directory, target in DATA.items()
        for name in sources(
            'etc/imagebuild' if directory == 'etc' else directory
        )
    }
    assert carried == wanted
    assert 'etc/imagebuild/operating-systems.yaml' in carried


def metadata(wheel, name):
    path = f'openstack_imagebuild-0.1.0.dist-info/{name}'
    return wheel.read(path).decode()


def parsed(text):
    parser = configparser.ConfigParser(delimiters=('=',))
    parser.optionxform = str
    parser.read_string(text)
    return parser


def pairs(text):
    """What setup.cfg says of one group of entry points."""
    return {
        tuple(part.strip() for part in line.split('=', 1))
        for line in text.splitlines()
        if line.strip()
    }


def test_its_entry_points_and_extras_are_those_of_setup_cfg(wheel):
    setup = parsed((ROOT / 'setup.cfg').read_text())
    points = parsed(metadata(wheel, 'entry_points.txt'))
    assert {
        group: set(points[group].items()) for group in points.sections()
    } == {
        group: pairs(setup['entry_points'][group])
        for group in setup['entry_points']
    }
    lines = metadata(wheel, 'METADATA').split('\n\n')[0].splitlines()
    fields = [line.partition(': ')[::2] for line in lines]
    extras = {value for key, value in fields if key == 'Provides-Extra'}
    assert extras == set(setup['extras'])
    needed = [value for key, value in fields if key == 'Requires-Dist']
    assert len(needed) >= len(lower_bounds.ours())
    assert ('Name', 'openstack-imagebuild') in fields
    assert ('Requires-Python', '>=3.11') in fields


def test_it_finds_its_recipes(wheel, tmp_path):
    wheel.extractall(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'import imagebuild.recipes as r; print(r.__file__, *r.find())',
        ],
        # Before the checkout, which is installed for development.
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    path, *found = done.stdout.split()
    assert pathlib.Path(path).is_relative_to(tmp_path)
    shipped = (ROOT / 'imagebuild' / 'recipes').glob('*/*/manifest.yaml')
    assert set(found) >= {each.parent.parent.name for each in shipped}
    assert 'redis' in found


def test_no_page_names_a_version_of_it():
    """That of a checkout's is made by pbr of what git knows."""
    pages = [*(ROOT / 'doc' / 'source').rglob('*.rst'), ROOT / 'README.rst']
    named = [
        page.name
        for page in pages
        if re.search(r'openstack_imagebuild-\d', page.read_text())
    ]
    assert named == []
