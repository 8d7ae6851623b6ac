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
"""An installer that copies a disk: a stand-in for those that take an hour.

A kernel of this host, the busybox of Debian's installer, and a script that
reads the preseed, says what Debian's installer says, writes a disk that is
there already, runs ``preseed/late_command`` and switches the machine off.
"""

import pathlib
import shutil
import subprocess

import yaml

from imagebuild.common import checksums
from imagebuild.disks import host_command
from tests.integration import netboot

NAME = 'stand-in'
#: What the script at the end, and files of a description, want of the system
#: besides a shell, by what may do it: there may be no users.
PROGRAMS = {
    **{name: name for name in ('base64', 'mknod', 'sha256sum')},
    'passwd': 'true',
}
_MIB = 1024 * 1024
_MODULES = ('virtio_pci', 'virtio_blk', 'ata_piix', 'sr_mod')
#: Of Debian's initrd, as patterns of cpio.
_LEFT_OUT = ('lib/modules/*', 'usr/share/*', 'usr/lib/debian-installer*')
_SCRIPT = r"""#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo "Starting system log daemon: syslogd, klogd."
for module in @MODULES@; do insmod "/stand-in/$module"; done
until [ -b /dev/vda ] && [ -b /dev/sr0 ]; do sleep 1; done
say() { printf '%s  ... 0%%... 100%%\n' "$1"; }
fail() {
    printf '%s\n%s\nPrompt: '"'?'"' for help, default=1> ' "$1" -----
    sleep 1000
}
asked() { sed -n "s#^d-i $1 [a-z]* ##p" /preseed.cfg; }
say "Detecting network hardware"
ip link show | grep -q virtio || say "no network"
say "Starting up the partitioner"
disk=$(asked partman-auto/disk)
say "Installing the base system"
while read -r from to count; do
    dd if=/dev/sr0 of="$disk" bs=1M skip="$from" seek="$to" \
        count="$count" conv=notrunc 2>/dev/null || fail "dd"
done </stand-in/extents
sync
blockdev --rereadpt "$disk"
mkdir -p /target
until [ -f /target/etc/os-release ]; do
    for part in "$disk"?*; do
        mount -t ext4 "$part" /target 2>/dev/null || continue
        [ -f /target/etc/os-release ] && break
        umount /target
    done
done
mount --bind /proc /target/proc
mount --bind /dev /target/dev
echo "Acquire::http::Proxy \"$(asked mirror/http/proxy)\";" \
    >/target/etc/apt/apt.conf
say "Select and install software"
asked netcfg/hostname >/target/etc/hostname
asked time/zone >/target/etc/timezone
say "Finishing the installation"
in_target() { chroot /target "$@"; }
command=$(asked preseed/late_command | sed 's/in-target/in_target/g')
eval "$command" || fail "Failed to run preseeded command"
umount /target/dev /target/proc /target
sync
poweroff -f
"""


def write(
    path: pathlib.Path,
    cache: pathlib.Path,
    image: pathlib.Path,
    mirror: str,
) -> None:
    """Write a file of installers that has this one, and its files beside it.

    :param path: of the file.
    :param cache: see :func:`netboot.fetched`.
    :param image: what is "installed".
    :param mirror: its URL.
    """
    place = path.parent
    extents = _medium(image, place)
    (kernel,) = sorted(pathlib.Path('/boot').glob('vmlinuz-*'))[-1:]
    release = kernel.name.removeprefix('vmlinuz-')
    _initrd(place, netboot.fetched(cache), release, extents)
    entry = {
        'family': 'debian', 'mirror': mirror, 'kernel': str(kernel),
        'initrd': str(place / 'initrd'), 'medium': str(place / 'medium'),
        'kernel_arguments': ['rdinit=/stand-in/init'],
    }  # fmt: skip
    for kind in ('kernel', 'initrd', 'medium'):
        file = pathlib.Path(str(entry[kind]))
        digest = checksums.compute(file, ('sha256',))['sha256']
        entry[f'{kind}_checksum'] = f'sha256:{digest}'
    path.write_text(yaml.safe_dump({NAME: entry}))


def _medium(image: pathlib.Path, place: pathlib.Path) -> str:
    """Write what is on a disk, without its holes.

    :returns: for each piece where it is, where it goes, and its length, MiB.
    """
    raw = place / 'raw'
    host_command.run(
        ['qemu-img', 'convert', '-U', '-O', 'raw', str(image), str(raw)]
    )
    lines, at, hole = [], 0, bytes(_MIB)
    with raw.open('rb') as source, (place / 'medium').open('wb') as medium:
        number = 0
        while piece := source.read(_MIB):
            if piece != hole:
                medium.write(piece)
                if lines and lines[-1][1] + lines[-1][2] == number:
                    lines[-1][2] += 1
                else:
                    lines.append([at, number, 1])
                at += 1
            number += 1
    raw.unlink()
    return ''.join(f'{" ".join(map(str, line))}\n' for line in lines)


def _initrd(
    place: pathlib.Path,
    netboot_files: pathlib.Path,
    release: str,
    extents: str,
) -> None:
    """That of Debian's installer, with ours behind it."""
    tree = place / 'tree' / 'stand-in'
    shutil.rmtree(tree.parent, ignore_errors=True)
    tree.mkdir(parents=True)
    names = []
    for module in _MODULES:
        shown = host_command.run(
            ['modprobe', '-S', release, '--show-depends', module]
        )
        for line in shown.splitlines():
            kind, *rest = line.split()
            if kind == 'insmod' and pathlib.Path(rest[0]).name not in names:
                file = pathlib.Path(rest[0])
                names.append(file.name)
                (tree / file.name).write_bytes(file.read_bytes())
    (tree / 'extents').write_text(extents)
    (tree / 'init').write_text(_SCRIPT.replace('@MODULES@', ' '.join(names)))
    (tree / 'init').chmod(0o755)
    _packed(netboot_files / 'initrd.gz', place / 'initrd', tree.parent)


def _packed(
    of_debian: pathlib.Path, made: pathlib.Path, tree: pathlib.Path
) -> None:
    """Pack a tree with the programs of Debian's initrd.

    Without its modules, which take a machine more time than all the rest.
    """
    script = """
zcat "$1" | (cd "$3" && cpio -idm --quiet -f $4)
(cd "$3" && find . | cpio --quiet -o -H newc) >"$2"
"""
    subprocess.run(
        ['sh', '-efc', script, 'sh', str(of_debian), str(made), str(tree)]
        + [' '.join(_LEFT_OUT)],
        check=True,
        timeout=60,
    )
