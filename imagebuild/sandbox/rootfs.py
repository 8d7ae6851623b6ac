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
"""What a command in a sandbox sees: the guest's tree, with /dev, /proc, /sys.

All of it is mounted before the command's user namespace is entered. So the
mounts belong to the host's root: what runs in the sandbox can neither change
nor remove any, whatever rights it gets there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Sequence

from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import syscalls

_PLAIN = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
_READ_ONLY = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
_TEMPORARY = syscalls.MS_NOSUID | syscalls.MS_NODEV

#: Name, major and minor number.
_DEVICES = (
    ('full', 1, 7),
    ('null', 1, 3),
    ('random', 1, 8),
    ('tty', 5, 0),
    ('urandom', 1, 9),
    ('zero', 1, 5),
)
_LINKS = (
    ('fd', '/proc/self/fd'),
    ('stdin', '/proc/self/fd/0'),
    ('stdout', '/proc/self/fd/1'),
    ('stderr', '/proc/self/fd/2'),
    ('ptmx', 'pts/ptmx'),
)
#: The group of terminals, on every Linux.
_TTY = 5
_SHARED_MEMORY = '64m'

#: What the container runtimes hide, too: it tells of the host, or is a way
#: to its devices.
_HIDDEN = (
    '/proc/acpi',
    '/proc/asound',
    '/proc/interrupts',
    '/proc/kcore',
    '/proc/keys',
    '/proc/kmsg',
    '/proc/latency_stats',
    '/proc/sched_debug',
    '/proc/scsi',
    '/proc/timer_list',
    '/proc/timer_stats',
    '/sys/devices/virtual/powercap',
    '/sys/firmware',
    '/sys/fs/fuse',
    '/sys/kernel/debug',
    '/sys/kernel/security',
    '/sys/kernel/tracing',
)
#: What is shown of it, by the names in /proc/1.
_FIRST_PROCESS = ('comm', 'stat', 'statm', 'status')
_KEPT_AS_THEY_ARE = (
    '/proc/bus',
    '/proc/fs',
    '/proc/irq',
    '/proc/sys',
    '/proc/sysrq-trigger',
)

#: Directories of the guest on which something is mounted.
POINTS = ('/dev', '/proc', '/sys')


@dataclasses.dataclass(frozen=True)
class BlockDevice:
    """A disk or partition of the guest, as the appliance's /dev has it.

    :ivar path: such as ``/dev/sda1``.
    :ivar number: of the device that stands for it.
    :ivar links: further names: ``/dev/disk/by-uuid/...``.
    """

    path: str
    number: int
    links: Sequence[str] = ()


def enter(tree: int, place: str) -> None:
    """Make the guest's tree the root of this mount namespace.

    :param tree: descriptor of it, as a detached tree of mounts.
    :param place: an empty directory to be used for this.
    :raises OSError: this cannot be done.
    """
    target = os.open(place, os.O_PATH | os.O_DIRECTORY)
    mount_calls.attach(tree, target)
    os.close(target)
    os.close(tree)
    os.chdir(place)
    syscalls.pivot_root('.', '.')
    # What was the root lies over it now: nothing of the host is left below.
    syscalls.umount('.', syscalls.MNT_DETACH)
    os.chdir('/')


def furnish(root: int, devices: Sequence[BlockDevice] = ()) -> None:
    """Mount /dev, /proc and /sys.

    :param root: id of this host that stands for the guest's root.
    :param devices: the guest's own.
    :raises OSError: this cannot be done.
    """
    for point in POINTS:
        if not stat.S_ISDIR(os.lstat(point).st_mode):
            raise NotADirectoryError(0, 'it is not a directory', point)
    syscalls.mount('proc', '/proc', 'proc', _PLAIN)
    syscalls.mount('sysfs', '/sys', 'sysfs', _PLAIN | syscalls.MS_RDONLY)
    _make_devices(root, devices)
    _hide_first_process()
    for path in _HIDDEN:
        with contextlib.suppress(FileNotFoundError):
            _hide(path)
    for path in _KEPT_AS_THEY_ARE:
        with contextlib.suppress(FileNotFoundError):
            syscalls.mount(path, path, '', syscalls.MS_BIND)
            syscalls.mount('', path, '', _READ_ONLY | _PLAIN)


def _hide_first_process() -> None:
    """Show what is known of the first process, and that its root is another.

    Programs take it as the sign of a chroot, in which services are not
    started and that is no error (systemctl, reboot, ischroot); as in the
    appliance. Its real root they may not look at, and would be in doubt.
    """
    # Not how it was called and where it is, which names files of this host.
    shown = {'cmdline': b'init\0', 'cgroup': b'0::/\n'}
    for name in _FIRST_PROCESS:
        with open(f'/proc/1/{name}', 'rb') as file:
            shown[name] = file.read()
    syscalls.mount('tmpfs', '/proc/1', 'tmpfs', _PLAIN, 'size=64k,mode=555')
    for name, content in shown.items():
        with open(f'/proc/1/{name}', 'wb') as file:
            file.write(content)
    os.mkdir('/proc/1/root', 0)
    flags = syscalls.MS_REMOUNT | syscalls.MS_RDONLY
    syscalls.mount('', '/proc/1', '', flags | _PLAIN)


def _hide(path: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        flags = _PLAIN | syscalls.MS_RDONLY
        syscalls.mount('tmpfs', path, 'tmpfs', flags, 'size=4k,mode=555')
    else:
        syscalls.mount('/dev/null', path, '', syscalls.MS_BIND)


def _make_devices(root: int, devices: Sequence[BlockDevice]) -> None:
    # Devices act here, since nobody in the sandbox can make one.
    ids = f'uid={root},gid={root}'
    syscalls.mount(
        'tmpfs',
        '/dev',
        'tmpfs',
        syscalls.MS_NOSUID,
        f'mode=755,size=4m,nr_inodes=4096,{ids}',
    )
    for name, major, minor in _DEVICES:
        _make_node(
            f'/dev/{name}', stat.S_IFCHR | 0o666, os.makedev(major, minor)
        )
        os.chown(f'/dev/{name}', root, root)
    for name, target in _LINKS:
        os.symlink(target, f'/dev/{name}')
        os.lchown(f'/dev/{name}', root, root)
    for name in ('pts', 'shm'):
        os.mkdir(f'/dev/{name}')
    syscalls.mount(
        'devpts',
        '/dev/pts',
        'devpts',
        syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
        f'newinstance,ptmxmode=666,mode=620,gid={root + _TTY}',
    )
    os.chown('/dev/pts', root, root)
    syscalls.mount(
        'tmpfs',
        '/dev/shm',  # noqa: S108
        'tmpfs',
        _TEMPORARY,
        f'mode=1777,size={_SHARED_MEMORY},{ids}',
    )
    for device in devices:
        _make_device(device)


def _make_device(device: BlockDevice) -> None:
    """Let programs look at a disk of the guest, as boot loaders' do.

    Its owner is nobody in the sandbox, so that its mode holds there for root
    as well: nobody writes to it behind the back of the mounted file system.
    """
    _make_node(device.path, stat.S_IFBLK | 0o444, device.number)
    for link in device.links:
        os.makedirs(os.path.dirname(link), mode=0o755, exist_ok=True)
        os.symlink(device.path, link)


def _make_node(path: str, mode: int, number: int) -> None:
    os.mknod(path, mode, number)
    os.chmod(path, stat.S_IMODE(mode))
