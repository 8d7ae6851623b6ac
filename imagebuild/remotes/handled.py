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
"""A Remote whose files are reached by a guest's handle.

How owners are found and files are written is the same for all of them.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any
from typing import TypeVar

from imagebuild import exception
from imagebuild.remotes import guest_accounts
from imagebuild.remotes import guest_files
from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_reading
from imagebuild.remotes import posix

T = TypeVar('T')


def refused(error: RuntimeError) -> exception.StepError:
    """What a system's disk does not let be done."""
    return exception.StepError(
        f'the image refuses: {" ".join(str(error).split())}'
    )


class HandleRemote(posix.PosixRemote):
    """Parameters as of :class:`posix.PosixRemote`.

    :ivar most_owner: the largest number of a user or group to which its
        handle can give a file.
    """

    most_owner = guest_accounts.LARGEST

    def __init__(
        self,
        name: str,
        *,
        command_timeout: float = 1800.0,
        run_timeout: float | None = None,
    ) -> None:
        super().__init__(
            name, command_timeout=command_timeout, run_timeout=run_timeout
        )
        self._accounts = guest_accounts.Accounts(self, self.most_owner)

    @property
    @abc.abstractmethod
    def _handle(self) -> guest_handle.GuestHandle:
        """The system's files; they are used through :meth:`_call` only."""

    def _call(self, function: Callable[..., T], *args: Any, **kw: Any) -> T:
        """Make a short call to the system's files.

        :param function: a method of :attr:`_handle`, or what calls several.
        :raises RunTimeout: the time of the run was up.
        :raises RuntimeError: what ``function`` raises; a name that is not
            UTF-8 among it.
        """
        self._within(0)
        try:
            return function(*args, **kw)
        except UnicodeDecodeError as error:
            raise RuntimeError(f'it is no text: {error}') from error

    def _after_command(self) -> None:
        self._accounts.forget()

    def _guest_call(
        self, function: Callable[..., T], *args: Any, **kw: Any
    ) -> T:
        """A call whose failure is the system's: its disk refuses."""
        try:
            return self._call(function, *args, **kw)
        except RuntimeError as error:
            raise refused(error) from error

    def _make_directory(self, path: str) -> None:
        """Make a directory that only root looks into, below /tmp."""

        def make() -> None:
            if not self._handle.is_dir('/tmp', followsymlinks=True):  # noqa: S108
                real = guest_files.make_directory(self._handle, '/tmp')  # noqa: S108
                self._handle.chmod(0o1777, real)
            self._handle.mkdir_mode(path, 0o700)

        self._guest_call(make)

    def _place_script(self, directory: str, path: str, content: bytes) -> None:
        def place() -> None:
            guest_files.put(self._handle, path, content)
            self._handle.chmod(0o700, path)

        self._make_directory(directory)
        self._guest_call(place)

    def read_file(self, path: str) -> bytes:
        content = self._guest_call(guest_reading.read, self._handle, path)
        if content is None:
            raise exception.RemoteFileNotFound(path=path)
        return content

    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int = 0o644,
        owner: str = 'root',
        group: str = 'root',
    ) -> None:
        ids = {
            'uid': self._accounts.user(owner),
            'gid': self._accounts.group(group),
        }
        self._guest_call(
            guest_files.write, self._handle, path, content, mode=mode, **ids
        )

    def remove_file(self, path: str) -> None:
        self._guest_call(self._remove, path)

    def _remove(self, path: str) -> None:
        try:
            self._handle.rm_f(path)
        except RuntimeError:
            # On the way to nothing may be what is no directory.
            if self._handle.exists(path):
                raise
