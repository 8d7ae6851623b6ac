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
"""A disk that is worked on: opened, and closed again in good order.

imagebuild-pack and every driver that has a guest go this way: an overlay is
opened, what runs for it is written down for whoever sweeps, the guest is
looked at, and at the end everything is brought to the overlay. What is under
the overlay and what becomes of it is theirs.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import Protocol

from imagebuild import appliance
from imagebuild import exception
from imagebuild import layers
from imagebuild.appliance import leftovers
from imagebuild.disks import grow
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import isolations
from imagebuild.drivers import openings
from imagebuild.drivers import sandboxed_disk
from imagebuild.drivers import served_disk
from imagebuild.remotes import disk_remote
from imagebuild.remotes import guestfs

#: Makes what is entered for the time that opening takes.
Start = Callable[
    [isolations.Isolation], contextlib.AbstractContextManager[None]
]


@contextlib.contextmanager
def opened(
    opening: openings.Opening, *, start: Start, notices: openings.Notices
) -> Iterator[OpenedDisk]:
    """Open a disk.

    :param start: is called before a start, of which there may be two.
    :param notices: is told what the user should know.
    :raises InvalidInput: there is no operating system to be found, or
        several and none was chosen.
    :raises NotForSandbox: nor can it be opened in the sandbox, and nothing
        else was wanted.
    :raises EnvironmentFault: see :class:`guestfs.GuestfsRemote`.
    """
    with contextlib.ExitStack() as stack:
        with _naming_the_option(opening):
            disk = _opened(opening, stack, start, notices)
        yield disk


@contextlib.contextmanager
def _naming_the_option(opening: openings.Opening) -> Iterator[None]:
    try:
        yield
    except exception.AmbiguousRoot as error:
        if not opening.root_option:
            raise
        raise exception.AmbiguousRoot(
            image=opening.name,
            option=opening.root_option,
            found=error.kwargs['found'],
        ) from error


def _opened(
    opening: openings.Opening,
    stack: contextlib.ExitStack,
    start: Start,
    notices: openings.Notices,
) -> OpenedDisk:
    """Open it; what is open ends with the stack."""
    if opening.choice.first == 'sandbox':
        # Within the start: that of the appliance, which may follow, is not
        # to look like the repair of a failure.
        with start('sandbox'):
            try:
                found = stack.enter_context(
                    sandboxed_disk.opened(opening, notices)
                )
                return OpenedDisk('sandbox', found, notices)
            except exception.NotForSandbox as error:
                if not opening.choice.may_fall_back:
                    raise
                notices.notice(f'{error} The appliance is used.')
    with start('appliance'):
        return stack.enter_context(_in_appliance(opening, notices))


class Holder(Protocol):
    """Who holds an open disk."""

    @property
    def remote(self) -> disk_remote.DiskRemote:
        """Reaches inside."""

    @property
    def top(self) -> image_file.ImageInfo:
        """What is written to now, with what is under it."""


@dataclasses.dataclass(frozen=True)
class _File:
    """An appliance has the file open by itself."""

    remote: disk_remote.DiskRemote
    top: image_file.ImageInfo


@dataclasses.dataclass(frozen=True)
class OpenedDisk:
    """A disk that is open.

    :ivar isolation: in what it is open.
    :ivar holder: who holds it; layers can be taken of a
        :class:`served_disk.ServedDisk`.
    :ivar on_closed: ends who holds it, when its Remote does not.
    """

    isolation: isolations.Isolation
    holder: Holder
    notices: openings.Notices
    on_closed: Callable[[], None] = lambda: None

    @property
    def remote(self) -> disk_remote.DiskRemote:
        """Reaches inside; closed at the end of the block."""
        return self.holder.remote

    @property
    def top(self) -> image_file.ImageInfo:
        """What is written to now, with what is under it."""
        return self.holder.top

    def attached_to(
        self, session: layers.Session | None
    ) -> contextlib.AbstractContextManager[None]:
        """Keep layers of it for the time of the block.

        :param session: None for none.
        """
        if session is None or not isinstance(
            self.holder, served_disk.ServedDisk
        ):
            return contextlib.nullcontext()
        return session.attached(
            self.top.path,
            self.top.virtual_size,
            self.holder.snapshot,
            isolation=self.isolation,
        )

    def close(self, *, trim: bool) -> None:
        """Bring everything to the overlay; only once.

        Gives the files their SELinux labels where the guest uses them.

        :param trim: free what is unused.
        :raises EnvironmentFault: the disk could not be closed.
        :raises StepError: the guest's file system refused (it is full).
        """
        labels = self.remote.relabel_selinux()
        if labels:
            self.notices.notice(labels)
        if trim:
            self.remote.trim()
        self.remote.shutdown()
        self.on_closed()


@contextlib.contextmanager
def _in_appliance(
    opening: openings.Opening, notices: openings.Notices
) -> Iterator[OpenedDisk]:
    disk = opening.disk
    drive = appliance.Drive(disk.path, disk.format)
    if not opening.served:
        with _appliance(opening, drive, notices) as remote:
            yield OpenedDisk('appliance', _File(remote, disk), notices)
        return
    with served_disk.server_of(opening, export='nbd') as disk_server:
        drive = dataclasses.replace(
            drive, server=disk_server.socket, export=disk_server.EXPORT_NAME
        )
        with (
            served_disk.check_on_error(disk_server),
            _appliance(opening, drive, notices) as remote,
        ):
            held = served_disk.ServedDisk(remote, disk_server)
            yield OpenedDisk('appliance', held, notices, disk_server.close)


def _appliance(
    opening: openings.Opening,
    drive: appliance.Drive,
    notices: openings.Notices,
) -> guestfs.GuestfsRemote:
    larger: list[str] = []

    def make_larger(handle: Any) -> None:
        larger.extend(grow.partition(handle))

    remote = guestfs.GuestfsRemote(
        [drive],
        image=opening.name,
        settings=opening.settings,
        workspace=opening.workspace.path,
        on_notice=notices.notice,
        on_started=lambda started: _record(started, opening.workspace),
        before_mount=make_larger if opening.grown else None,
    )
    try:
        for device in larger:
            remote.with_handle(grow.filesystem, device)
        remote.prepare()
    except BaseException:
        # Nobody has it yet who would close it.
        remote.close()
        raise
    return remote


def _record(
    started: appliance.Appliance, workspace: workspaces.Workspace
) -> None:
    """Note what whoever sweeps ends, should this process be killed."""
    if started.pid:
        workspace.record_process(started.pid)
        for directory in leftovers.socket_directories(started.pid):
            workspace.record_path(directory)
