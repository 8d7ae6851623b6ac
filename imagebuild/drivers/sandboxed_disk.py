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
"""A disk that is opened in the sandbox: its server, supervisor and Remote."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from imagebuild import exception
from imagebuild import sandbox
from imagebuild.appliance import ApplianceSettings
from imagebuild.disks import grow
from imagebuild.disks import partitions
from imagebuild.disks import raw_disk
from imagebuild.disks import server
from imagebuild.drivers import openings
from imagebuild.drivers import served_disk
from imagebuild.remotes import sandbox as remotes
from imagebuild.remotes import time_limit
from imagebuild.sandbox import mount_plan


@contextlib.contextmanager
def opened(
    opening: openings.Opening, notices: openings.Notices
) -> Iterator[served_disk.ServedDisk]:
    """Open a disk.

    :param opening: the limits of the appliance's machine are those of
        commands.
    :param notices: is told what the user should know.
    :raises NotForSandbox: it has to be opened in the appliance.
    :raises InvalidInput: there is no operating system to be found, or
        several and none was chosen.
    :raises DiskFull: there is no room on this host.
    :raises EnvironmentFault: the sandbox does not start.
    """
    limit = time_limit.RunLimit(opening.settings.run_timeout)
    workspace = opening.workspace
    # Ended in this order: the supervisor may still write to what is served.
    with contextlib.ExitStack() as serving, contextlib.ExitStack() as stack:
        supervisor = stack.enter_context(
            sandbox.Supervisor.start(
                _limits(opening.settings.appliance), workspace=workspace.path
            )
        )
        workspace.record_process(supervisor.pid)
        disk_server = serving.enter_context(
            served_disk.server_of(
                opening, export='fuse', spawn=supervisor.spawn
            )
        )
        # From the first look at the disk: what dies while it is mounted leaves
        # one that has no operating system.
        with served_disk.check_on_error(disk_server):
            raw = _seen(disk_server, supervisor)
            larger = _grown(raw, opening) if opening.grown else []
            plan = mount_plan.plan(
                partitions.read(raw, image=opening.name),
                disk_server.path,
                image=opening.name,
            )
            remote = stack.enter_context(
                remotes.SandboxRemote(
                    supervisor,
                    plan,
                    image=opening.name,
                    settings=opening.settings,
                    run_limit=limit,
                    on_notice=notices.notice,
                    on_unmounted=disk_server.close,
                )
            )
            for device in larger:
                remote.with_handle(grow.filesystem, device)
            remote.prepare()
            yield served_disk.ServedDisk(remote, disk_server)


def _limits(settings: ApplianceSettings) -> sandbox.SandboxSettings:
    return sandbox.SandboxSettings(
        memory=settings.memory,
        cpus=settings.cpus,
        network=settings.network,
        allow_host_network=settings.allow_host_network,
    )


def _seen(
    disk_server: server.DiskServer, supervisor: sandbox.Supervisor
) -> pathlib.Path:
    """The raw file of the disk, as this process sees it."""
    return pathlib.Path(f'/proc/{supervisor.pid}/root{disk_server.path}')


def _grown(raw: pathlib.Path, opening: openings.Opening) -> list[str]:
    """Make what is on the disk larger, before anything is mounted.

    :returns: devices whose file system grows when it is mounted.
    :raises NotForSandbox: it cannot be done here.
    """
    disk = raw_disk.RawDisk(raw, opening.workspace.path, image=opening.name)
    try:
        larger = grow.partition(disk)
    except exception.HostCommandFailed as error:
        if error.kwargs['exit_code'] == 'none':
            raise
        raise exception.NotForSandbox(
            path=opening.name,
            reason='its partition table cannot be made larger here '
            f'({str(error).rstrip(".")})',
        ) from error
    return [device for device in larger if not disk.resize2fs(device)]
