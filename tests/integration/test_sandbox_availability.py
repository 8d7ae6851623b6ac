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
"""Whether this host can have sandboxes is tried, however busy it is.

Root; 5 s in all.
"""

import os
import shutil
import sys
import time

from imagebuild.sandbox import availability

LATE = """\
import os, socket, sys, time
at = [each for each in sys.argv if 'addr.path=' in each][0]
early = socket.socket(socket.AF_UNIX)
early.bind(at.partition('addr.path=')[2])
time.sleep(1)
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""


def test_a_busy_host_has_sandboxes(tmp_path, monkeypatch):
    """The socket of what shows the disk is there before it listens."""
    program = shutil.which('qemu-storage-daemon')
    late = tmp_path / 'qemu-storage-daemon'
    late.write_text(f'#!{sys.executable}\n{LATE.format(program=program)}')
    late.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    assert availability._look() == ()


def test_a_disk_that_is_never_shown(tmp_path, monkeypatch):
    late = tmp_path / 'qemu-storage-daemon'
    late.write_text('#!/bin/sh\nexit 1\n')
    late.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    begin = time.monotonic()
    assert availability._look() == (
        'qemu-storage-daemon does not show a disk',
    )
    assert time.monotonic() - begin < availability._SHOWN
