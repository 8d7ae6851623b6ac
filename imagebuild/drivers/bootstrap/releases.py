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
"""The releases that can be made, one row each."""

from __future__ import annotations

import dataclasses

#: Everything that makes a tree a machine, whatever the release. cloud-init
#: and what it configures (netplan, networkd, resolved) are what Debian's own
#: cloud images have; growpart is in cloud-guest-utils.
_MACHINE = (
    'ca-certificates',
    'cloud-guest-utils',
    'cloud-init',
    'dbus',
    'e2fsprogs',
    'initramfs-tools',
    'iproute2',
    'less',
    'libpam-systemd',
    'netbase',
    'netplan.io',
    'openssh-server',
    'procps',
    'sudo',
    'systemd-sysv',
    'systemd-timesyncd',
    'udev',
    # What initramfs-tools compresses with where it is there: smaller, and
    # several times faster to read than gzip's.
    'zstd',
)
#: grub-cloud-amd64 brings GRUB for BIOS and, signed, for EFI, and installs
#: both again when either is upgraded in the guest.
_DEBIAN_BOOT = ('linux-image-cloud-amd64', 'grub-cloud-amd64')
_UBUNTU_BOOT = (
    'linux-image-virtual',
    'grub2-common',
    'grub-pc-bin',
    'grub-efi-amd64-bin',
    'grub-efi-amd64-signed',
    'shim-signed',
)
_RESOLVED = ('systemd-resolved',)


@dataclasses.dataclass(frozen=True)
class Release:
    """A release of a distribution.

    :ivar name: what users type.
    :ivar distro: name of its archive, ``debian`` or ``ubuntu``.
    :ivar codename: its suite in the archive.
    :ivar components: of the archive, that its packages are in.
    :ivar machine_packages: what a bootable image has besides minbase.
    """

    name: str
    distro: str
    codename: str
    components: tuple[str, ...]
    machine_packages: tuple[str, ...]


def _debian(version: str, codename: str, *more: str) -> Release:
    return Release(
        name=f'debian-{version}',
        distro='debian',
        codename=codename,
        components=('main',),
        machine_packages=_MACHINE + _DEBIAN_BOOT + more,
    )


def _ubuntu(version: str, codename: str, *more: str) -> Release:
    return Release(
        name=f'ubuntu-{version}',
        distro='ubuntu',
        codename=codename,
        components=('main', 'universe'),
        machine_packages=_MACHINE + _UBUNTU_BOOT + more,
    )


#: systemd-resolved was split from systemd after Debian 11 and Ubuntu 22.04.
_RELEASES = (
    _debian('11', 'bullseye'),
    _debian('12', 'bookworm', *_RESOLVED),
    _debian('13', 'trixie', *_RESOLVED),
    _ubuntu('22.04', 'jammy'),
    _ubuntu('24.04', 'noble', *_RESOLVED),
)
RELEASES = {release.name: release for release in _RELEASES}

#: Services of a bootable image that not every release starts by itself.
MACHINE_SERVICES = ('systemd-networkd.service', 'systemd-resolved.service')

MINIMAL_PACKAGES = ('ca-certificates',)

#: Suites that a machine's sources may name and that are no release above.
_OTHER_SUITES = {
    'debian': {
        'buster', 'forky', 'sid', 'duke',
        'oldoldstable', 'oldstable', 'stable', 'testing', 'unstable',
    },
    'ubuntu': {'focal', 'questing', 'resolute', 'devel'},
}  # fmt: skip


def suites(distro: str) -> frozenset[str]:
    """Every suite by which an archive of a distribution is recognised."""
    return frozenset(_OTHER_SUITES[distro]).union(
        release.codename for release in _RELEASES if release.distro == distro
    )
