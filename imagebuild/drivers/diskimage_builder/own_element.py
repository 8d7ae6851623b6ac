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
"""The element that is ours: it leaves the disk to us.

diskimage-builder makes a file with a file system on a loop device, also for
a tar archive, which would outlive a killed build. This element stands in for
those of block devices and boot loaders, so that neither is made and the
tree's archive is all.
"""

from __future__ import annotations

import json
import pathlib

from imagebuild.disks import disk_plan

#: "vm" looks for one whose name begins so.
NAME = 'block-device-imagebuild'

# It stands for what "vm" and others depend on.
_PROVIDES = 'block-device\nbootloader\n'
_NEEDS = 'package-installs\npkg-map\n'
_BOOT, _BTRFS, _XFS = 'imagebuild-boot', 'imagebuild-btrfs', 'imagebuild-xfs'
# What disk-image-create asks its own tool for when the archive is written;
# and the directory that a file system would be mounted on.
_HOOK = """\
#!/bin/bash
set -eu
set -o pipefail
mkdir "$TMP_BUILD_DIR/mnt"
chmod 755 "$TMP_BUILD_DIR/mnt"
states=$TMP_BUILD_DIR/states/block-device
mkdir -p "$states"
echo '{"blockdev": {"image0": {"image": "/dev/null"}}}' >"$states/state.json"
# An empty list, pickled: nothing is there to be unmounted or removed.
printf '(l.' >"$states/nodes.pickle"
echo IMAGE_BLOCK_DEVICE=/dev/null
"""
# Before the packages: an initramfs is made by what is in it.
_FSTAB = """\
#!/bin/bash
set -eu
set -o pipefail
cp "$TMP_HOOKS_PATH/imagebuild-fstab" "$TARGET_ROOT/etc/fstab"
chmod 644 "$TARGET_ROOT/etc/fstab"
"""
_PACKAGES = {
    'distro': {
        'debian': {_BOOT: 'grub-cloud-amd64'},
        'ubuntu': {
            _BOOT: 'grub2-common grub-pc-bin grub-efi-amd64-bin '
            'grub-efi-amd64-signed shim-signed'
        },
    },
    'family': {
        'redhat': {
            _BOOT: 'grub2-tools grub2-pc-modules grub2-efi-x64 shim-x64'
        },
        'suse': {
            _BOOT: 'grub2 grub2-i386-pc grub2-x86_64-efi shim',
            _BTRFS: 'btrfsprogs',
        },
    },
    'default': {_BTRFS: 'btrfs-progs', _XFS: 'xfsprogs'},
}
#: What a guest makes its root larger with.
_OF_ROOT = {'btrfs': (_BTRFS,), 'ext4': (), 'xfs': (_XFS,)}


def write(directory: pathlib.Path, plan: disk_plan.DiskPlan) -> None:
    """Make the element.

    :param directory: of elements, where it is put.
    :param plan: of the disk.
    """
    top = directory / NAME
    for name, content in {
        'block-device.d/50-imagebuild': _HOOK,
        'root.d/95-imagebuild-fstab': _FSTAB,
    }.items():
        (top / name).parent.mkdir(parents=True)
        (top / name).write_text(content)
        (top / name).chmod(0o755)
    (top / 'imagebuild-fstab').write_text(plan.fstab())
    (top / 'element-provides').write_text(_PROVIDES)
    if plan.bootable:
        names = (_BOOT, *_OF_ROOT[plan.file_system])
        (top / 'element-deps').write_text(_NEEDS)
        (top / 'pkg-map').write_text(json.dumps(_PACKAGES, indent=2))
        (top / 'package-installs.yaml').write_text(
            ''.join(f'{name}:\n' for name in names)
        )
