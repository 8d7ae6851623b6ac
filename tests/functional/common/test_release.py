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
"""The distribution: its name, and that nobody is sent to another project's."""

import configparser
import pathlib
import re
import subprocess
from importlib import metadata

import pytest

from imagebuild.common import release

ROOT = pathlib.Path(__file__).parents[3]

#: Where people and programs read what to install.
TEXTS = ('.rst', '.yaml', '.py', '.sh', '.txt', '.cfg', '.ini', '.toml', '')

#: "pip install" with a name that the package index would be asked for, on
#: the same line or the next one.
BARE = re.compile(
    r'''pip3?["',]*\s+["']?(?:install|wheel|download)\b'''
    r'''[^\n`]*?(?:\\\n[^\n`]*?)?[\s"'`]imagebuild(?:\[[a-z,]*\])?'''
    r'''(?=[\s"'`=<>~,;)]|$)'''
)


def tracked() -> list[pathlib.Path]:
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        return [p for p in ROOT.rglob('*') if p.is_file()]
    names = listed.stdout.decode().split('\0')
    return [ROOT / name for name in names if name]


def test_what_pip_calls_us():
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    assert setup['metadata']['name'] == release.DISTRIBUTION
    assert release.DISTRIBUTION == 'openstack-imagebuild'


def test_the_installed_distribution_has_that_name():
    provided = metadata.packages_distributions()['imagebuild']
    assert set(provided) == {release.DISTRIBUTION}
    assert release.version() == metadata.version('openstack-imagebuild')


def test_no_entry_point_is_found_twice():
    names = [
        point.name for point in metadata.entry_points(group='heat.clients')
    ]
    assert names.count('image_build') == 1


def test_nobody_is_sent_to_the_other_project():
    found = []
    for path in tracked():
        if path.suffix not in TEXTS or not path.is_file():
            continue
        if path == pathlib.Path(__file__):
            continue
        text = path.read_text(errors='replace')
        found += [
            f'{path.relative_to(ROOT)}: {match.group()}'
            for match in BARE.finditer(text)
        ]
    assert found == []


@pytest.mark.parametrize(
    'line',
    [
        "pip install 'imagebuild[client]'",
        'python -m pip install --no-deps imagebuild',
        "'-m', 'pip', 'install', 'imagebuild'",
        'pip install --upgrade \\\n    imagebuild',
    ],
)
def test_such_a_line_would_be_seen(line):
    assert BARE.search(line)


@pytest.mark.parametrize(
    'line',
    [
        "pip install 'openstack-imagebuild[client]'",
        'pip install /srv/imagebuild',
        'python3 -m pip uninstall imagebuild',
    ],
)
def test_and_such_a_line_is_none(line):
    assert not BARE.search(line)


def test_an_uninstalled_checkout_has_no_version(monkeypatch):
    monkeypatch.setattr(release, 'DISTRIBUTION', 'openstack-imagebuild-not')
    assert release.version() == 'unknown'
