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
"""A Remote whose system is on a disk that nobody has booted.

What is the same whether the disk is in an appliance or in a sandbox: whether
its shell can run here, an /etc/resolv.conf that cannot be replaced, SELinux
labels, and the end, when everything must be on the disk.
"""

from __future__ import annotations

import abc
import contextlib
import logging
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar

from imagebuild import exception
from imagebuild.remotes import guest_faults
from imagebuild.remotes import guest_flags
from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_selinux
from imagebuild.remotes import guest_shell
from imagebuild.remotes import handled

LOG = logging.getLogger(__name__)
T = TypeVar('T')


class DiskRemote(handled.HandleRemote):
    """A system on a disk; parameters as of :class:`posix.PosixRemote`.

    :ivar root: device or name of its root file system, for messages.
    """

    root: str = ''
    #: Whether a command may set SELinux labels, as the kernel's own root may.
    commands_set_labels = True
    _flags = ''

    @property
    @abc.abstractmethod
    def _handle(self) -> guest_handle.MountHandle:
        """The guest's files and file systems."""

    def _prepare(self) -> None:
        """See :meth:`posix.PosixRemote._prepare`.

        :raises InvalidImage: the image's shell cannot be run.
        """
        self._guest_call(guest_shell.check, self._handle, self._name)
        self._flags = self._guest_call(guest_flags.clear, self._handle)

    def relabel_selinux(self) -> str:
        """Give every file its SELinux label, where the guest uses SELinux.

        :returns: what was done, as a message; '' when the guest does not
            use it.
        """
        contexts = self._guest_call(guest_selinux.file_contexts, self._handle)
        if not contexts:
            return ''
        if self._set_labels(contexts):
            return 'The files were given their SELinux labels.'
        self._guest_call(self._handle.touch, '/.autorelabel')
        return 'SELinux labels will be set at the first boot.'

    def _set_labels(self, contexts: str) -> bool:
        way = (
            guest_selinux.set_labels
            if self.commands_set_labels
            else guest_selinux.set_labels_from_outside
        )
        return way(self, contexts, self._set_label)

    def _set_label(self, path: str, label: str) -> bool:
        return self._guest_call(
            guest_selinux.set_label, self._handle, path, label
        )

    def trim(self) -> None:
        """Tell the disk which blocks are free; no error if it cannot."""

        def trim() -> None:
            for target in self._handle.mountpoints().values():
                try:
                    self._handle.fstrim(target)
                except RuntimeError as error:
                    LOG.debug('%s cannot be trimmed: %s', target, error)

        self._host_call(trim)

    @contextlib.contextmanager
    def quiesced(self) -> Iterator[None]:
        """All is on the disk for the time of the block, and nothing writes.

        A copy that is made of the disk meanwhile is what it would be if it
        were closed now, but for a journal that may have to be replayed.

        :raises EnvironmentFault: it could not be brought there; nothing else
            has changed.
        """
        try:
            self._host_call(guest_flags.put_back, self._handle, self._flags)
            try:
                self._quiesce()
                try:
                    yield
                finally:
                    self._unquiesce()
            finally:
                self._flags = self._host_call(guest_flags.clear, self._handle)
        except RuntimeError as error:
            raise exception.EnvironmentFault(
                f'The disk could not be quiesced: {error}.'
            ) from error

    def _host_call(self, function: Callable[..., T], *args: Any) -> T:
        """A short call that writes what the guest has written.

        How long it takes depends on the disks of this host: where it has no
        end, that is none of the guest's doing.
        """
        return self._call(function, *args)

    @abc.abstractmethod
    def _quiesce(self) -> None:
        """Bring all to the disk, and let nothing be written if possible.

        :raises RuntimeError: it could not be done.
        """

    def _unquiesce(self) -> None:
        """End what :meth:`_quiesce` began."""

    def shutdown(self) -> None:
        """Unmount and let go: everything is on the disk.

        :raises EnvironmentFault: it is not; the disk must not be used.
        :raises GuestBroken: nor is it then, and what ran is to blame.
        """
        try:
            self._host_call(guest_flags.put_back, self._handle, self._flags)
            self._host_call(self._handle.umount_all)
        except RuntimeError as error:
            if self._has_run:
                raise guest_faults.still_busy(error) from error
            raise exception.EnvironmentFault(
                f'The file systems could not be unmounted: {error}.'
            ) from error
        self._let_go()
        self.close()

    def _let_go(self) -> None:
        """All is unmounted: end what holds the disk, in good order.

        :raises EnvironmentFault: the disk must not be used.
        """
