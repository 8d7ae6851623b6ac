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
"""The documentation is built without a warning, and release notes lint."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
from html import escape

import pytest

from imagebuild import policies
from imagebuild.api import cors_defaults
from imagebuild.conf import opts

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def html(tmp_path_factory):
    out = tmp_path_factory.mktemp('docs')
    done = subprocess.run(
        [
            sys.executable, '-W', 'ignore', '-m', 'sphinx', '-W', '-q',
            '--keep-going', '-b', 'html', '-d', out / 'doctrees',
            ROOT / 'doc' / 'source', out / 'html',
        ],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONWARNINGS='ignore'),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / 'html'


def test_diagrams_are_drawn(html):
    assert shutil.which('dot')
    page = (html / 'operator' / 'index.html').read_text()
    assert '.svg' in page
    assert len(list((html / '_images').glob('graphviz-*.svg'))) >= 3


def test_the_reference_has_every_call_with_samples(html):
    page = (html / 'api' / 'reference.html').read_text()
    for anchor in ('post--v1-builds', 'get--v1-uploads', 'get--v1-conductors'):
        assert f'id="{anchor}"' in page
    # Part of a sample, which is put together of what the fields say.
    assert 'packages[0]' in page


def test_every_option_is_shown(html):
    page = (html / 'operator' / 'options.html').read_text()
    for group, options in opts.list_opts():
        section = getattr(group, 'name', group)
        for option in options:
            assert f'id="{escape(str(section))}.{option.dest}"' in page
    # Of the libraries, with our defaults: theirs have more methods.
    shown = page.partition('id="cors.allow_methods"')[2].partition('</dl>')[0]
    assert re.findall(r"'([A-Z]+)'", shown) == list(cors_defaults.METHODS)


def test_every_policy_is_shown(html):
    page = (html / 'operator' / 'policies.html').read_text()
    for rule in policies.list_rules():
        assert f'>{rule.name}<' in page


def test_release_notes_lint():
    done = subprocess.run(
        [sys.executable, '-c', 'from reno import main; main.main()', 'lint'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
