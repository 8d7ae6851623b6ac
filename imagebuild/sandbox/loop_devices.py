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
"""Parts of a disk's raw file as block devices (loop(4), Linux 5.8)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import stat
import struct
import time

from imagebuild.sandbox import mount_calls

_CONTROL = '/dev/loop-control'
_MAJOR = 7
_ADD = 0x4C80
_CONFIGURE = 0x4C0A
_READ_ONLY, _AUTOCLEAR, _DIRECT_IO = 1, 4, 16
#: fd, block size; device, inode, rdevice, offset, size limit; number,
#: encryption's type and key size, flags; names and key; init; reserved.
_CONFIG = struct.Struct('=II QQQQQ IIII 64s64s32s 16s 64s')
#: Bytes of the name, which only root of the host is told (LOOP_GET_STATUS64).
_LONGEST = 63
#: The first that is used. What makes a grub.cfg takes /dev/loop0 to /dev/loop9
#: for a way to a file, from which nothing boots, and leaves all entries out.
_FIRST = 10
_LAST = 4095
#: Others take free devices, too.
_TIMES = 50
_PAUSE = 0.02


class LoopDevice:
    """A part of a file as a block device.

    It goes by itself when nobody has it open or mounted any more, so it does
    not outlive the process that made it.

    :param file: the raw file.
    :param offset: byte at which the part begins.
    :param size: bytes.
    :param directory: where its device file is made if /dev has none, as in
        some containers.
    :param readonly: whether the device is.
    :param direct: whether what is written goes by this host's memory, so that
        it is not in there twice.
    :ivar path: of the device.
    :raises OSError: there is no free one.
    """

    def __init__(
        self,
        file: pathlib.Path,
        offset: int,
        size: int,
        *,
        directory: pathlib.Path,
        readonly: bool,
        direct: bool = True,
    ) -> None:
        self._directory = directory
        self._direct = _DIRECT_IO if direct else 0
        self._busy: set[int] = set()
        flags = os.O_RDONLY if readonly else os.O_RDWR
        # In every sandbox there is a /sys that shows the files of all devices,
        # those of other builds, too.
        backing = mount_calls.open_apart(file, flags)
        try:
            self._flags = _AUTOCLEAR | (_READ_ONLY if readonly else 0)
            self._name = os.fsencode(file)[-_LONGEST:]
            self.descriptor = self._configured(backing, offset, size)
        finally:
            os.close(backing)

    def _configured(self, backing: int, offset: int, size: int) -> int:
        direct = self._direct
        for attempt in range(_TIMES):
            device = self._open_free()
            info = _CONFIG.pack(
                backing, 0, 0, 0, 0, offset, size, 0, 0, 0,
                self._flags | direct, self._name, b'', b'', b'', b'',
            )  # fmt: skip
            try:
                fcntl.ioctl(device, _CONFIGURE, info)
                return device
            except OSError as error:
                os.close(device)
                if error.errno == errno.EINVAL and direct:
                    direct = 0
                elif error.errno != errno.EBUSY or attempt == _TIMES - 1:
                    raise
                else:
                    self._busy.add(os.minor(os.stat(self.path).st_rdev))
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _open_free(self) -> int:
        number = self._add_free()
        self.path = f'/dev/loop{number}'
        if not os.path.exists(self.path):
            self.path = str(self._directory / f'loop{number}')
            with contextlib.suppress(FileExistsError):
                os.mknod(
                    self.path,
                    stat.S_IFBLK | 0o600,
                    os.makedev(_MAJOR, number),
                )
        flags = os.O_RDONLY if self._flags & _READ_ONLY else os.O_RDWR
        return os.open(self.path, flags | os.O_CLOEXEC)

    def _add_free(self) -> int:
        """The number of a device that nobody uses, made if it is missing."""
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            for number in range(_FIRST, _LAST):
                used = f'/sys/block/loop{number}/loop/backing_file'
                if number in self._busy or os.path.exists(used):
                    continue
                with contextlib.suppress(FileExistsError):
                    fcntl.ioctl(control, _ADD, number)
                return number
        finally:
            os.close(control)
        raise OSError(errno.EBUSY, 'all loop devices are in use')

    def sync(self) -> None:
        """Write what is still in memory.

        :raises OSError: writes were lost since it was made.
        """
        os.fsync(self.descriptor)

    def wait_until_free(self, timeout: float) -> bool:
        """Wait until its file system is mounted nowhere any more.

        A process's last mounts go a moment after the process.

        :param timeout: seconds.
        :returns: whether it is so.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                os.close(
                    os.open(self.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
                )
                return True
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Let it go; its end comes when nobody has it mounted."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
