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
"""What is on a raw disk, found by blkid(8) and sfdisk(8) of this host."""

from __future__ import annotations

import pathlib

from imagebuild.common import disk_layout


def read(path: pathlib.Path, *, image: str) -> disk_layout.DiskLayout:
    """Look at a disk's partition table and its file systems.

    Nothing is mounted and nothing written.

    :param path: a raw file; of a FUSE export inside a supervisor
        ``/proc/PID/root/...``.
    :param image: what messages call it.
    :raises InvalidImage: the partition table is damaged.
    :raises MissingDependency: blkid or sfdisk is not installed.
    :raises HostCommandFailed: one of them failed, or took too long.
    """
    raise NotImplementedError
