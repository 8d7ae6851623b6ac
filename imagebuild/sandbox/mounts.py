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

:class:`Mounts` offers the mount calls of a libguestfs handle, under the same
names. So the one function that finds an operating system and mounts all of it
(``remotes.guest_mounts.mount_all``) works over both, and both isolations give
the same tree and the same errors. What may be mounted is a plan of the job's
(:mod:`mount_plan`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.common import disk_layout
from imagebuild.sandbox import btrfs_subvolumes
from imagebuild.sandbox import growing
from imagebuild.sandbox import loop_devices
from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import mount_plan
from imagebuild.sandbox import tree
from imagebuild.sandbox import vfat_copy

#: What a file system is mounted from.
_Device = loop_devices.LoopDevice | vfat_copy.VfatCopy

#: What a file system might say for itself in its superblock: errors=panic
#: would be the end of this host. xfs and btrfs know other disks by their
#: UUID, and two builds may have the same base.
_OPTIONS: Mapping[str, Mapping[str, str | None]] = {
    # What was never used need not be made ready now; it would be written.
    'ext4': {'errors': 'remount-ro', 'noinit_itable': None},
    'xfs': {'nouuid': None},
    'btrfs': {},
    'vfat': {'fmask': '0022', 'dmask': '0022'},
}
#: So that nothing is written, not even by a journal.
_AS_IT_IS: Mapping[str, Mapping[str, str | None]] = {
    'ext4': {'noload': None},
    'xfs': {'norecovery': None},
    'btrfs': {'rescue': 'nologreplay'},
}
# A setuid file stays one on the disk, and its bit does nothing here. What is
# only read must not be written for that.
_ATTRIBUTES = (
    mount_calls.ATTR_NOSUID | mount_calls.ATTR_NODEV | mount_calls.ATTR_NOATIME
)
#: Seconds that the last mounts of processes that ended may take to go.
_FREE = 20.0
#: Seconds that the last files of processes that ended may take to go.
_CLOSED = 2.0
_PAUSE = 0.02


@dataclasses.dataclass(frozen=True)
class _Mounted:
    """A file system that is mounted.

    :ivar device: as it was named.
    :ivar target: the path that it was mounted on.
    :ivar loop: its block device.
    :ivar root: descriptor of its root, opened before anything was written.
    """

    device: str
    target: str
    loop: _Device
    root: int


class Mounts:
    """The guest's file systems in this process's mount namespace.

    Runs in the supervisor, in one thread. Its public methods are operations
    of :meth:`Supervisor.call`: names, arguments and results are those of a
    libguestfs handle (``remotes.guest_handle.MountHandle``), and so is
    RuntimeError, with one line of text, for whatever the guest's disk refuses.

    :param made: what may be mounted.
    :param root: an empty directory, on which the guest's root is mounted.
    :param guest_root: user id of this host that is root in the guest.
    :ivar tree: the mounted guest's files; its operations are those of a
        libguestfs handle, too.
    """

    def __init__(
        self, made: mount_plan.Plan, root: pathlib.Path, *, guest_root: int = 0
    ) -> None:
        self._plan = made
        self._root = root
        self._guest_root = guest_root
        self._known = {each.device: each for each in made.filesystems}
        self._mounted: list[_Mounted] = []
        self._loops: dict[str, _Device] = {}
        self._frozen: list[_Mounted] = []
        self._refused: dict[str, str] = {}
        self._lost = ''
        self.tree = tree.Tree(None)

    # -- what there is ------------------------------------------------------

    def list_filesystems(self) -> dict[str, str]:
        """Device names and kinds."""
        return {
            device: each.kind or 'unknown'
            for device, each in self._known.items()
        }

    def blkid(self, device: str) -> dict[str, str]:
        """What is known of a device.

        :raises RuntimeError: nothing is.
        """
        each = self._known.get(device)
        if each is None:
            raise RuntimeError(f'{device}: {os.strerror(errno.ENOENT)}')
        return {**each.tags, **({'TYPE': each.kind} if each.kind else {})}

    def btrfs_subvolume_list(self, path: str) -> Sequence[dict[str, Any]]:
        """The subvolumes of a mounted btrfs."""
        with _told(path):
            found = btrfs_subvolumes.paths(self._at(path).root)
        return [
            {'btrfssubvolume_id': number, 'btrfssubvolume_path': name}
            for name, number in found.items()
        ]

    def mountpoints(self) -> dict[str, str]:
        """Device and mount point of all that is mounted."""
        return {each.device: each.target for each in self._mounted}

    def refused(self) -> dict[str, str]:
        """Why file systems could not be mounted by this host's kernel.

        An appliance, with its own kernel, may do better.

        :returns: device to reason.
        """
        return dict(self._refused)

    # -- mounting -----------------------------------------------------------

    def mount(self, device: str, target: str) -> None:
        """Mount a device (``/dev/sda1``, ``btrfsvol:/dev/sda1/root``)."""
        self._mount(device, target, {})

    def mount_ro(self, device: str, target: str) -> None:
        """Mount it read only."""
        self._mount(device, target, {'ro': None})

    def mount_options(self, options: str, device: str, target: str) -> None:
        """Mount it with ``ro``, ``subvol=`` or ``subvolid=``.

        Of several the last may hold commas.
        """
        named: dict[str, str | None] = {}
        while options:
            if options.startswith(('subvol=', 'subvolid=')):
                name, _, value = options.partition('=')
                named[name] = value
                break
            first, _, options = options.partition(',')
            if first != 'ro':
                raise RuntimeError(f'{device}: mount option {first} unknown')
            named['ro'] = None
        self._mount(device, target, named)

    def _mount(
        self, device: str, target: str, options: Mapping[str, str | None]
    ) -> None:
        found, subvolume = self._find(device)
        kind = mount_plan.KINDS.get(found.kind)
        if kind is None:
            what = f'it holds {found.kind or "nothing known"}'
            if found.kind and 'ro' not in options:
                # Not for a look at what might be a root.
                self._refused[found.device] = what
            raise RuntimeError(f'{device}: {what}')
        if not mount_calls.knows(kind):
            if kind == mount_plan.ESP and vfat_copy.possible(found.size):
                self._mount_copy(found, target)
                return
            self._refused[found.device] = f'the kernel knows no {kind}'
            raise RuntimeError(f'{device}: the kernel knows no {kind}')
        options = {**_OPTIONS[kind], **options}
        if kind == 'ext4':
            # The blocks that are kept for root are for the guest's root, too.
            options['resuid'] = str(self._guest_root)
        if subvolume:
            options['subvol'] = subvolume
        if self._plan.readonly:
            options |= {'ro': None, **_AS_IT_IS.get(kind, {})}
        with _told(device), self._opened(target) as directory:
            try:
                loop = self._loop(found)
                mount = mount_calls.make_mount(
                    kind, loop.path, options, _ATTRIBUTES
                )
            except OSError as error:
                # No kernel has a subvolume that is not there.
                if error.errno != errno.ENOENT:
                    self._refused[found.device] = error.strerror or str(error)
                self._forget_unused()
                raise
            self._attach(mount, directory, device, target, loop)

    def _mount_copy(self, found: disk_layout.FileSystem, target: str) -> None:
        """Mount a copy of a vfat, see :mod:`vfat_copy`."""
        device = found.device
        copy = vfat_copy.VfatCopy(self._plan.disk, found.offset)
        options = {'mode': '755', 'size': str(found.size)}
        with _told(device), self._opened(target) as directory:
            mount = mount_calls.make_mount(
                'tmpfs', 'none', options, _ATTRIBUTES
            )
            try:
                copy.fill(mount)
            except OSError as error:
                self._refused[device] = error.strerror or str(error)
                os.close(mount)
                copy.close()
                raise
            self._loops[device] = copy
            self._attach(mount, directory, device, target, copy)

    def _attach(
        self,
        mount: int,
        directory: int,
        device: str,
        target: str,
        loop: _Device,
    ) -> None:
        try:
            mount_calls.attach(mount, directory)
            root = os.open('.', _DIRECTORY, dir_fd=mount)
        finally:
            os.close(mount)
        self._mounted.append(_Mounted(device, target, loop, root))
        if target == '/':
            self.tree = tree.Tree(root)

    def _find(self, device: str) -> tuple[disk_layout.FileSystem, str]:
        """The file system and the subvolume that a name means."""
        plain = device.removeprefix('btrfsvol:')
        for name, each in self._known.items():
            if plain == name:
                return each, ''
            if plain != device and plain.startswith(f'{name}/'):
                return each, plain[len(name) + 1 :]
        raise RuntimeError(f'{device}: {os.strerror(errno.ENOENT)}')

    @contextlib.contextmanager
    def _opened(self, target: str) -> Iterator[int]:
        """The directory that is mounted on."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        if target == '/':
            directory = os.open(self._root, flags)
        else:
            directory = self.tree.open(target, flags)
        try:
            yield directory
        finally:
            os.close(directory)

    def _loop(self, found: disk_layout.FileSystem) -> _Device:
        if found.device not in self._loops:
            self._loops[found.device] = loop_devices.LoopDevice(
                self._plan.disk,
                found.offset,
                found.size,
                directory=self._root.parent,
                readonly=self._plan.readonly,
            )
        return self._loops[found.device]

    def _forget_unused(self) -> None:
        used = {each.loop.path for each in self._mounted}
        for device, loop in list(self._loops.items()):
            if loop.path not in used:
                del self._loops[device]
                loop.close()

    def _at(self, target: str) -> _Mounted:
        for each in reversed(self._mounted):
            if each.target == target:
                return each
        raise RuntimeError(f'{target}: nothing is mounted there')

    # -- growing ------------------------------------------------------------

    def vfs_type(self, device: str) -> str:
        """The kind of a file system, '' when it is not known."""
        return self._find(device)[0].kind

    def xfs_growfs(self, target: str) -> None:
        """Make a mounted XFS as large as its device."""
        each = self._at(target)
        with _told(each.device):
            growing.xfs(each.root, self._find(each.device)[0].size)

    def btrfs_filesystem_resize(self, target: str) -> None:
        """Make a mounted btrfs as large as its device."""
        with _told(target):
            growing.btrfs(self._at(target).root)

    # -- writing ------------------------------------------------------------

    def _roots(self) -> list[_Mounted]:
        """One mount of each file system."""
        return list({each.loop.path: each for each in self._mounted}.values())

    def sync(self) -> None:
        """Write everything to the disk.

        :raises RuntimeError: writes were lost, now or ever.
        """
        try:
            for each in self._roots():
                with _told(each.device):
                    mount_calls.sync(each.root)
                    each.loop.sync()
        except RuntimeError as error:
            # The kernel tells it once.
            self._lost = str(error)
        if self._lost:
            raise RuntimeError(f'what was written is lost: {self._lost}')

    def fstrim(self, target: str) -> None:
        """Tell the disk which blocks of a file system are free.

        :raises RuntimeError: it cannot be told.
        """
        with _told(target):
            mount_calls.trim(self._at(target).root)

    def freeze(self) -> None:
        """Write everything to the disk, and let nothing be written.

        By making the file systems read only, which leaves them as an
        unmount would. Not by FIFREEZE: a frozen file system outlives its
        mounts, so whoever is killed meanwhile leaves it behind for ever, and
        sync(2) waits for it on the whole host.

        :raises RuntimeError: something has a file open for writing, or
            writes were lost; none is read only then.
        """
        if self._frozen or self._plan.readonly:
            return
        self.sync()
        try:
            for each in self._roots():
                with _told(each.device):
                    self._make_readonly(each.root)
                    self._frozen.append(each)
                    each.loop.sync()
        except BaseException:
            with contextlib.suppress(RuntimeError):
                self.thaw()
            raise

    @staticmethod
    def _make_readonly(root: int) -> None:
        # What a process had open goes a moment after the process.
        end = time.monotonic() + _CLOSED
        while True:
            try:
                mount_calls.set_readonly(root, True)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise
            time.sleep(_PAUSE)

    def thaw(self) -> None:
        """End what :meth:`freeze` began.

        :raises RuntimeError: a file system stays read only.
        """
        while self._frozen:
            each = self._frozen.pop()
            with _told(each.device):
                mount_calls.set_readonly(each.root, False)

    # -- the end ------------------------------------------------------------

    def umount_all(self) -> None:
        """Unmount everything; what was written is on the disk.

        :raises RuntimeError: something is busy, or writes were lost.
        """
        self._frozen.clear()
        problems = [*self._synced(), *self._unmounted()]
        if problems:
            raise RuntimeError('; '.join(problems))

    def _synced(self) -> Iterator[str]:
        try:
            self.sync()
        except RuntimeError as error:
            yield str(error)

    def _unmounted(self) -> Iterator[str]:
        self._let_go()
        for device, loop in self._loops.items():
            with _told(device):
                if not loop.wait_until_free(_FREE):
                    yield f'{device}: {os.strerror(errno.EBUSY)}'
            try:
                loop.sync()
            except OSError as error:
                yield f'{device}: what was written is lost: {error.strerror}'
            loop.close()
        self._loops.clear()

    def _let_go(self) -> None:
        """Unmount, without knowing whether nobody uses it elsewhere."""
        self.tree = tree.Tree(None)
        while self._mounted:
            os.close(self._mounted.pop().root)
        with contextlib.suppress(OSError):
            # Whole, from above: on the way to what is mounted inside of it
            # the guest may have put links.
            mount_calls.detach(str(self._root))

    def close(self) -> None:
        """Let everything go, whatever is lost; never raises."""
        self._frozen.clear()
        self._let_go()
        for loop in self._loops.values():
            with contextlib.suppress(OSError):
                loop.close()
        self._loops.clear()

    # -- for commands -------------------------------------------------------

    def clone_idmapped(self, user_namespace: int) -> int:
        """The whole mounted tree, with ids shifted by a user namespace.

        :param user_namespace: descriptor of it.
        :returns: descriptor of a detached tree of mounts, to be attached
            once, with move_mount(2). The file systems are busy until it is
            closed and where it was attached is gone.
        :raises NotForSandbox: this kernel cannot shift ids of one of its
            file systems.
        """
        with _told('/'):
            clone = mount_calls.clone_tree(self._at('/').root)
        try:
            mount_calls.shift_ids(clone, user_namespace)
        except OSError as error:
            os.close(clone)
            kinds = {self._find(each.device)[0].kind for each in self._mounted}
            mount_plan.refuse(
                self._plan.image,
                'this kernel cannot map the owners of its files '
                f'({", ".join(sorted(kinds))}: {error.strerror})',
            )
        return clone


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell errors as libguestfs does.

    :raises RuntimeError: for each OSError.
    """
    try:
        yield
    except OSError as error:
        raise RuntimeError(f'{what}: {error.strerror}') from error
