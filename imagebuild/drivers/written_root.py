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
"""Roots that the kernel writes: of XFS and btrfs.

What the programs of a host turn on by default changes with their versions.
Here it is chosen: GRUB 2.06 and Linux 5.10, the oldest of the releases that
base images are made of, can read it.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.disks import confined
from imagebuild.disks import host_command
from imagebuild.disks import root_file_systems
from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import tree_writer

_LOOP_CONTROL = '/dev/loop-control'
_VERSION = re.compile(r'(\d+)\.(\d+)')
#: What is turned on and off, and by which version of the program it is known.
_XFS: tuple[tuple[tuple[int, int], str, str], ...] = (
    ((5, 15), '-m', 'bigtime=1,inobtcount=1,finobt=1,reflink=1,rmapbt=0'),
    ((5, 15), '-i', 'sparse=1'),
    ((6, 0), '-i', 'nrext64=0'),
    ((6, 10), '-i', 'exchange=0'),
    ((6, 10), '-n', 'parent=0'),
)
_BTRFS: tuple[tuple[tuple[int, int], str, str], ...] = (
    # Two copies of what says where everything is, whatever the program takes
    # this disk for.
    ((0, 0), '-m', 'dup'),
    ((0, 0), '-d', 'single'),
    ((6, 10), '-O', '^block-group-tree'),
)


def check(kind: root_file_systems.FileSystem) -> None:
    """Refuse what this host cannot write, before anything is made.

    :raises EnvironmentFault: its kernel does not have the file system or no
        loop devices.
    """
    reason = ''
    if not mount_calls.knows(kind):
        reason = f'its kernel does not have {kind}'
    elif not os.access(_LOOP_CONTROL, os.W_OK):
        reason = f'there are no loop devices ({_LOOP_CONTROL})'
    if reason:
        raise exception.EnvironmentFault(
            f'A root of {kind} cannot be made on this host: {reason}. One of '
            'ext4 can.'
        )


def write(
    tree: pathlib.Path,
    disk: pathlib.Path,
    *,
    kind: root_file_systems.FileSystem,
    offset: int,
    size: int,
    uuid: str,
) -> None:
    """See :class:`root_file_systems.WriteMounted`."""
    with tempfile.TemporaryDirectory(
        prefix='mounted-', dir=disk.parent, ignore_cleanup_errors=True
    ) as workspace:
        target = pathlib.Path(workspace) / 'root'
        target.mkdir()
        confined.run(
            tree_writer.command(
                tree,
                disk,
                target,
                kind=kind,
                offset=offset,
                size=size,
                mkfs=_mkfs(kind, uuid),
            ),
            writes_to=disk,
            confinement=confined.Confinement(synced=True),
            name=f'The writing of the {kind} file system',
        )


def _mkfs(kind: root_file_systems.FileSystem, uuid: str) -> list[str]:
    """The command that makes an empty file system, less its device."""
    name = root_file_systems.KINDS[kind].program
    program = shutil.which(name, path=confined.search_path()) or name
    found = _VERSION.search(host_command.run([program, '-V']))
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    label = ['-q', '-f', '-L', root_file_systems.LABEL]
    if kind == 'xfs':
        return [name, *label, '-m', f'uuid={uuid}', *_options(_XFS, version)]
    return [name, *label, '-U', uuid, *_options(_BTRFS, version)]


def _options(
    known: Sequence[tuple[tuple[int, int], str, str]], version: tuple[int, int]
) -> list[str]:
    """The options that a version knows."""
    return [
        word
        for since, option, value in known
        if version >= since
        for word in (option, value)
    ]
