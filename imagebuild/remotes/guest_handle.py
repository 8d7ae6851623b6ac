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
"""The part of a libguestfs handle that the guest_* modules use.

What reads and writes the files of a guest (:mod:`guest_files`,
:mod:`guest_reading`, :mod:`guest_flags`, :mod:`guest_shell`,
:mod:`guest_resolver`, :mod:`guest_selinux`) is written over these methods and
no others. A libguestfs handle has them, and so has whatever else reaches a
guest's tree.

What is true of all methods:

* Paths are absolute, as the guest sees them, and text. A path never leads out
  of the guest: an absolute link and any number of ".." are looked at with the
  guest's tree as root.
* Symbolic links in the directories of a path are always followed. The last
  component is followed where a method says "followed". (libguestfs' ln_s and
  rm_rf look at absolute ones from outside, and would be in the appliance's
  own tree; they are used where directories are no links.)
* Errors are :class:`RuntimeError`, with a message of one line that holds the
  reason in the words of strerror(3). Nothing is half done then, except that a
  write may have written less.
* A name that comes from the guest and is not UTF-8 is a
  :class:`UnicodeDecodeError`, from the methods that return names.
* New files and directories belong to root, and the bits of 022 are taken from
  their modes.
* No method waits for somebody in the guest. A FIFO or device is never opened:
  where this text asks for a regular file, callers have looked before
  (libguestfs would wait), and a handle that can tell raises.

``tests/contract/handle_contract.py`` is this text as tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol


class GuestHandle(Protocol):
    """The files of a guest."""

    # -- questions ----------------------------------------------------------

    def exists(self, path: str, /) -> bool:
        """Whether something has this name; true of a link to nothing.

        False, too, when a directory on the way is missing or is none.
        """

    def is_file(self, path: str, /, *, followsymlinks: bool = False) -> bool:
        """Whether it is a regular file; a link is none unless followed.

        False where nothing is, and where the way there is missing or leads
        through something that is no directory.

        :raises RuntimeError: any other error; links that never end.
        """

    def is_dir(self, path: str, /, *, followsymlinks: bool = False) -> bool:
        """Whether it is a directory; see :meth:`is_file`."""

    def is_symlink(self, path: str, /) -> bool:
        """Whether it is a symbolic link; errors as of :meth:`is_file`."""

    def statns(self, path: str, /) -> Mapping[str, int]:
        """The file's status, followed.

        :returns: at least ``st_mode`` (type and permissions), ``st_uid``,
            ``st_gid``, ``st_size``, ``st_ino``, ``st_mtime_sec`` and
            ``st_mtime_nsec``.
        :raises RuntimeError: nothing is there, or links never end.
        """

    def lstatns(self, path: str, /) -> Mapping[str, int]:
        """As :meth:`statns`, of a link itself."""

    def filesize(self, path: str, /) -> int:
        """Bytes in a file, followed.

        :raises RuntimeError: nothing is there.
        """

    def readlink(self, path: str, /) -> str:
        """What a link holds, as it is.

        :raises RuntimeError: it is no link.
        :raises UnicodeDecodeError: it is not UTF-8.
        """

    def realpath(self, path: str, /) -> str:
        """The path without any link, "." or ".." in it.

        :raises RuntimeError: nothing is there, or links never end.
        :raises UnicodeDecodeError: it is not UTF-8.
        """

    def glob_expand(
        self, pattern: str, /, *, directoryslash: bool = True
    ) -> list[str]:
        """Paths that match a shell's pattern, sorted; none is no error.

        Of a pattern that begins with a letter or "*" no name with a dot in
        front is found, as in a shell.

        :param directoryslash: whether directories end in "/".
        :raises UnicodeDecodeError: one of them is not UTF-8.
        """

    # -- content ------------------------------------------------------------

    def read_file(self, path: str, /) -> bytes:
        """All of a regular file, followed; callers have seen its size."""

    def pread(self, path: str, count: int, offset: int, /) -> bytes:
        """A piece of a regular file, followed.

        :param count: bytes, fewer than 4 MiB.
        :returns: shorter than that at the end of the file, b'' behind it.
        """

    def write(self, path: str, content: bytes, /) -> None:
        """Make a file, followed, or replace its content; under 4 MiB.

        A new one has the mode 0644. One that is there keeps owner, mode and
        inode; a link to nothing is an error or is written through.
        """

    def write_append(self, path: str, content: bytes, /) -> None:
        """Write at the end of a file, followed; fewer than 4 MiB."""

    def touch(self, path: str, /) -> None:
        """Make an empty file, or give one that is there the time of now.

        :raises RuntimeError: something else is there; a link, too.
        """

    # -- names --------------------------------------------------------------

    def mkdir_mode(self, path: str, mode: int, /) -> None:
        """Make one directory.

        :raises RuntimeError: something is there, or its parent is missing.
        """

    def ln_s(self, target: str, path: str, /) -> None:
        """Make the symbolic link ``path`` that holds ``target``.

        :raises RuntimeError: something is there.
        """

    def rename(self, old: str, new: str, /) -> None:
        """rename(2): a link is renamed itself, a file at new replaced."""

    def rm(self, path: str, /) -> None:
        """Remove a file, a link or what else is no directory.

        :raises RuntimeError: nothing is there, or a directory.
        """

    def rm_f(self, path: str, /) -> None:
        """As :meth:`rm`; no error when nothing is there."""

    def rm_rf(self, path: str, /) -> None:
        """Remove with all that is below; links are removed themselves.

        No error when nothing is there.
        """

    # -- attributes ---------------------------------------------------------

    def chmod(self, mode: int, path: str, /) -> None:
        """Set all of the permission bits (07777), followed."""

    def chown(self, uid: int, gid: int, path: str, /) -> None:
        """Set owner and group, followed.

        As chown(2) does, it takes the setuid and setgid bits from files.
        """

    def get_e2attrs(self, path: str, /) -> str:
        """The letters of lsattr(1) that are set, such as ``'ai'``.

        :raises RuntimeError: the file system has none, or it is a link.
        """

    def set_e2attrs(
        self, path: str, attributes: str, /, *, clear: bool = False
    ) -> None:
        """Set these, or take them away; the others stay as they are."""

    def lgetxattrs(self, path: str, /) -> Sequence[Mapping[str, Any]]:
        """The extended attributes, of a link itself.

        :returns: each with ``attrname`` (text) and ``attrval`` (bytes).
        """

    def lsetxattr(
        self, name: str, value: str, size: int, path: str, /
    ) -> None:
        """Set an extended attribute, of a link itself.

        :param size: bytes of the value; with one more than it has, a NUL
            character follows it, as SELinux writes its labels.
        :raises RuntimeError: nothing is there, or it cannot have it.
        """


class MountHandle(GuestHandle, Protocol):
    """Also what :mod:`guest_mounts` uses to mount the guest.

    Devices have the names that libguestfs gives them: ``/dev/sda1``,
    ``/dev/my-vg/lv``; a subvolume of btrfs is ``btrfsvol:/dev/sda1/root``.
    Files can be looked at as far as something is mounted; until then each
    question about them is a RuntimeError.
    """

    def list_filesystems(self) -> Mapping[str, str]:
        """Every file system that is found, and its kind (``ext4``)."""

    def blkid(self, device: str, /) -> Mapping[str, str]:
        """What blkid(8) tells: ``UUID``, ``LABEL``, ``PART_ENTRY_UUID``, ...

        :raises RuntimeError: nothing is known.
        """

    def btrfs_subvolume_list(
        self, path: str, /
    ) -> Sequence[Mapping[str, Any]]:
        """Subvolumes of the btrfs that is mounted there.

        :returns: each with at least ``btrfssubvolume_path``.
        """

    def mount(self, device: str, target: str, /) -> None:
        """Mount a device; ``target`` is a path without links.

        :raises RuntimeError: it cannot be mounted.
        """

    def mount_ro(self, device: str, target: str, /) -> None:
        """Mount it read only; see :meth:`mount`."""

    def mount_options(self, options: str, device: str, target: str, /) -> None:
        """Mount it with ``ro``, ``subvol=...`` or ``subvolid=...``."""

    def mountpoints(self) -> Mapping[str, str]:
        """Device and mount point of all that is mounted."""

    def umount_all(self) -> None:
        """Unmount everything; no error when nothing is mounted.

        :raises RuntimeError: something is busy.
        """

    def fstrim(self, target: str, /) -> None:
        """Tell the disk which blocks of a file system are free.

        :raises RuntimeError: it cannot be told.
        """
