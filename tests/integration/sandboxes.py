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
"""A guest that is open in the sandbox, for tests."""

import contextlib
import pathlib
from collections.abc import Iterator

from imagebuild import sandbox
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.disks import partitions
from imagebuild.disks import server
from imagebuild.remotes import guest_settings
from imagebuild.remotes import sandbox as remotes
from imagebuild.sandbox import mount_plan

SETTINGS = sandbox.SandboxSettings(memory=512, processes=300)


@contextlib.contextmanager
def opened(
    image: pathlib.Path,
    directory: pathlib.Path,
    settings: sandbox.SandboxSettings = SETTINGS,
    *,
    command_timeout: float = 300.0,
) -> Iterator[remotes.SandboxRemote]:
    """Open an overlay over an image.

    :param image: which is only read.
    :param directory: for the overlay and everything else.
    :param command_timeout: seconds for one command.
    """
    path = directory / 'overlay.qcow2'
    base = image_file.inspect(image)
    overlay.create(base, path)
    chain = [base, image_file.inspect(path, allowed_backing=[image])]
    with sandbox.Supervisor.start(settings, workspace=directory) as supervisor:
        with server.DiskServer(
            chain, directory, export='fuse', spawn=supervisor.spawn
        ) as disk:
            seen = pathlib.Path(f'/proc/{supervisor.pid}/root{disk.path}')
            layout = partitions.read(seen, image=str(image))
            plan = mount_plan.plan(layout, disk.path, image=str(image))
            yield remotes.SandboxRemote(
                supervisor,
                plan,
                image=str(image),
                settings=guest_settings.GuestSettings(
                    command_timeout=command_timeout
                ),
                on_unmounted=disk.close,
            )
