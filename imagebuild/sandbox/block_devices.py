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
"""The block devices that a guest is mounted from, for programs in it.

Boot loaders' programs look for the device of a file system when they write
what is booted (grub-probe, and a name below /dev/disk/by-uuid).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator
from collections.abc import Mapping

from imagebuild.sandbox import mounts
from imagebuild.sandbox import rootfs

#: Tag of blkid(8) -> directory of names that udev makes of it.
_LINKS = (
    ('UUID', '/dev/disk/by-uuid'),
    ('LABEL', '/dev/disk/by-label'),
    ('PART_ENTRY_UUID', '/dev/disk/by-partuuid'),
    ('PART_ENTRY_NAME', '/dev/disk/by-partlabel'),
)
#: Bytes that a name may have.
_LONGEST = 255
#: What udev leaves as it is in these names.
_PLAIN = re.compile(r'[A-Za-z0-9#+.:=@_-]')


def find(made: mounts.Mounts, root: pathlib.Path) -> list[rootfs.BlockDevice]:
    """The devices of what is mounted.

    :param root: where the guest's root is mounted.
    """
    names = {target: device for device, target in made.mountpoints().items()}
    found: dict[str, rootfs.BlockDevice] = {}
    # Two may have the same, as partitions of one type often do.
    taken: set[str] = set()
    text = pathlib.Path('/proc/self/mountinfo').read_text('utf-8', 'replace')
    for target, source in _mounted(text, str(root)):
        tags: Mapping[str, str] = {}
        with contextlib.suppress(RuntimeError):
            tags = made.blkid(names.get(target, ''))
        with contextlib.suppress(OSError):
            number = os.stat(source).st_rdev
            if number and source not in found:
                links = [each for each in _names(tags) if each not in taken]
                taken.update(links)
                found[source] = rootfs.BlockDevice(source, number, links)
    return list(found.values())


def _mounted(mountinfo: str, root: str) -> Iterator[tuple[str, str]]:
    """Mount points, as the guest sees them, and sources in /dev."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(' - ')
        target, source = left.split()[4], right.split()[1]
        inside = target == root or target.startswith(f'{root}/')
        if inside and source.startswith('/dev/'):
            yield target[len(root) :] or '/', source


def _names(tags: Mapping[str, str]) -> Iterator[str]:
    for tag, directory in _LINKS:
        value = _coded(tags.get(tag) or '')
        if value.strip('.') and len(os.fsencode(value)) <= _LONGEST:
            yield f'{directory}/{value}'


def _coded(value: str) -> str:
    """A value as udev writes it in a name."""
    return ''.join(
        each
        if _PLAIN.fullmatch(each) or ord(each) > 127
        else f'\\x{ord(each):02x}'
        for each in value
    )
