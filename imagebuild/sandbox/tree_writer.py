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
"""Fills a new file system in a part of a disk's file.

The kernel writes it, so owners, modes, extended attributes, hard links,
devices and holes are kept, whatever the programs of this host can do.

Run as the only program of mount and process namespaces of its own: the mount
and the loop device go with it, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import struct
import subprocess
import sys
from collections.abc import Sequence

from imagebuild.sandbox import loop_devices
from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import syscalls

# Without other packages: it starts in a moment.
_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from imagebuild.sandbox import tree_writer
tree_writer.main(sys.argv[2])
"""
#: cp(1) fails when one of them is lost; "all" would not say so.
_COPY = (
    'cp', '--no-dereference', '--recursive', '--no-target-directory',
    '--preserve=mode,ownership,timestamps,links,xattr', '--sparse=auto', '--',
)  # fmt: skip
#: Bytes; with less a file system, or this host, is full.
_FULL = 1024 * 1024
#: Nothing waits for the disk: the file is thrown away when the host stops.
_OPTIONS: dict[str, dict[str, str | None]] = {
    'btrfs': {'nobarrier': None},
}
_FORGET_DEVICE = 0x50009405


class _Failed(Exception):
    """With a sentence for people."""


def command(
    tree: pathlib.Path,
    disk: pathlib.Path,
    target: pathlib.Path,
    *,
    kind: str,
    offset: int,
    size: int,
    mkfs: Sequence[str],
) -> list[str]:
    """The command that does it; to be confined by the caller.

    :param tree: what the file system is filled with.
    :param disk: the raw file; its part is new, all zero.
    :param target: directory to mount it on.
    :param kind: of the file system, as the kernel calls it.
    :param offset: byte of the disk at which it begins.
    :param size: its bytes.
    :param mkfs: the command that makes it, less the device.
    """
    text = json.dumps(
        {
            'tree': str(tree),
            'disk': str(disk),
            'target': str(target),
            'kind': kind,
            'offset': offset,
            'size': size,
            'mkfs': list(mkfs),
        }
    )
    top = pathlib.Path(__file__).resolve().parents[2]
    return [
        sys.executable, '-I', '-S', '-X', 'utf8', '-c', _PROGRAM,
        str(top), text,
    ]  # fmt: skip


def write(
    tree: str,
    disk: str,
    target: str,
    *,
    kind: str,
    offset: int,
    size: int,
    mkfs: Sequence[str],
) -> None:
    """See :func:`command`.

    :raises _Failed: it did not work.
    :raises OSError: likewise.
    """
    device = loop_devices.LoopDevice(
        pathlib.Path(disk),
        offset,
        size,
        directory=pathlib.Path(target).parent,
        readonly=False,
        direct=False,
    )
    try:
        _run([*mkfs, device.path])
        _fill(tree, device.path, target, kind)
        device.sync()
    except (_Failed, OSError) as error:
        raise _Failed(_why(disk) or str(error)) from error
    device.close()


def _fill(tree: str, device: str, target: str, kind: str) -> None:
    mount = mount_calls.make_mount(
        kind,
        device,
        _OPTIONS.get(kind, {}),
        mount_calls.ATTR_NODEV | mount_calls.ATTR_NOSUID,
    )
    at = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount_calls.attach(mount, at)
    os.close(at)
    os.close(mount)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _run([*_COPY, tree, target])
        # Tells of all that could not be written since it was opened.
        mount_calls.sync(root)
    except (_Failed, OSError) as error:
        if _room(root) < _FULL:
            raise _Failed(
                'the files do not fit on the disk; make it larger'
            ) from error
        raise
    finally:
        os.close(root)
    # Not lazily: what is left is written now.
    syscalls.umount(target)
    if kind == 'btrfs':
        _forget(device)


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode('utf-8', 'replace').strip()
        raise _Failed(f'{argv[0]}: {said[-500:] or "it gave no reason"}')


def _why(disk: str) -> str:
    """What a full host says; '' for one that is not.

    In the file system it may come as any error.
    """
    host = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.strerror(errno.ENOSPC) if _room(host) < _FULL else ''
    finally:
        os.close(host)


def _room(descriptor: int) -> int:
    """Bytes that are free on a file system."""
    found = os.fstatvfs(descriptor)
    return found.f_bavail * found.f_frsize


def _forget(device: str) -> None:
    """Have the kernel forget a btrfs that is not mounted any more."""
    arguments = bytearray(struct.pack('=q4088s', 0, os.fsencode(device)))
    with contextlib.suppress(OSError):
        control = os.open('/dev/btrfs-control', os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(control, _FORGET_DEVICE, arguments)
        finally:
            os.close(control)


def main(text: str) -> None:
    """The program; what is wrong it says on standard error.

    :param text: the arguments of :func:`write`, in JSON.
    """
    try:
        write(**json.loads(text))
    except (_Failed, OSError) as error:
        sys.exit(str(error))
