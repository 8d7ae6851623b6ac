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
"""What needs root, a small file system or time."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

from imagebuild import exception
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import in_place
from tests.functional.disks import tools

VICTIM = """
import pathlib, subprocess, sys
from imagebuild.disks import in_place
print('started', flush=True)
with in_place.InPlaceImage(pathlib.Path(sys.argv[1])) as image:
    subprocess.run(
        ['qemu-io', '-f', 'qcow2', '-c', 'write -P 0x41 0 64M',
         str(image.overlay)], check=True, stdout=subprocess.DEVNULL)
    image.commit(sparsify=True)
"""


@contextlib.contextmanager
def small_disk(directory: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
    directory.mkdir()
    argv = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs']
    subprocess.run([*argv, str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(['umount', str(directory)], check=True)


def fill(directory: pathlib.Path, leave: int) -> None:
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    with (directory / 'filler').open('xb') as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)


@pytest.mark.parametrize(
    ('stage', 'leave', 'error'),
    [
        # Found before anything starts.
        (None, 1024, exception.NoSpace),
        # Found before the commit.
        ('overlay made', 15 * tools.MIB // 4, exception.NoSpace),
        # Found by those who write.
        ('workspace made', 0, exception.DiskFull),
        ('committing', 0, (exception.NoSpace, exception.DiskFull)),
        ('copied', 0, exception.DiskFull),
    ],
)
@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_disk_that_runs_full(
    tmp_path: pathlib.Path,
    fmt: str,
    stage: str | None,
    leave: int,
    error: type[Exception],
) -> None:
    with small_disk(tmp_path / 'disk', '24M') as disk:
        path = tools.make_image(disk / 'image', fmt)
        content = tools.sha256(path)
        if stage is None:
            fill(disk, leave)

        def on_stage(reached: in_place.Stage) -> None:
            if reached == stage:
                fill(disk, leave)

        image = in_place.InPlaceImage(
            path,
            scratch=in_place.Scratch(growth=tools.MIB),
            on_stage=on_stage,
        )
        with pytest.raises(error), image:
            # 2 MiB over the 1 MiB that was there.
            tools.qemu_io(image.overlay, 'qcow2', 'write -P 0x41 0 3M')
            image.commit()
        assert tools.sha256(path) == content
        assert tools.names(disk) == ['filler', 'image']


def test_conversion_on_a_full_disk(tmp_path: pathlib.Path) -> None:
    source = tools.make_image(tmp_path / 'image', 'raw')
    info = image_file.inspect(source)
    with small_disk(tmp_path / 'disk', '512k') as disk:
        with pytest.raises(exception.DiskFull):
            convert.convert(info, disk / 'target', 'raw')
        assert tools.names(disk) == []


@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
@pytest.mark.parametrize('seconds', [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.1])
def test_killed_at_any_time(
    tmp_path: pathlib.Path, fmt: str, seconds: float
) -> None:
    path = tmp_path / 'image'
    tools.qemu_img('create', '-f', fmt, str(path), '128M')
    tools.qemu_io(path, fmt, 'write -P 0x11 0 96M')
    content = tools.sha256(path)
    with tools.start(VICTIM, path) as process:
        assert process.stdout and process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    if tools.sha256(path) != content:
        assert tools.holds(path, fmt, '0x41 0 64M', '0x11 64M 32M')
        content = tools.sha256(path)
    with in_place.InPlaceImage(path, read_only=True):
        pass
    assert tools.names(tmp_path) == ['image']
    assert tools.sha256(path) == content


def test_owner_is_kept(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    os.chown(path, 12345, 54321)
    path.chmod(0o660)
    with in_place.InPlaceImage(path) as image:
        image.commit()
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)
    assert status.st_mode & 0o7777 == 0o660


def test_another_users_directory_is_not_swept(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    directory = tmp_path / '.image.imagebuild-abcdefgh'
    directory.mkdir(mode=0o700)
    (directory / 'lock').touch()
    os.chown(directory, 12345, 54321)
    with in_place.InPlaceImage(path):
        pass
    assert tools.names(directory) == ['lock']


@pytest.mark.parametrize('how', ['read-only', 'bound', 'immutable'])
def test_file_that_cannot_be_replaced(
    tmp_path: pathlib.Path, how: str
) -> None:
    with small_disk(tmp_path / 'disk', '24M') as disk:
        path = tools.make_image(disk / 'im age', 'raw')
        commands = {
            'read-only': ['mount', '-o', 'remount,ro', str(disk)],
            'bound': ['mount', '--bind', str(path), str(path)],
            'immutable': ['chattr', '+i', str(path)],
        }
        subprocess.run(commands[how], check=True)
        try:
            with pytest.raises(exception.UnwritablePath):
                with in_place.InPlaceImage(path):
                    pass
            with in_place.InPlaceImage(path, read_only=True):
                pass
        finally:
            if how == 'bound':
                subprocess.run(['umount', str(path)], check=True)
        assert tools.names(disk) == ['im age']


@pytest.fixture
def open_directory() -> Iterator[pathlib.Path]:
    """A directory that everybody reaches and may write to."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o777)
        yield directory


def test_user_who_is_not_root(open_directory: pathlib.Path) -> None:
    path = tools.make_image(open_directory / 'image', 'raw')
    path.chmod(0o666)
    code = """
import os, pathlib, sys
os.setgroups([]); os.setgid(12345); os.setuid(12345)
from imagebuild import exception
from imagebuild.disks import in_place
try:
    with in_place.InPlaceImage(pathlib.Path('image')):
        pass
except exception.UnwritablePath as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': str(tools.ROOT)},
        cwd=open_directory,
        capture_output=True,
        text=True,
    )
    assert 'run as its owner or as root' in done.stdout, done.stderr
    assert tools.names(open_directory) == ['image']
