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
"""A disk that is open without an appliance and without a supervisor."""

import contextlib
import pathlib
from typing import Any

from imagebuild.disks import grow
from imagebuild.disks import image_file
from imagebuild.disks import partitions
from imagebuild.disks import raw_disk
from imagebuild.disks import server
from imagebuild.remotes import guest_mounts
from imagebuild.sandbox import mount_plan
from tests.integration import mount_child


class Native:
    """A disk that is open: its server, and the process that mounts it.

    :param layers: the files of the disk, the base first.
    :param grown: its last partition is made larger; see :meth:`grow`.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        layers: tuple[image_file.ImageInfo, ...],
        *,
        readonly: bool = False,
        grown: bool = False,
    ) -> None:
        self.directory = directory
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.child: Any = stack.enter_context(mount_child.MountChild())
            self.served = stack.enter_context(
                server.DiskServer(
                    layers,
                    directory,
                    export='fuse',
                    # Whoever serves must not be who unmounts.
                    spawn=self.child.spawn,
                    readonly=readonly,
                )
            )
            seen = pathlib.Path(
                f'/proc/{self.child.process.pid}/root{self.served.path}'
            )
            raw = raw_disk.RawDisk(seen, directory, image='x.img')
            self.larger = grow.partition(raw) if grown else []
            self.left = [
                each for each in self.larger if not raw.resize2fs(each)
            ]
            layout = partitions.read(seen, image='x.img')
            self.child.begin(
                mount_plan.plan(
                    layout, self.served.path, image='x.img', readonly=readonly
                ),
                directory / 'root',
            )
            self._stack = stack.pop_all()

    def mount(self, wanted: str | None = None) -> tuple[str, list[str]]:
        notices: list[str] = []
        root = guest_mounts.mount_all(
            self.child,
            image='x.img',
            wanted=wanted,
            on_notice=notices.append,
        )
        return root, notices

    def grow(self) -> None:
        for device in self.left:
            grow.filesystem(self.child, device)

    def mounted(self) -> dict[str, str]:
        points = self.child.mountpoints()
        return {target: device for device, target in points.items()}

    def points(self) -> list[str]:
        """Where something is mounted, sorted."""
        place = f'{self.directory}/root'
        table = self.child.sh(f'grep " {place}" /proc/self/mountinfo')
        found = [line.split()[4] for line in table.splitlines()]
        return sorted(each.removeprefix(place) or '/' for each in found)

    def finish(self) -> None:
        """Close everything in good order."""
        self.child.umount_all()
        self.served.close()
        self._stack.close()

    def __enter__(self) -> 'Native':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()
