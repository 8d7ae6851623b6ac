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
"""What runs for a base image on the host, and what of a tree is on its disk.

As root, as all of it: users, device nodes and mounts are made.
"""

import ast
import contextlib
import hashlib
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from imagebuild import exception
from imagebuild.disks import bootable
from imagebuild.disks import confined
from imagebuild.disks import convert
from imagebuild.disks import disk_plan
from imagebuild.disks import host_command
from imagebuild.disks import root_file_systems
from imagebuild.drivers import bootstrap
from imagebuild.drivers import written_root
from imagebuild.drivers.bootstrap import apt_sources
from tests.integration import loops

GIB = 1024**3
#: A mode, an owner, extended attributes, what it is and where else it is.
Facts = dict[str, object]

# -- confinement ------------------------------------------------------------


def run(
    tmp_path: pathlib.Path, script: str, *, network: bool = False
) -> list[str]:
    """What a shell script says in there."""
    said = tmp_path / 'said'
    command = ['sh', '-c', f'({script}) >{said}']
    confined.run(
        command,
        writes_to=tmp_path,
        confinement=confined.Confinement(network=network),
    )
    return said.read_text().split()


def test_it_has_processes_and_a_network_of_its_own(
    tmp_path: pathlib.Path,
) -> None:
    looked = run(
        tmp_path,
        'ls /proc | grep -c "^[0-9]"; grep -c : /proc/net/dev;'
        'readlink /proc/self/ns/uts /proc/self/ns/ipc',
    )
    assert int(looked[0]) < 10
    # The loopback interface, which is down.
    assert looked[1] == '1'
    assert looked[2] != os.readlink('/proc/self/ns/uts')
    assert looked[3] != os.readlink('/proc/self/ns/ipc')


def test_it_has_the_network_when_it_downloads(tmp_path: pathlib.Path) -> None:
    (seen,) = run(tmp_path, 'readlink /proc/self/ns/net', network=True)
    assert seen == os.readlink('/proc/self/ns/net')


def test_it_waits_for_no_disk(tmp_path: pathlib.Path) -> None:
    # There is no such file descriptor: only who is not asked agrees.
    python = f'{sys.executable} -c "import os; os.fsync(99); os.fdatasync(99)"'
    assert run(tmp_path, f'{python} && sync && echo fast') == ['fast']


def test_a_program_that_is_not_there_has_a_name(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(exception.HostCommandFailed, match='no-such-program'):
        confined.run(['no-such-program'], writes_to=tmp_path)


def test_nothing_survives_who_started_it(tmp_path: pathlib.Path) -> None:
    inside = tmp_path / 'mounted'
    inside.mkdir()
    script = (
        f'mount -t tmpfs none {inside}; setsid sleep 987654 & '
        f'touch {tmp_path}/ready; sleep 987654'
    )
    code = (
        'import pathlib; from imagebuild.disks import confined;'
        f'confined.run(["sh", "-c", {script!r}], writes_to=pathlib.Path("/"))'
    )
    with subprocess.Popen([sys.executable, '-c', code]) as process:
        wait_for((tmp_path / 'ready').exists)
        mounts = pathlib.Path('/proc/self/mounts').read_text()
        process.send_signal(signal.SIGKILL)
    assert str(inside) not in mounts
    wait_for(lambda: not processes_with(str(tmp_path).encode()))
    wait_for(lambda: not processes_with(b'sleep\x00987654'))


#: In place of mmdebstrap, whose last arguments are suite, tree and sources.
STAND_IN = """\
#!/bin/sh -e
while [ $# -gt 2 ]; do shift; done
mkdir -p $1/etc/apt $1/usr/lib $1/var $1/tmp
mount -t tmpfs none $1/tmp
setsid sleep 0.3 &
sleep 0.2
umount $1/tmp
head -c 20000000 /dev/urandom >$1/usr/lib/large
"""
#: Makes a minimal image and says what it begins.
PROGRAM = """\
import pathlib, sys, time
from imagebuild.drivers import bootstrap
from imagebuild.drivers.bootstrap import apt_sources
class Monitor(bootstrap.DiskMonitor):
    def step_started(self, name):
        print(name, flush=True)
    def step_finished(self, name, seconds, error):
        # It is killed in this step, however slow who does so is.
        if sys.argv[2:] == [name]:
            time.sleep(600)
top = pathlib.Path(sys.argv[1])
source = apt_sources.AptSource(f'file://{top}/debian', 'bookworm', ('main',))
bootstrap.BootstrapDriver(lambda: [source]).create_disk(
    {'os': 'debian-12', 'minimal': True}, top / 'made' / 'image',
    monitor=Monitor())
print('complete', flush=True)
"""


@pytest.fixture
def machine(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """A directory with a mirror, a stand-in and a place for images."""
    programs = tmp_path / 'programs'
    programs.mkdir()
    (programs / 'mmdebstrap').write_text(STAND_IN)
    (programs / 'mmdebstrap').chmod(0o755)
    monkeypatch.setenv('PATH', f'{programs}:{os.environ["PATH"]}')
    release = tmp_path / 'debian' / 'dists' / 'bookworm' / 'Release'
    release.parent.mkdir(parents=True)
    release.touch()
    (tmp_path / 'made').mkdir()
    return tmp_path


@pytest.mark.parametrize(
    'step',
    ['install packages', 'write the tree', 'write the qcow2 file'],
)
def test_killed_in_each_step(step: str, machine: pathlib.Path) -> None:
    image = machine / 'made' / 'image'
    image.write_text('precious')
    command = [sys.executable, '-c', PROGRAM, str(machine)]
    with subprocess.Popen(
        [*command, step], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.strip() == step:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    # Its stand-in, and the programs that make the disk, name a path in there;
    # what those start may only write to one.
    wait_for(lambda: not processes_with(str(machine / 'made').encode()))
    wait_for(lambda: not open_below(machine / 'made'))
    assert str(machine) not in pathlib.Path('/proc/self/mounts').read_text()
    assert image.read_text() == 'precious'
    # The next one sweeps and completes.
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert list(image.parent.iterdir()) == [image]
    assert image.read_bytes()[:4] == b'QFI\xfb'


def test_what_is_thrown_away_never_reaches_the_disk(
    machine: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone before the image is brought there (fsync).

    With the image's would come whatever else was written meanwhile.
    """
    there: list[set[str]] = []

    def flush(path: pathlib.Path) -> None:
        if path.is_file():
            there.append({each.name for each in path.parent.iterdir()})

    monkeypatch.setattr(convert, 'flush', flush)
    source = apt_sources.AptSource(
        f'file://{machine}/debian', 'bookworm', ('main',)
    )
    bootstrap.BootstrapDriver(lambda: [source]).create_disk(
        {'os': 'debian-12', 'minimal': True}, machine / 'made' / 'image'
    )
    (found,) = there
    assert 'image' in found
    assert not found & {'tree', 'disk.raw'}


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def processes_with(word: bytes) -> list[str]:
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if word in command and entry.parent.name != str(os.getpid()):
            found.append(entry.parent.name)
    return found


def open_below(directory: pathlib.Path) -> list[str]:
    """What processes have open in a directory."""
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*/fd/*'):
        with contextlib.suppress(OSError):
            found.append(os.readlink(entry))
    return [each for each in found if each.startswith(f'{directory}/')]


# -- a tree and its disk ----------------------------------------------------


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list of version 2: tag, permissions, id."""
    return struct.pack('<I', 2) + b''.join(
        struct.pack('<HHI', *entry) for entry in entries
    )


NOBODY = 0xFFFFFFFF
ACL = acl(
    (1, 7, NOBODY), (2, 4, 1000), (4, 5, NOBODY), (8, 4, 70000),
    (16, 5, NOBODY), (32, 0, NOBODY),
)  # fmt: skip
CAPABILITY = struct.pack('<IIIII', 0x02000001, 1 << 13, 0, 0, 0)


def everything(tree: pathlib.Path, minor: int) -> None:
    """Make one of each kind that packages bring.

    :param minor: number of the largest device.
    """
    for name in ('plain', 'capable', 'acl', 'attributes', 'linked'):
        (tree / name).write_text(name)
    (tree / 'many').mkdir()
    for number in range(500):
        (tree / 'many' / f'{number}').write_text(str(number))
    os.chown(tree / 'plain', 70000, 100000)
    (tree / 'plain').chmod(0o6751)
    os.setxattr(tree / 'capable', 'security.capability', CAPABILITY)
    os.setxattr(tree / 'acl', 'system.posix_acl_access', ACL)
    os.setxattr(tree / 'attributes', 'user.long', b'v' * 3000)
    os.setxattr(tree / 'attributes', 'trusted.short', b'\0\1')
    (tree / 'sticky').mkdir()
    (tree / 'sticky').chmod(0o1777)
    os.setxattr(tree / 'sticky', 'system.posix_acl_default', ACL)
    (tree / 'setgid').mkdir()
    os.chown(tree / 'setgid', 0, 42)
    (tree / 'setgid').chmod(0o2775)
    os.link(tree / 'linked', tree / 'sticky' / 'again')
    (tree / 'short').symlink_to('plain')
    os.lchown(tree / 'short', 5, 6)
    (tree / 'long').symlink_to('/absolute/' + 'y' * 200)
    os.mkfifo(tree / 'fifo', 0o640)
    os.mknod(tree / 'null', 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(tree / 'disk', 0o660 | stat.S_IFBLK, os.makedev(259, minor))
    (tree / os.fsdecode(b'\xff bad \n name')).touch()
    with (tree / 'sparse').open('wb') as stream:
        stream.truncate(100 * 1024**2)
        stream.seek(70 * 1024**2 + 777)
        stream.write(b'something')
    os.utime(tree / 'many', (7, 7))


def facts(root: str) -> dict[str, Facts]:
    """What is known of every file below a directory."""
    found: dict[str, Facts] = {}
    places: dict[int, list[str]] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            inside = os.path.relpath(path, root)
            status = os.lstat(path)
            found[inside] = {
                'mode': oct(status.st_mode),
                'owners': (status.st_uid, status.st_gid),
                'device': status.st_rdev,
                'mtime': int(status.st_mtime),
                'attributes': {
                    key: os.getxattr(path, key, follow_symlinks=False)
                    for key in os.listxattr(path, follow_symlinks=False)
                    # XFS shows its lists under names of its own, too.
                    if not key.startswith('trusted.SGI_ACL')
                },
                'places': places.setdefault(status.st_ino, []),
            }
            places[status.st_ino].append(inside)
            found[inside]['content'] = content(path, status.st_mode)
    for each in places.values():
        each.sort()
    return found


def content(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISREG(mode):
        with open(path, 'rb') as stream:
            return hashlib.file_digest(stream, 'sha256').hexdigest()
    return ''


def run_confined(tmp_path: pathlib.Path) -> bootable.Run:
    def start(
        argv: list[str], *, input_file: pathlib.Path | None = None
    ) -> None:
        confined.run(
            argv, writes_to=tmp_path, files=host_command.Files(input_file)
        )

    return start  # type: ignore[return-value]


@pytest.mark.parametrize('kind', list(root_file_systems.KINDS))
def test_the_disk_has_what_the_tree_has(
    kind: root_file_systems.FileSystem, tmp_path: pathlib.Path
) -> None:
    tree, disk = tmp_path / 'tree', tmp_path / 'disk.raw'
    tree.mkdir()
    # XFS has 18 bits for it.
    everything(tree, 262143 if kind == 'xfs' else 1048575)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tree, os.O_PATH)
        server.bind(f'/proc/self/fd/{here}/socket')
        os.close(here)
    plan = disk_plan.DiskPlan(GIB, bootable=False, file_system=kind)
    bootable.make(
        tree,
        disk,
        plan,
        run_confined(tmp_path),
        workspace=tmp_path,
        write_mounted=written_root.write,
    )
    # The log of XFS alone has 64 MiB.
    assert disk.stat().st_blocks * 512 < 80 * 1024**2
    shown = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", __name__, str(disk)],
        check=True,
        capture_output=True,
    ).stdout
    on_disk: dict[str, Facts] = ast.literal_eval(shown.decode())
    on_disk.pop('lost+found', None)
    assert on_disk == facts(str(tree))


def test_a_tree_is_what_was_in_its_archive(tmp_path: pathlib.Path) -> None:
    packed, tree = tmp_path / 'packed', tmp_path / 'tree'
    packed.mkdir()
    everything(packed, 65535)
    wanted = facts(str(packed))
    # What an archive of a running system has of its host.
    for name in ('dev', 'proc', 'run', 'sys'):
        (packed / name).mkdir(mode=0o755)
        (packed / name / 'of-the-host').touch()
        (packed / 'sub' / name).mkdir(parents=True)
        (packed / 'sub' / name / 'own').touch()
    archive = tmp_path / 'tree.tar'
    command = ['tar', '--xattrs', '--xattrs-include=*', '-C', packed]
    subprocess.run([*command, '-cf', archive, '.'], check=True)
    bootable.unpack(archive, tree, run_confined(tmp_path))
    found = facts(str(tree))
    own = {name for name in found if not name.startswith('sub')}
    assert own - set(wanted) == {'dev', 'proc', 'run', 'sys'}
    for name, each in wanted.items():
        assert found[name] == each, name
    assert len(list((tree / 'sub').glob('*/own'))) == 4


def test_what_is_no_archive_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'x.tar').write_text('no archive')
    with pytest.raises(exception.HostCommandFailed, match='tar'):
        bootable.unpack(
            tmp_path / 'x.tar', tmp_path / 'tree', run_confined(tmp_path)
        )


def show(disk: str) -> None:
    """Print the facts of a disk's first partition; its mount ends with us."""
    target = f'{disk}.mounted'
    os.mkdir(target)
    # Not "mount -o loop", which asks the files under all loop devices of this
    # host: that of a sandbox of another test may be about to end.
    losetup = ['losetup', '--find', '--show', '--read-only']
    loop = subprocess.check_output(
        [*losetup, f'--offset={1024**2}', disk], text=True
    ).strip()
    try:
        subprocess.run(['mount', '-o', 'ro', loop, target], check=True)
    finally:
        # When nobody uses it any more.
        subprocess.run(['losetup', '--detach', loop], check=True)
    print(facts(target))


@pytest.mark.parametrize(('kind', 'room'), [('ext4', 8), ('btrfs', 24)])
def test_no_room_on_the_host_is_said(
    kind: str, room: int, tmp_path: pathlib.Path
) -> None:
    code = f"""
import pathlib, subprocess
from imagebuild import exception
from imagebuild.disks import bootable
from imagebuild.disks import confined
from imagebuild.disks import host_command
from imagebuild.disks import disk_plan
from imagebuild.drivers import written_root
top = pathlib.Path({str(tmp_path)!r})
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size={room}M', 'none', top])
(top / 'tree').mkdir()
(top / 'tree' / 'large').write_bytes(b'x' * {room - 3} * 1024**2)
def run(argv, *, input_file=None):
    confined.run(argv, writes_to=top, files=host_command.Files(input_file))
try:
    bootable.make(
        top / 'tree', top / 'disk.raw',
        disk_plan.DiskPlan({GIB}, False, file_system={kind!r}), run,
        workspace=top, write_mounted=written_root.write,
    )
except exception.DiskFull as error:
    print(error)
"""
    shown = subprocess.run(
        ['unshare', '--mount', sys.executable, '-c', code],
        check=True,
        capture_output=True,
        text=True,
    )
    assert 'no room' in shown.stdout or 'full' in shown.stdout, shown


def make_btrfs(top: pathlib.Path, size: int) -> None:
    plan = disk_plan.DiskPlan(size, bootable=False, file_system='btrfs')
    bootable.make(
        top / 'tree',
        top / 'disk.raw',
        plan,
        run_confined(top),
        workspace=top,
        write_mounted=written_root.write,
    )


def test_a_disk_that_is_too_small_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'tree').mkdir()
    (tmp_path / 'tree' / 'large').write_bytes(b'x' * 150 * 1024**2)
    with pytest.raises(
        exception.HostCommandFailed,
        match='writing of the btrfs file system failed .* make it larger',
    ):
        make_btrfs(tmp_path, 140 * 1024**2)


def test_no_mount_survives_a_kill(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'tree').mkdir()
    hanging = tmp_path / 'programs' / 'cp'
    hanging.parent.mkdir()
    hanging.write_text(f'#!/bin/sh\ntouch {tmp_path}/ready\nexec sleep 987656')
    hanging.chmod(0o755)
    monkeypatch.setenv('PATH', f'{hanging.parent}:{os.environ["PATH"]}')
    code = (
        'import pathlib; from tests.functional import test_bootstrap_programs '
        f'as t; t.make_btrfs(pathlib.Path({str(tmp_path)!r}), 140 * 1024**2)'
    )
    with subprocess.Popen([sys.executable, '-c', code]) as process:
        try:
            # Making it waits for the host's disk, which may be busy.
            wait_for((tmp_path / 'ready').exists, 120)
            assert loops.below(tmp_path)
        finally:
            process.kill()
    assert str(tmp_path) not in pathlib.Path('/proc/self/mounts').read_text()
    wait_for(lambda: not processes_with(b'sleep\x00987656'), 60)
    wait_for(lambda: not loops.below(tmp_path), 60)


if __name__ == '__main__':
    show(sys.argv[1])
