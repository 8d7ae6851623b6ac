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
"""An open disk that a disk server holds: layers can be taken of it."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import kept_process
from imagebuild.disks import server
from imagebuild.drivers import openings
from imagebuild.remotes import disk_remote

#: Seconds in which the end of a daemon is noticed, on a busy machine.
_NOTICED = 0.3


@dataclasses.dataclass(frozen=True)
class ServedDisk:
    """A disk that is open.

    :ivar remote: reaches inside.
    """

    remote: disk_remote.DiskRemote
    _server: server.DiskServer

    @property
    def top(self) -> image_file.ImageInfo:
        """What is written to now, with what is under it."""
        return self._server.chain[-1]

    def snapshot(self, path: pathlib.Path) -> None:
        """Have further writes go to a new overlay; nothing runs meanwhile.

        What was written before is complete in the file that was
        :attr:`top`.

        :param path: the overlay to be made.
        :raises EnvironmentFault: the file systems cannot be quiesced,
            there is no room, or the server failed.
        """
        with self.remote.quiesced():
            self._server.snapshot(path)


def server_of(
    opening: openings.Opening,
    *,
    export: server.Export,
    spawn: kept_process.Spawn | None = None,
) -> server.DiskServer:
    """Start the server of a disk; what runs is recorded in its workspace.

    :param export: see :class:`server.DiskServer`.
    :param spawn: likewise.
    :raises EnvironmentFault: likewise.
    """
    return server.DiskServer(
        tuple(reversed(opening.disk.chain)),
        opening.workspace.path,
        export=export,
        spawn=spawn,
        on_start=opening.workspace.record_process,
        on_path=opening.workspace.record_path,
    )


@contextlib.contextmanager
def check_on_error(disk_server: server.DiskServer) -> Iterator[None]:
    """Say what was wrong with the disk when it is why something failed.

    A write for which this host has no room fails in the guest like any other,
    and so does all that is read when a daemon was killed: as if the user's
    script had failed, or there were no operating system.

    :raises DiskFull: there is no room on this host.
    :raises DiskServerFailed: a daemon is gone.
    """
    try:
        yield
    except exception.EnvironmentFault:
        raise
    except (exception.ImageBuildError, OSError, RuntimeError) as error:
        try:
            disk_server.check(seconds=_NOTICED)
        except exception.EnvironmentFault as found:
            found.report = getattr(error, 'report', None)
            raise found from error
        raise
