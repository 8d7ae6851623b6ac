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
"""Find the operating system on a disk and mount all of it.

libguestfs' own inspection reads far more than is needed here (package
databases, Windows registries) and takes 6 s under emulation. What is needed
is little: which file system holds an os-release file, and what its fstab(5)
mounts where.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

from imagebuild import exception
from imagebuild.common import control_characters
from imagebuild.remotes import fstab
from imagebuild.remotes import guest_files
from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_reading

LOG = logging.getLogger(__name__)

# What list_filesystems reports that never holds a Linux root.
_NEVER_ROOT = frozenset(
    {'swap', 'unknown', '', 'vfat', 'iso9660', 'squashfs', 'ntfs', 'udf'}
)
_OS_RELEASE = ('/etc/os-release', '/usr/lib/os-release')
#: Without these, packages would be installed into the wrong file system.
_NEEDED = re.compile(r'^/(usr|var|etc|opt|boot)(/|$)')
# An old fstab names a disk as its own machine had it, /dev/vda or nvme0n1. In
# the appliance all are SCSI disks in the same order: sda, sdb, ...
_KERNEL_NAME = re.compile(r'^/dev/(?:[shv]|xv)d([a-z])(\d*)$')
_NVME_NAME = re.compile(r'^/dev/nvme(\d|1\d|2[0-5])n1(?:p(\d+))?$')
#: Each takes some 20 ms where the appliance is emulated.
_MOST_MOUNTS = 500


def mount_all(
    handle: guest_handle.MountHandle,
    *,
    image: str,
    wanted: str | None,
    on_notice: Callable[[str], None],
    filesystems: Mapping[str, str] | None = None,
) -> str:
    """Mount an operating system with all its file systems.

    :param handle: of the guest, nothing of which need be mounted.
    :param image: the image's path, for messages.
    :param wanted: the root file system the user chose, None to find it.
    :param on_notice: called for file systems that are left out.
    :param filesystems: those of the handle and their kinds, if that is known.
    :returns: the root file system.
    :raises NoOperatingSystem: there is none.
    :raises AmbiguousRoot: there are several and none was chosen.
    :raises UnknownRoot: the chosen one holds no operating system.
    :raises InvalidImage: a file system that the system needs is missing or
        cannot be mounted.
    """
    if filesystems is None:
        filesystems = handle.list_filesystems()
    devices = _Devices(handle, filesystems)
    roots = dict(_roots(handle, filesystems, devices))
    root = _choose(roots, wanted, image, filesystems)
    handle.umount_all()
    handle.mount(root, '/')
    entries = _fstab(handle)
    if len(entries) > _MOST_MOUNTS:
        raise exception.InvalidImage(
            path=image,
            reason=f'its /etc/fstab mounts {len(entries)} file systems, and '
            f'{_MOST_MOUNTS} are the most that are mounted',
        )
    for entry in entries:
        if entry.target != '/':
            _mount(handle, entry, devices, image, on_notice)
    return root


def _roots(
    handle: guest_handle.MountHandle,
    filesystems: Mapping[str, str],
    devices: _Devices,
) -> Iterator[tuple[str, str]]:
    """Every file system that holds an operating system, and its name."""
    for device, kind in filesystems.items():
        # Of btrfs subvolumes this list names the appliance's own devices,
        # which are not always those of the handle (libguestfs 1.48).
        if kind in _NEVER_ROOT or ':' in device:
            continue
        name = _name(handle, device, devices)
        if name is not None:
            # A btrfs whose default subvolume is the root is one system,
            # whatever subvolumes and snapshots it has.
            yield device, name
        elif kind == 'btrfs':
            yield from _roots_in_subvolumes(handle, device, devices)


def _roots_in_subvolumes(
    handle: guest_handle.MountHandle, device: str, devices: _Devices
) -> Iterator[tuple[str, str]]:
    try:
        handle.umount_all()
        handle.mount_ro(device, '/')
        subvolumes = handle.btrfs_subvolume_list('/')
    except (RuntimeError, UnicodeDecodeError) as error:
        LOG.debug('%s has no subvolumes to look at: %s', device, error)
        return
    for item in subvolumes:
        path = item['btrfssubvolume_path']
        # snapper's snapshots hold an os-release file each.
        if '.snapshots/' in path:
            continue
        subvolume = f'btrfsvol:{device}/{path}'
        name = _name(handle, subvolume, devices)
        if name is not None:
            yield subvolume, name


def _name(
    handle: guest_handle.MountHandle, device: str, devices: _Devices
) -> str | None:
    """The name of the system on a file system, None when it holds none."""
    try:
        handle.umount_all()
        handle.mount_ro(device, '/')
    except RuntimeError as error:
        LOG.debug('%s cannot be mounted: %s', device, error)
        return None
    return _release_name(handle) or _name_in_usr(handle, devices)


def _release_name(handle: guest_handle.MountHandle) -> str | None:
    for path in _OS_RELEASE:
        text = guest_reading.table(handle, path)
        if text is not None:
            found = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
            name = found[1] if found else 'Linux'
            return control_characters.escaped(name)
    return None


def _name_in_usr(
    handle: guest_handle.MountHandle, devices: _Devices
) -> str | None:
    """The os-release of a root whose /usr is a file system of its own.

    Its /etc/os-release is a link into /usr then (Azure's RHEL images with
    logical volumes).
    """
    # A cheap test first: most file systems that are no root have neither.
    if not (
        handle.is_symlink('/etc/os-release') or handle.is_file('/etc/passwd')
    ):
        return None
    for entry in _fstab(handle):
        if entry.target != '/usr':
            continue
        device = devices.find(entry.spec)
        if device is None:
            # It is a root, and what is missing is reported when it is mounted.
            return 'Linux'
        try:
            _mount_one(handle, entry, device, '/usr', 'ro')
        except RuntimeError as error:
            LOG.debug('%s cannot be mounted on /usr: %s', device, error)
            return 'Linux'
        return _release_name(handle)
    return None


def _choose(
    roots: Mapping[str, str],
    wanted: str | None,
    image: str,
    filesystems: Mapping[str, str],
) -> str:
    listed = ', '.join(f'{dev} ({name})' for dev, name in roots.items())
    if wanted:
        if wanted not in roots:
            raise exception.UnknownRoot(device=wanted, found=listed or 'none')
        return wanted
    if not roots:
        what = image
        if 'crypto_LUKS' in filesystems.values():
            what += ' (it has an encrypted file system)'
        raise exception.NoOperatingSystem(path=what)
    if len(roots) > 1:
        raise exception.AmbiguousRoot(found=listed)
    return next(iter(roots))


def _fstab(handle: guest_handle.MountHandle) -> list[fstab.Entry]:
    return fstab.parse(guest_reading.table(handle, '/etc/fstab') or '')


def _mount(
    handle: guest_handle.MountHandle,
    entry: fstab.Entry,
    devices: _Devices,
    image: str,
    on_notice: Callable[[str], None],
) -> None:
    needed = 'nofail' not in entry.options and _NEEDED.match(entry.target)
    # Only the firmware reads it: packages can be installed without it.
    if entry.target.startswith('/boot/efi') or entry.target == '/efi':
        needed = None
    device = devices.find(entry.spec)
    if device is None:
        reason = f'its /etc/fstab mounts {entry.spec} on {entry.target}, '
        reason += 'and no such file system is in the image'
        if needed:
            raise exception.InvalidImage(path=image, reason=reason)
        on_notice(f'Not mounted: {reason}.')
        return
    try:
        # A mount, unlike other calls, would look at links from outside the
        # guest: an absolute one would lead into the appliance.
        directory = guest_files.make_directory(handle, entry.target)
        _mount_one(handle, entry, device, handle.realpath(directory))
    except (RuntimeError, UnicodeDecodeError, exception.StepError) as error:
        reason = f'{device} cannot be mounted on {entry.target} ({error})'
        if needed:
            raise exception.InvalidImage(path=image, reason=reason) from error
        on_notice(f'Not mounted: {reason}.')


def _mount_one(
    handle: guest_handle.MountHandle,
    entry: fstab.Entry,
    device: str,
    target: str,
    *options: str,
) -> None:
    """Mount with the options that decide what is mounted, and no others."""
    subvolume = entry.option('subvol')
    number = entry.option('subvolid')
    if subvolume:
        options = (*options, f'subvol={subvolume}')
    elif number:
        options = (*options, f'subvolid={number}')
    if options:
        handle.mount_options(','.join(options), device, target)
    else:
        handle.mount(device, target)


class _Devices:
    """Finds the device that an fstab entry means, inside the appliance."""

    def __init__(
        self, handle: guest_handle.MountHandle, filesystems: Mapping[str, str]
    ) -> None:
        self._handle = handle
        self._plain = [name for name in filesystems if ':' not in name]
        self._tags: dict[str, Mapping[str, str]] | None = None

    def find(self, spec: str) -> str | None:
        """The device, None when the image has no such file system."""
        tag, value = self._tag(spec)
        if tag:
            return self._by_tag(tag, value)
        return self._by_name(spec)

    @staticmethod
    def _tag(spec: str) -> tuple[str, str]:
        found = re.match(r'^/dev/disk/by-(\w+)/(.+)$', spec)
        tag, value = (
            (found[1], found[2]) if found else spec.partition('=')[::2]
        )
        names = {
            'uuid': 'UUID',
            'label': 'LABEL',
            'partuuid': 'PART_ENTRY_UUID',
            'partlabel': 'PART_ENTRY_NAME',
        }
        return names.get(tag.lower(), ''), value.strip('"')

    def _by_tag(self, tag: str, value: str) -> str | None:
        if self._tags is None:
            self._tags = {
                device: self._blkid(device) for device in self._plain
            }
        for device, tags in self._tags.items():
            known = tags.get(tag)
            if known is not None and known.lower() == value.lower():
                return device
        return None

    def _blkid(self, device: str) -> Mapping[str, str]:
        try:
            tags: Mapping[str, str] = self._handle.blkid(device)
        except (RuntimeError, UnicodeDecodeError):
            # No file system, or a label that is no text.
            return {}
        return tags

    def _by_name(self, spec: str) -> str | None:
        name = spec
        if found := _KERNEL_NAME.match(spec):
            name = f'/dev/sd{found[1]}{found[2]}'
        elif found := _NVME_NAME.match(spec):
            name = f'/dev/sd{chr(ord("a") + int(found[1]))}{found[2] or ""}'
        elif spec.startswith('/dev/mapper/'):
            for device in self._plain:
                if _mapper_name(device) == spec:
                    return device
        return name if name in self._plain else None


def _mapper_name(device: str) -> str:
    """/dev/my-vg/lv as device-mapper writes it: /dev/mapper/my--vg-lv."""
    parts = device.removeprefix('/dev/').split('/')
    if len(parts) != 2:
        return ''
    return '/dev/mapper/' + '-'.join(part.replace('-', '--') for part in parts)
