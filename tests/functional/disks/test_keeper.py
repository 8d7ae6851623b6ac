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
"""The process between us and a daemon of a disk."""

import signal
import subprocess
import sys

import pytest

#: Signals arrive after the daemon was waited for, when its id is free again.
PROGRAM = """
import os, sys
from imagebuild.disks import keeper
wait = os.waitpid
def waitpid(*arguments):
    found = wait(*arguments)
    os.kill(os.getpid(), int(sys.argv[1]))
    return found
os.waitpid = waitpid
sys.exit(keeper.main(sys.argv[2:]))
"""


@pytest.mark.parametrize('number', [signal.SIGUSR1, signal.SIGTERM])
def test_a_daemon_that_has_just_ended(tmp_path, number):
    daemon = ('0', str(tmp_path / 'daemon'), 'sh', '-c', 'exit 7')
    done = subprocess.run(
        [
            sys.executable,
            '-W',
            'ignore',
            '-c',
            PROGRAM,
            str(int(number)),
            *daemon,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, '')
    assert (tmp_path / 'daemon.exit').read_text() == '7'
