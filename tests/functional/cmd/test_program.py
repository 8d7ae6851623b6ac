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
"""Programs whose standard streams are full, closed or not read; --debug."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
from importlib import metadata

import pytest

from imagebuild.cmd import program


def shell(line, **kwargs):
    return subprocess.run(
        ['/bin/sh', '-c', line],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            'PATH': f'{pathlib.Path(sys.executable).parent}:/usr/bin:/bin',
            # What is left in a buffer is part of what is tried.
            'PYTHONUNBUFFERED': '',
        },
        **kwargs,
    )


def test_standard_output_that_is_full():
    done = shell('imagebuild-pack --json > /dev/full')
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        '--image is required; see "imagebuild-pack --help".',
        'Standard output cannot be written to: No space left on device.',
    ]
    done = shell('imagebuild-pack --help > /dev/full')
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_standard_error_that_is_full_or_closed():
    for line in (
        'imagebuild-pack --json 2> /dev/full',
        'imagebuild-pack --json 2>&-',
    ):
        done = shell(line)
        assert done.returncode == 2
        assert json.loads(done.stdout)['result'] == 'failed'


def test_who_reads_standard_output_is_gone():
    done = shell('(imagebuild-pack --json; echo $? >&2) | true')
    assert done.stderr.splitlines() == [
        '--image is required; see "imagebuild-pack --help".',
        '2',
    ]


PROGRAMS = [
    point.name
    for point in metadata.entry_points(group='console_scripts')
    if point.name.startswith('imagebuild-')
]


@pytest.mark.parametrize('name', PROGRAMS)
def test_debug_shows_where_of_every_program(monkeypatch, capsys, name):
    """The report of an unexpected error of any of them says so."""
    short = name.removeprefix('imagebuild-')
    module = importlib.import_module(f'imagebuild.cmd.{short}')
    words = ['db', 'version'] if short == 'manage' else []
    assert module.main([*words, '--help']) == 0
    assert '--debug' in capsys.readouterr().out
    asked = []

    def run(work, *, debug=False, report=None):
        asked.append(debug)
        return 0

    monkeypatch.setattr(program, 'run', run)
    module.main([*words, '--debug'])
    module.main(words)
    assert asked == [True, False]
