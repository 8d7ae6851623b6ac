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
"""The files of a directory of this machine, as a GuestHandle.

It passes the handle's contract, without an appliance and without root; no
link that a test makes leads out of the directory.
"""

from __future__ import annotations

import glob
import os
import pathlib
import shutil
import stat
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any


def _as_libguestfs(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kw: Any) -> Any:
        try:
            return function(*args, **kw)
        except OSError as error:
            raise RuntimeError(f'{function.__name__}: {error}') from error

    return call


class LocalHandle:
    """A directory as a guest.

    :param root: of the guest.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self._root = str(root)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found if name.startswith('_') else _as_libguestfs(found)

    def _real(self, path: str, *, follow: bool = True, links: int = 0) -> str:
        """Where it is on this machine, without a link on the way."""
        if links > 40:
            raise OSError(40, 'Too many levels of symbolic links', path)
        here: list[str] = []
        parts = [part for part in path.split('/') if part not in ('', '.')]
        for index, part in enumerate(parts):
            if part == '..':
                here[-1:] = []
                continue
            there = '/'.join([self._root, *here, part])
            last = index == len(parts) - 1
            if os.path.islink(there) and (follow or not last):
                target = os.readlink(there)
                above = '' if target.startswith('/') else '/'.join(here)
                rest = '/'.join(parts[index + 1 :])
                return self._real(
                    f'{above}/{target}/{rest}', follow=follow, links=links + 1
                )
            here.append(part)
        return '/'.join([self._root, *here])

    def _mode(self, path: str, *, follow: bool) -> int:
        try:
            return os.lstat(self._real(path, follow=follow)).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0

    # -- questions ----------------------------------------------------------

    def exists(self, path: str) -> bool:
        return bool(self._mode(path, follow=False))

    def is_file(self, path: str, *, followsymlinks: bool = False) -> bool:
        return stat.S_ISREG(self._mode(path, follow=followsymlinks))

    def is_dir(self, path: str, *, followsymlinks: bool = False) -> bool:
        return stat.S_ISDIR(self._mode(path, follow=followsymlinks))

    def is_symlink(self, path: str) -> bool:
        return stat.S_ISLNK(self._mode(path, follow=False))

    def statns(self, path: str) -> Mapping[str, int]:
        return self._status(self._real(path))

    def lstatns(self, path: str) -> Mapping[str, int]:
        return self._status(self._real(path, follow=False))

    def _status(self, real: str) -> Mapping[str, int]:
        found = os.lstat(real)
        seconds, nanoseconds = divmod(found.st_mtime_ns, 10**9)
        names = ('st_mode', 'st_uid', 'st_gid', 'st_size', 'st_ino')
        return {
            **{name: getattr(found, name) for name in names},
            'st_mtime_sec': seconds,
            'st_mtime_nsec': nanoseconds,
        }

    def filesize(self, path: str) -> int:
        return os.stat(self._real(path)).st_size

    def readlink(self, path: str) -> str:
        return os.readlink(self._real(path, follow=False))

    def realpath(self, path: str) -> str:
        real = self._real(path)
        os.lstat(real)
        return real.removeprefix(self._root) or '/'

    def glob_expand(
        self, pattern: str, *, directoryslash: bool = True
    ) -> list[str]:
        above, name = os.path.split(pattern)
        real = self._real(above)
        found = glob.glob(name, root_dir=real)
        return sorted(os.path.join(above, each) for each in found)

    # -- content ------------------------------------------------------------

    def read_file(self, path: str) -> bytes:
        return pathlib.Path(self._real(path)).read_bytes()

    def pread(self, path: str, count: int, offset: int) -> bytes:
        with open(self._real(path), 'rb') as file:
            return os.pread(file.fileno(), count, offset)

    def write(self, path: str, content: bytes) -> None:
        pathlib.Path(self._real(path)).write_bytes(content)

    def write_append(self, path: str, content: bytes) -> None:
        with open(self._real(path), 'ab') as file:
            file.write(content)

    def touch(self, path: str) -> None:
        if self.exists(path) and not self.is_file(path):
            raise OSError(22, 'not a regular file', path)
        pathlib.Path(self._real(path, follow=False)).touch()

    # -- names --------------------------------------------------------------

    def mkdir_mode(self, path: str, mode: int) -> None:
        os.mkdir(self._real(path, follow=False), mode)

    def mkfifo(self, mode: int, path: str) -> None:
        os.mkfifo(self._real(path, follow=False), mode)

    def ln_s(self, target: str, path: str) -> None:
        os.symlink(target, self._real(path, follow=False))

    def rename(self, old: str, new: str) -> None:
        os.rename(self._real(old, follow=False), self._real(new, follow=False))

    def rm(self, path: str) -> None:
        os.unlink(self._real(path, follow=False))

    def rm_f(self, path: str) -> None:
        pathlib.Path(self._real(path, follow=False)).unlink(missing_ok=True)

    def rm_rf(self, path: str) -> None:
        real = self._real(path, follow=False)
        if os.path.isdir(real) and not os.path.islink(real):
            shutil.rmtree(real)
        else:
            pathlib.Path(real).unlink(missing_ok=True)

    # -- attributes ---------------------------------------------------------

    def chmod(self, mode: int, path: str) -> None:
        os.chmod(self._real(path), mode)

    def chown(self, uid: int, gid: int, path: str) -> None:
        os.chown(self._real(path), uid, gid)

    def lgetxattrs(self, path: str) -> list[dict[str, Any]]:
        real = self._real(path, follow=False)
        return [
            {
                'attrname': name,
                'attrval': os.getxattr(real, name, follow_symlinks=False),
            }
            for name in os.listxattr(real, follow_symlinks=False)
        ]

    def lsetxattr(self, name: str, value: str, size: int, path: str) -> None:
        real = self._real(path, follow=False)
        content = (value.encode() + b'\0')[:size]
        os.setxattr(real, name, content, follow_symlinks=False)
