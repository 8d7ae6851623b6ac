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
import contextlib
import fcntl
import os
import pathlib
import subprocess

import pytest

from imagebuild import exception
from imagebuild.disks import lock
from imagebuild.disks import qemu_locks
from tests.functional.disks import tools

HOLD = """
import pathlib, sys
from imagebuild.disks import lock
with lock.lock_image(pathlib.Path(sys.argv[1]), shared=sys.argv[2] == 's'):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    return tools.make_image(tmp_path / 'image', 'raw')


@pytest.mark.parametrize(
    ('theirs', 'ours', 'busy'),
    [('x', 'x', True), ('x', 's', True), ('s', 'x', True), ('s', 's', False)],
)
def test_two_processes(
    image: pathlib.Path, theirs: str, ours: str, busy: bool
) -> None:
    with tools.child(HOLD, image, theirs) as process:
        expected = (
            pytest.raises(
                exception.ImageBusy, match=rf'\(process {process.pid}\)'
            )
            if busy
            else contextlib.nullcontext()
        )
        with expected, lock.lock_image(image, shared=ours == 's'):
            pass


def test_killed_holder_leaves_no_lock(image: pathlib.Path) -> None:
    with tools.child(HOLD, image, 'x') as process:
        process.kill()
        process.wait()
        with lock.lock_image(image, shared=False):
            pass
    assert tools.names(image.parent) == ['image']


def test_file_renamed_over_the_image_meanwhile(
    image: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tools.make_image(image.with_name('new'), 'raw')
    inode = new.stat().st_ino
    flock = fcntl.flock

    def flock_too_late(descriptor: int, kind: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.replace(new, image)
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, 'flock', flock_too_late)
    with lock.lock_image(image, shared=False) as descriptor:
        assert os.fstat(descriptor).st_ino == inode


@pytest.mark.parametrize(
    ('disk', 'options', 'shared', 'busy'),
    [
        ('image', (), False, True),
        ('image', (), True, True),
        ('image', ('-r',), False, True),
        ('image', ('-r',), True, False),
        ('overlay', (), False, True),
        ('overlay', (), True, False),
    ],
)
def test_running_machine(
    image: pathlib.Path,
    disk: str,
    options: tuple[str, ...],
    shared: bool,
    busy: bool,
) -> None:
    over = image.with_name('overlay')
    tools.qemu_img(
        *('create', '-f', 'qcow2', '-b', str(image), '-F', 'raw', str(over))
    )
    fmt = 'raw' if disk == 'image' else 'qcow2'
    with (
        tools.machine(image.with_name(disk), fmt, *options) as process,
        lock.lock_image(image, shared=shared) as descriptor,
    ):
        expected = (
            pytest.raises(
                exception.ImageBusy, match=rf'\(process {process.pid}\)'
            )
            if busy
            else contextlib.nullcontext()
        )
        with expected:
            qemu_locks.claim(descriptor, image, shared=shared)


def test_machine_cannot_be_started_meanwhile(image: pathlib.Path) -> None:
    argv = ['qemu-io', '-f', 'raw', '-c', 'length', str(image)]
    with lock.lock_image(image, shared=True) as descriptor:
        qemu_locks.claim(descriptor, image, shared=True)
        done = subprocess.run(argv, capture_output=True, text=True)
        assert 'Failed to get' in done.stderr
    assert subprocess.run(argv, capture_output=True).returncode == 0


def test_two_readers(image: pathlib.Path) -> None:
    with (
        lock.lock_image(image, shared=True) as one,
        lock.lock_image(image, shared=True) as two,
    ):
        qemu_locks.claim(one, image, shared=True)
        qemu_locks.claim(two, image, shared=True)
