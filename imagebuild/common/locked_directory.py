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
"""Directories that are locked as long as their owner lives.

The lock is flock(2) on the file ``lock`` in the directory. The kernel drops it
when its holder dies, however that happens: whoever gets the lock knows that
the owner is gone, whatever host, container or name it had, and may remove what
it left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import pathlib
import shutil
import stat
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Self

LOG = logging.getLogger(__name__)

LOCK = 'lock'
_ATTEMPTS = 10

Clear = Callable[[pathlib.Path], object]


class LockedDirectory:
    """A directory whose lock this process holds.

    :ivar path: the directory.
    """

    def __init__(self, path: pathlib.Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def make(cls, parent: pathlib.Path, prefix: str = '') -> Self:
        """Make a directory with a name that is free, mode 0700.

        Whoever sweeps the parent may do so at any time.

        :raises OSError: it cannot be made.
        """
        for _ in range(_ATTEMPTS):
            path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            try:
                made = cls.take(path)
            except OSError:
                with contextlib.suppress(OSError):
                    remove_tree(path)
                raise
            # None: a sweep came between the two.
            if made is not None:
                return made
        raise FileExistsError(f'new directories in {parent} keep vanishing')

    @classmethod
    def take(cls, path: pathlib.Path) -> Self | None:
        """Lock a directory; never wait.

        :param path: the directory; its lock is made if it is not there.
        :returns: None when another process holds it, or it has gone.
        :raises OSError: its file system has no room or no locks.
        """
        lock = lock_of(path, fcntl.LOCK_EX, create=True)
        return None if lock is None else cls(path, lock)

    def write(self, name: str, text: str) -> None:
        """Write a file of the directory whole or not at all.

        :raises OSError: it cannot be written.
        """
        new = self.path / f'{name}.new'
        new.write_text(text)
        os.replace(new, self.path / name)

    def give(self) -> int:
        """The descriptor of the lock, which the caller closes from now on."""
        return self._lock

    def remove(self, clear: Clear | None = None) -> None:
        """Remove the directory with all it holds, and let its lock go.

        The lock goes last: whoever comes meanwhile finds it held.

        :param clear: called first, with the path, to end and remove what
            belongs to the directory and lies elsewhere.
        :raises OSError: something cannot be removed; the lock is let go.
        """
        try:
            if clear:
                clear(self.path)
            names = os.listdir(self.path)
            for name in sorted(names, key=lambda name: name == LOCK):
                remove_tree(self.path / name)
            os.rmdir(self.path)
        finally:
            os.close(self._lock)


class SharedDirectory:
    """A directory that is in use: nobody takes it until :meth:`release`.

    :ivar path: the directory.
    """

    def __init__(self, path: pathlib.Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def use(cls, path: pathlib.Path, *, create: bool = False) -> Self | None:
        """Use a directory, as others may at the same time; never wait.

        :param create: make its lock if it is not there.
        :returns: None when there is none, or it is being made or removed.
        :raises OSError: its file system has no room or no locks.
        """
        lock = lock_of(path, fcntl.LOCK_SH, create=create)
        return None if lock is None else cls(path, lock)

    @classmethod
    def of_maker(cls, path: pathlib.Path, lock: int) -> Self | None:
        """Turn the lock of whoever made a directory into that of a user.

        :param path: where it lies now.
        :param lock: descriptor; closed unless it worked.
        :returns: None when it is gone: the kernel lets others in between.
        """
        with contextlib.suppress(OSError):
            if relock(path, lock, fcntl.LOCK_SH):
                return cls(path, lock)
        os.close(lock)
        return None

    def touch(self) -> None:
        """Note that it was used now; the time is that of its lock.

        Nothing is noted on a file system that can only be read.
        """
        try:
            os.utime(self._lock)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise

    def release(self) -> None:
        """Use it no longer."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


@contextlib.contextmanager
def temporary(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A locked directory to write something in, removed afterwards.

    :raises OSError: it cannot be made or removed.
    """
    made = LockedDirectory.make(parent)
    try:
        yield made.path
    finally:
        made.remove()


def listed(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """What is in a directory, by name; nothing when it is not there."""
    with contextlib.suppress(FileNotFoundError):
        yield from sorted(directory.iterdir())


def lock_of(
    path: pathlib.Path, how: int, *, create: bool = False
) -> int | None:
    """Lock a directory; never wait.

    :param path: the directory.
    :param how: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``.
    :param create: make its lock if it is not there.
    :returns: a descriptor that holds the lock; None when another process
        holds it, or the directory or its lock is not there.
    :raises OSError: its file system has no room or no locks.
    """
    try:
        lock = _open_lock(path / LOCK, create=create)
    except FileNotFoundError:
        return None
    try:
        if relock(path, lock, how):
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _open_lock(path: pathlib.Path, *, create: bool) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(
            path, flags | os.O_RDWR | (os.O_CREAT if create else 0), 0o600
        )
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    # Enough for flock(2), but on NFS.
    return os.open(path, flags | os.O_RDONLY)


def relock(path: pathlib.Path, lock: int, how: int) -> bool:
    """Lock by a descriptor, which may hold a lock of the other kind.

    :param path: the directory.
    :param lock: of its file; stays open, whatever comes.
    :param how: see :func:`lock_of`.
    :returns: False when another process holds it, or it has gone.
    :raises OSError: its file system has no locks.
    """
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        # A sweep may have removed the directory between the two calls, or
        # the kernel let others in between the two kinds of lock: then this
        # is the lock of a file that nobody else can open.
        return os.path.samestat(os.fstat(lock), os.lstat(path / LOCK))
    except (BlockingIOError, FileNotFoundError):
        return False


def remove_tree(path: pathlib.Path) -> None:
    """Remove a file, a link (not what it points at) or a directory.

    :raises OSError: it cannot be removed.
    """
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def sweep(
    paths: Iterable[pathlib.Path],
    clear: Clear | None = None,
    *,
    left_by: str,
) -> list[pathlib.Path]:
    """Remove directories whose owner is gone.

    What cannot be removed is left, with a warning in the log.

    :param paths: directories that may have an owner.
    :param clear: see :meth:`LockedDirectory.remove`.
    :param left_by: who left them, for the log.
    :returns: the directories that were removed.
    """
    swept = []
    for path in paths:
        try:
            taken = LockedDirectory.take(path)
            if taken is None:
                continue
            taken.remove(clear)
        except OSError as error:
            LOG.warning('%s cannot be removed: %s', path, error)
        else:
            LOG.info('Removed %s, left by %s', path, left_by)
            swept.append(path)
    return swept
