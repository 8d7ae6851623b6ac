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
"""imagebuild-standalone as a program; what it serves is tested elsewhere."""

import contextlib
import signal
import subprocess
import sys

import pytest

from tests.functional.conductors import wait_until


@pytest.fixture
def log(tmp_path):
    return tmp_path / 'log'


@contextlib.contextmanager
def program(directory, log):
    """One that answers requests."""
    with log.open('wb') as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'imagebuild.cmd.standalone'),
                *('--port', '0', '--state-dir', str(directory / 'state')),
            ],
            stdout=stream,
            stderr=stream,
        )
    with process:
        try:
            wait_until(
                lambda: ' answers at ' in log.read_text(), 180, 'its start'
            )
            yield process
        finally:
            process.terminate()


def test_sigusr2_prints_a_report_without_secrets(tmp_path, log):
    with program(tmp_path, log) as process:
        process.send_signal(signal.SIGUSR2)
        wait_until(lambda: 'Guru Meditation' in log.read_text(), 60)
        wait_until(lambda: 'encryption_keys = ***' in log.read_text(), 60)
        assert process.poll() is None
    assert process.returncode == 0
    key = (tmp_path / 'state' / 'encryption-key').read_text().strip()
    assert key not in log.read_text()
