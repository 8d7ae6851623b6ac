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
"""The disk server with a real qemu-storage-daemon and a real nbdfuse.

Root, for FUSE and a small file system that runs full; 15 s in all.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from imagebuild import exception
from imagebuild.common import processes
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.disks import partitions
from imagebuild.disks import qemu_img
from imagebuild.disks import qemu_locks
from imagebuild.disks import server

pytestmark = pytest.mark.timeout(600)

MIB = 1024 * 1024
SIZE = 64 * MIB


class Disk:
    """A base, an overlay, and the directory that they are in."""

    def __init__(self, directory: pathlib.Path, base: str = 'raw') -> None:
        self.directory = directory
        path = directory / 'base'
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', base, path, str(SIZE)],
            check=True,
        )
        qemu_io(['-f', base, str(path)], 'write -P 1 0 1M')
        self.base = image_file.inspect(path)
        self.top = self.overlay('top', self.base)

    def overlay(
        self, name: str, under: image_file.ImageInfo
    ) -> image_file.ImageInfo:
        path = self.directory / name
        overlay.create(under, path)
        return image_file.ImageInfo(path, 'qcow2', SIZE, 0, backing=under)

    def serve(self, **kw: object) -> server.DiskServer:
        chain = (self.base, self.top)
        kw = {'export': 'nbd', **kw}
        return server.DiskServer(chain, self.directory, **kw)  # type: ignore


def qemu_io(image: list[str], *commands: str) -> subprocess.CompletedProcess:
    argv = ['qemu-io']
    for command in commands:
        argv += ['-c', command]
    done = subprocess.run([*argv, *image], capture_output=True, text=True)
    return done


def through(served: server.DiskServer, *commands: str) -> None:
    """Read and write by way of the server."""
    done = qemu_io(['-f', 'raw', served.uri], *commands)
    assert done.returncode == 0, done.stderr
    assert 'failed' not in done.stdout, done.stdout


def holds(chain: image_file.ImageInfo, *contents: str) -> bool:
    """Whether a file with all under it reads so: ``PATTERN OFFSET SIZE``."""
    done = qemu_io(
        ['-r', '--image-opts', qemu_img.options_of(chain)],
        *(f'read -P {content}' for content in contents),
    )
    assert done.returncode == 0, done.stderr
    return 'failed' not in done.stdout


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Disk:
    return Disk(tmp_path)


def wait_for_end(*pids: int) -> bool:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if all(processes.start_time(pid) is None for pid in pids):
            return True
        time.sleep(0.02)
    return False


def daemons(directory: pathlib.Path) -> list[int]:
    """Processes that have something to do with a directory."""
    wanted = os.fsencode(directory)
    found = []
    for name in os.listdir('/proc'):
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) != os.getpid():
                line = pathlib.Path('/proc', name, 'cmdline').read_bytes()
                where = os.readlink(f'/proc/{name}/cwd')
                if wanted in line or where.startswith(str(directory)):
                    found.append(int(name))
    return found


# -- what is opened ---------------------------------------------------------


@pytest.mark.parametrize('base', ['raw', 'qcow2'])
def test_layers(tmp_path: pathlib.Path, base: str) -> None:
    disk = Disk(tmp_path, base)
    with disk.serve() as served:
        through(served, 'read -P 1 0 1M', 'write -P 2 0 64k')
        first = served.snapshot(tmp_path / 'second')
        assert first == disk.top
        # It is finished while the disk is in use.
        qemu_img.QemuImg().check(first)
        assert holds(first, '2 0 64k', '1 64k 64k')
        through(served, 'read -P 2 0 64k', 'write -P 3 64k 64k')
        second = served.snapshot(tmp_path / 'third')
        through(served, 'write -P 4 0 64k')
        assert [each.path.name for each in served.chain] == [
            'base', 'top', 'second', 'third',
        ]  # fmt: skip
        top = served.chain[-1]
        served.check()
        served.close()
        served.check()
    assert holds(top, '4 0 64k', '3 64k 64k', '1 128k 64k')
    assert holds(second, '2 0 64k', '3 64k 64k', '1 128k 64k')
    assert holds(disk.base, '1 0 1M')
    # What was under an image is none of its concern.
    convert.convert(top, tmp_path / 'image', 'qcow2')
    image = image_file.inspect(tmp_path / 'image')
    assert image.backing is None
    assert holds(image, '4 0 64k', '3 64k 64k', '1 128k 64k')
    # Starting again from a layer in the middle.
    disk.base, disk.top = first, disk.overlay('again', first)
    chain = (first.backing, first, disk.top)
    with server.DiskServer(chain, tmp_path, export='nbd') as served:
        through(served, 'read -P 2 0 64k', 'read -P 1 64k 64k')
        served.close()
    assert sorted(os.listdir(tmp_path)) == [
        'again', 'base', 'image', 'second', 'third', 'top',
    ]  # fmt: skip


def test_what_the_files_say_is_not_believed(tmp_path: pathlib.Path) -> None:
    disk = Disk(tmp_path)
    secret = tmp_path / 'secret'
    secret.write_bytes(b'S' * SIZE)
    # A raw disk that a guest made look like a qcow2 file over a host's file.
    inner = tmp_path / 'inner'
    subprocess.run(
        ['qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-F', 'raw']
        + ['-b', secret, inner, '1M'],
        check=True,
    )
    header = inner.read_bytes()
    with disk.base.path.open('r+b') as base:
        base.write(header)
    # And an overlay that names another base.
    subprocess.run(
        ['qemu-img', 'rebase', '-u', '-F', 'raw', '-b', secret]
        + [disk.top.path],
        check=True,
    )
    with disk.serve() as served:
        opened = subprocess.run(
            ['qemu-img', 'dd', '-f', 'raw', '-O', 'raw', 'bs=64k']
            + ['count=1', f'if={served.uri}', f'of={tmp_path / "read"}'],
            check=True,
        )
        assert opened.returncode == 0
    assert (tmp_path / 'read').read_bytes()[: len(header)] == header[:65536]


def test_others_are_kept_out(disk: Disk) -> None:
    with disk.serve() as served:
        # As packing says it: others may read the base.
        with image_file.open_regular(disk.base.path) as opened:
            qemu_locks.claim(opened, disk.base.path, shared=True)
        for image, fmt in ((disk.base, 'raw'), (disk.top, 'qcow2')):
            done = qemu_io(['-f', fmt, str(image.path)], 'write 0 64k')
            assert 'lock' in done.stderr
        with pytest.raises(exception.ImageBusy, match='top is in use'):
            disk.serve()
        served.close()


def test_a_base_that_is_written_to(disk: Disk) -> None:
    path = disk.base.path
    with subprocess.Popen(
        ['qemu-io', '-f', 'raw', path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdin and running.stdout
        running.stdin.write(b'write 0 64k\n')
        running.stdin.flush()
        running.stdout.readline()
        with pytest.raises(exception.ImageBusy, match='base is in use'):
            disk.serve()
        running.communicate(b'quit\n')
    assert sorted(os.listdir(disk.directory)) == ['base', 'top']


def test_read_only(disk: Disk) -> None:
    before = disk.top.path.read_bytes()
    disk.top.path.chmod(0o400)
    with disk.serve(readonly=True) as served:
        done = qemu_io(['-f', 'raw', served.uri], 'write 0 64k')
        assert done.returncode or 'read-only' in done.stdout + done.stderr
        done = qemu_io(['-r', '-f', 'raw', served.uri], 'read -P 1 0 64k')
        assert 'failed' not in done.stdout
        served.close()
    assert disk.top.path.read_bytes() == before


def test_paths_that_are_long_or_odd(tmp_path: pathlib.Path) -> None:
    noted: list[pathlib.Path] = []
    directory = tmp_path / ('a,b="c\' {' + 'x' * 90)
    directory.mkdir()
    disk = Disk(directory)
    with disk.serve(on_path=noted.append) as served:
        assert len(str(served.socket)) < 108
        assert noted == [served.socket.parent]
        assert noted[0].stat().st_mode & 0o777 == 0o700
        through(served, 'read -P 1 0 64k')
        served.snapshot(directory / 'next,one')
        served.close()
    assert not noted[0].exists()
    with disk.serve(export='fuse') as served:
        with served.path.open('rb') as raw:
            assert raw.read(4) == b'\1' * 4
        served.close()


# -- the raw file -----------------------------------------------------------


def test_writes_at_the_same_time(disk: Disk) -> None:
    """qemu's own FUSE export, up to 10.1, mixes them up."""
    block, count = 64 * 1024, 512
    with disk.serve(export='fuse') as served:
        raw = os.open(served.path, os.O_RDWR | os.O_DIRECT)

        def write(number: int) -> None:
            import mmap

            with mmap.mmap(-1, block) as aligned:
                aligned[:] = number.to_bytes(2, 'big') * (block // 2)
                os.pwrite(raw, aligned, number * block)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(1, count)))
        os.close(raw)
        content = served.path.read_bytes()
        for number in range(1, count):
            piece = content[number * block : (number + 1) * block]
            assert piece == number.to_bytes(2, 'big') * (block // 2), number
        served.close()


def test_what_is_freed_is_free(disk: Disk) -> None:
    def used() -> int:
        return os.stat(disk.top.path).st_blocks * 512

    with disk.serve(export='fuse') as served:
        through(served, 'write -P 7 16M 16M')
        assert used() > 16 * MIB
        subprocess.run(
            ['fallocate', '--punch-hole', '-o', '16M', '-l', '16M']
            + [served.path],
            check=True,
        )
        assert used() < MIB
        # Zeros take no room either.
        through(served, 'write -P 0 32M 16M', 'read -P 0 16M 32M')
        assert used() < MIB
        served.close()


# -- ends -------------------------------------------------------------------


def test_it_is_killed(disk: Disk) -> None:
    with disk.serve() as served:
        [daemon] = [
            pid
            for pid in daemons(disk.directory)
            if program(pid) == 'qemu-storage-daemon'
        ]
        os.kill(daemon, signal.SIGKILL)
        ended = r'was ended by signal 9'
        assert wait_for_end(daemon)
        for call in (
            served.check,
            lambda: served.snapshot(disk.directory / 'next'),
            served.close,
        ):
            with pytest.raises(exception.DiskServerFailed, match=ended):
                call()
    assert sorted(os.listdir(disk.directory)) == ['base', 'top']


def test_the_raw_file_goes(disk: Disk) -> None:
    with disk.serve(export='fuse') as served:
        for pid in daemons(disk.directory):
            if program(pid) == 'nbdfuse':
                os.kill(pid, signal.SIGKILL)
        wait = time.monotonic() + 120
        with pytest.raises(
            exception.DiskServerFailed, match='nbdfuse was ended by signal 9'
        ):
            while time.monotonic() < wait:
                served.check()
                time.sleep(0.02)
        with pytest.raises(exception.DiskServerFailed):
            served.close()
    assert sorted(os.listdir(disk.directory)) == ['base', 'top']
    assert wait_for_end(*daemons(disk.directory))


OWNER = """
    import pathlib, sys, threading, time
    from imagebuild.disks import image_file, server
    directory = pathlib.Path(sys.argv[1])
    base = image_file.inspect(directory / 'base')
    top = image_file.ImageInfo(directory / 'top', 'qcow2', {size}, 0)
    def serve():
        global served
        served = server.DiskServer([base, top], directory, export={export!r})
    # The thread that starts it does not live as long as it.
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    time.sleep(0.2)
    served.check()
    # A child that holds whatever descriptors it got.
    import os
    if not os.fork():
        time.sleep(600)
        os._exit(0)
    print('ready', flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize('export', ['nbd', 'fuse'])
def test_its_owner_is_killed(disk: Disk, export: str) -> None:
    text = textwrap.dedent(OWNER).format(size=SIZE, export=export)
    # Those of the host's mounts that stay would be seen.
    owner = subprocess.Popen(
        ['unshare', '--mount', '--propagation', 'private']
        + [sys.executable, '-c', text, disk.directory],
        stdout=subprocess.PIPE,
    )
    assert owner.stdout and owner.stdout.readline() == b'ready\n'
    held = [pid for pid in daemons(disk.directory) if pid != owner.pid]
    # Each daemon, its keeper, and the owner's child.
    assert len(held) == (5 if export == 'fuse' else 3)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    # Its child is not one of ours, and lives on.
    end = time.monotonic() + 120
    while len(daemons(disk.directory)) > 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(daemons(disk.directory)) == 1
    for pid in held:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_its_keeper_is_killed(disk: Disk) -> None:
    started: list[int] = []
    with disk.serve(on_start=started.append) as served:
        assert len(daemons(disk.directory)) == 2
        os.kill(started[0], signal.SIGKILL)
        with pytest.raises(exception.DiskServerFailed):
            served.close()
    # Nobody waits for it then but the system.
    assert wait_for_end(*daemons(disk.directory))


def test_it_is_not_installed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', str(disk.directory))
    with pytest.raises(exception.MissingDependency, match='^qemu-storage-da'):
        disk.serve()
    assert sorted(os.listdir(disk.directory)) == ['base', 'top']


def test_a_file_that_is_gone(disk: Disk) -> None:
    disk.top.path.unlink()
    with pytest.raises(exception.DiskServerFailed, match='No such file'):
        disk.serve()
    assert os.listdir(disk.directory) == ['base']


# -- no room ----------------------------------------------------------------


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 24 MiB."""
    directory = tmp_path / 'small'
    directory.mkdir()
    subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=24m', 'none', directory],
        check=True,
    )
    yield directory
    subprocess.run(['umount', '--lazy', directory], check=True)


def test_the_host_has_no_room(small: pathlib.Path) -> None:
    disk = Disk(small)
    with disk.serve() as served:
        through(served, 'write -P 2 0 1M')
        start = time.monotonic()
        done = qemu_io(['-f', 'raw', served.uri], 'write -P 3 8M 40M')
        # It does not wait for room, which is for ever.
        assert 'No space left' in done.stdout + done.stderr
        assert time.monotonic() - start < 120
        with pytest.raises(exception.DiskFull, match='small'):
            served.check()
        with pytest.raises(exception.DiskFull):
            served.snapshot(small / 'next')
        # What was written before is there.
        through(served, 'read -P 2 0 1M')


# -- what is on a disk ------------------------------------------------------


def program(pid: int) -> str:
    """The name of a process's program, '' of none."""
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f'/proc/{pid}/exe'))
    return ''


def sfdisk(path: pathlib.Path, script: str) -> None:
    path.touch()
    os.truncate(path, 64 * MIB)
    subprocess.run(['sfdisk', '-q', path], input=script.encode(), check=True)


def test_a_gpt(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'disk1'
    sfdisk(
        path,
        'label: gpt\n'
        'size=8M, type=uefi, name="EFI, x=1", uuid='
        '01234567-89AB-CDEF-0123-456789ABCDEF\n'
        'size=20M, name=root\nsize=1M, type=21686148-6449-6E6F-744E-6565644'
        '54649\n',
    )
    offset = 9 * MIB
    subprocess.run(
        ['mkfs.ext4', '-q', '-F', '-L', 'a b\n"c\u00e9', '-E']
        + [f'offset={offset}', path, '20M'],
        check=True,
    )
    found = partitions.read(path, image='x')
    assert (found.table, found.size) == ('gpt', 64 * MIB)
    assert [
        (each.device, each.offset, each.size, each.kind)
        for each in found.filesystems
    ] == [
        ('/dev/sda1', MIB, 8 * MIB, ''),
        ('/dev/sda2', offset, 20 * MIB, 'ext4'),
        ('/dev/sda3', 29 * MIB, MIB, ''),
    ]
    first, second, _ = (each.tags for each in found.filesystems)
    assert first['PART_ENTRY_NAME'] == 'EFI, x=1'
    assert first['PART_ENTRY_UUID'] == '01234567-89ab-cdef-0123-456789abcdef'
    assert second['LABEL'] == 'a b\n"c\u00e9'
    assert len(second['UUID']) == 36


def test_extended_partitions(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'disk'
    sfdisk(
        path,
        'label: dos\nlabel-id: 0x1234abcd\n1: size=8M, bootable\n'
        '2: size=30M, type=5\n3: size=4M\n5: size=10M\n6: size=10M\n',
    )
    found = partitions.read(path, image='x')
    assert found.table == 'dos'
    assert [
        (each.device, each.size // MIB, each.tags['PART_ENTRY_UUID'])
        for each in found.filesystems
    ] == [
        ('/dev/sda1', 8, '1234abcd-01'),
        ('/dev/sda3', 4, '1234abcd-03'),
        ('/dev/sda5', 10, '1234abcd-05'),
        ('/dev/sda6', 10, '1234abcd-06'),
    ]


@pytest.mark.parametrize('kind', ['ext4', 'vfat', 'btrfs', ''])
def test_no_table(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / 'disk'
    path.touch()
    os.truncate(path, 128 * MIB)
    if kind:
        subprocess.run([f'mkfs.{kind}', path], check=True, capture_output=True)
    found = partitions.read(path, image='x')
    [each] = found.filesystems
    assert (found.table, each.device, each.kind) == ('', '/dev/sda', kind)
    assert (each.offset, each.size) == (0, 128 * MIB)


def test_a_disk_that_is_gone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'disk'
    with pytest.raises(exception.DiskServerFailed, match='cannot be read'):
        partitions.read(path, image='x')
    path.touch()
    with pytest.raises(exception.DiskServerFailed, match='it is empty'):
        partitions.read(path, image='x')


def test_a_damaged_table(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'disk'
    sfdisk(path, 'label: gpt\nsize=8M\n')
    with path.open('r+b') as disk:
        # Both headers say that there are entries, and they are none.
        for at in (1024, 64 * MIB - 33 * 512):
            disk.seek(at)
            disk.write(b'\xff' * 512)
    # Then nothing is to be found, and nobody takes it for a whole disk.
    found = partitions.read(path, image='my.img')
    assert (found.table, found.filesystems) == ('PMBR', ())
