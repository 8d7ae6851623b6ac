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
import os
import pathlib
import subprocess

import pytest

from tools.cloud import clouds
from tools.cloud import tempest
from tools.cloud import venv


@pytest.fixture
def program(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """Plays "tempest": writes how it was called, and exits with 3."""
    monkeypatch.setenv(venv.TEMPEST_VARIABLE, str(tmp_path))
    monkeypatch.setenv('OS_USERNAME', 'somebody')
    file = tmp_path / 'bin' / 'tempest'
    file.parent.mkdir()
    file.write_text(
        '#!/bin/sh\n'
        'printf "%s\\n" "$PWD" "[$OS_USERNAME]" "$@" > "$0.called"\n'
        'exit 3\n'
    )
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ([], ['--regex', tempest.OURS]),
        (['--serial'], ['--regex', tempest.OURS, '--serial']),
        (['--', '--serial'], ['--regex', tempest.OURS, '--serial']),
        (['--regex', 'log'], ['--regex', 'log']),
        (['--regex=log', '-l'], ['--regex=log', '-l']),
        (['--smoke'], ['--smoke']),
    ],
)
def test_run(
    given: list[str],
    expected: list[str],
    program: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    directory = tmp_path / 'cloud'
    assert tempest.run(clouds.Cloud(directory), given) == 3
    called = program.with_name('tempest.called').read_text().splitlines()
    workspace = directory / 'tempest'
    assert called[:2] == [str(workspace), '[]']
    assert called[2:5] == ['run', '--config-file', f'{workspace}/tempest.conf']
    assert called[5:] == expected


def test_the_program_says_how_it_is_used() -> None:
    done = subprocess.run(
        [venv.ROOT / 'tools' / 'cloud' / 'tempest', '--help'],
        env={'PATH': os.environ['PATH']},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert '--state DIRECTORY' in done.stdout
