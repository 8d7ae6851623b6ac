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
"""Mount a guest's file systems on this host, as an appliance mounts them.

The job makes a :class:`Plan` of what is on the disk and hands it to the
supervisor, whose :class:`Mounts` offers the mount calls of a libguestfs
handle, under the same names. So the one function that finds an operating
system and mounts all of it (``remotes.guest_mounts.mount_all``) works over
both, and both isolations give the same tree and the same errors.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild.common import disk_layout
from imagebuild.sandbox import tree


@dataclasses.dataclass(frozen=True)
class Plan:
    """What of a disk may be mounted.

    :ivar disk: the raw file, as the supervisor sees it.
    :ivar filesystems: what is on it.
    :ivar readonly: nothing is written to it, not even a journal replayed.
    """

    disk: pathlib.Path
    filesystems: tuple[disk_layout.FileSystem, ...]
    readonly: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it is sent to the supervisor."""
        return {**dataclasses.asdict(self), 'disk': str(self.disk)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        found = tuple(
            disk_layout.FileSystem(**each) for each in raw['filesystems']
        )
        return cls(pathlib.Path(raw['disk']), found, raw['readonly'])


def plan(
    layout: disk_layout.DiskLayout,
    disk: pathlib.Path,
    *,
    image: str,
    readonly: bool = False,
) -> Plan:
    """Decide whether this host may mount what is on a disk.

    :param layout: what was found on it (``disks.partitions.read``).
    :param disk: its raw file, as the supervisor sees it.
    :param image: what messages call it.
    :raises NotForSandbox: it has volumes or file systems that are left to
        the appliance (LVM, LUKS, RAID, f2fs, ...).
    """
    raise NotImplementedError


class Mounts:
    """The guest's file systems in this process's mount namespace.

    Runs in the supervisor, in one thread. Its public methods are operations
    of :meth:`Supervisor.call`: names, arguments and results are those of a
    libguestfs handle, and so is RuntimeError, with one line of text, for
    whatever the guest's disk refuses.

    :param made: what may be mounted.
    :param root: an empty directory, on which the guest's root is mounted.
    :ivar tree: the mounted guest's files; its operations are those of a
        libguestfs handle, too.
    """

    tree: tree.Tree

    def __init__(self, made: Plan, root: pathlib.Path) -> None:
        raise NotImplementedError

    def list_filesystems(self) -> dict[str, str]:
        """Device names and kinds."""
        raise NotImplementedError

    def blkid(self, device: str) -> dict[str, str]:
        """What is known of a device."""
        raise NotImplementedError

    def btrfs_subvolume_list(self, path: str) -> Sequence[dict[str, Any]]:
        """The subvolumes of a mounted btrfs."""
        raise NotImplementedError

    def mount(self, device: str, target: str) -> None:
        """Mount a device (``/dev/sda1``, ``btrfsvol:/dev/sda1/root``)."""
        raise NotImplementedError

    def mount_ro(self, device: str, target: str) -> None:
        """Mount it read only."""
        raise NotImplementedError

    def mount_options(self, options: str, device: str, target: str) -> None:
        """Mount it with ``ro``, ``subvol=`` or ``subvolid=``."""
        raise NotImplementedError

    def mountpoints(self) -> dict[str, str]:
        """Device to mount point of all that is mounted."""
        raise NotImplementedError

    def umount_all(self) -> None:
        """Unmount everything, the last first; what was written is on the disk.

        :raises RuntimeError: something is busy, or writes were lost.
        """
        raise NotImplementedError

    def sync(self) -> None:
        """Write everything to the disk.

        :raises RuntimeError: writes were lost.
        """
        raise NotImplementedError

    def fstrim(self, target: str) -> None:
        """Give free blocks back."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Write everything to the disk, and let nothing be written (FIFREEZE).

        :raises RuntimeError: a file system refuses; none is frozen then.
        """
        raise NotImplementedError

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        raise NotImplementedError

    def refused(self) -> dict[str, str]:
        """Why file systems could not be mounted by this host's kernel.

        When ``mount_all`` finds no operating system and something is in
        here, an appliance, with its own kernel, may do better.

        :returns: device to reason.
        """
        raise NotImplementedError

    def clone_idmapped(self, user_namespace: int) -> int:
        """The whole mounted tree, with ids shifted by a user namespace.

        :param user_namespace: descriptor of it.
        :returns: descriptor of a detached tree of mounts, to be attached
            once, with move_mount(2). The file systems are busy until it is
            closed and where it was attached is gone.
        :raises NotForSandbox: this kernel cannot shift ids of one of its
            file systems.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let everything go, whatever is lost; never raises."""
        raise NotImplementedError
