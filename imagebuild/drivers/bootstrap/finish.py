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
"""What makes a fresh tree an image: nothing of the host, nothing twice.

The tree is one of the distribution's packages and is trusted, but its
absolute links point into the host as long as it is not a root: every path
is looked at without following links.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from imagebuild.common import os_errors
from imagebuild.disks import grub
from imagebuild.disks import tree_files
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import releases

#: Made for this one tree, or made by mmdebstrap for its own use.
_REMOVED = (
    'etc/apt/apt.conf.d/99mmdebstrap',
    'etc/dpkg/dpkg.cfg.d/99mmdebstrap',
    'etc/apt/sources.list',
    'etc/apt/sources.list.d/*',
    'etc/ssh/ssh_host_*',
    # Enabled together with networkd. netplan asks for it when there is an
    # interface to wait for; without one it holds up the boot for 2 minutes.
    'etc/systemd/system/*.wants/systemd-networkd-wait-online.service',
    'etc/.pwd.lock',
    'etc/*-',
    'var/cache/apt/archives/*.deb',
    'var/cache/apt/*.bin',
    'var/cache/debconf/*-old',
    'var/cache/ldconfig/aux-cache',
    'var/lib/apt/lists/*_*',
    'var/lib/dbus/machine-id',
    'var/lib/dpkg/*-old',
    'var/lib/systemd/random-seed',
    'var/log/*.log',
    'var/log/apt/*',
)

_HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""

# Searching for the data of other clouds costs a minute where there are
# none. The sources are the ones the image was made from, and stay. In Debian
# 11 cloud-init would take ifupdown, which has no DHCP client there.
_CLOUD = """\
# Written by imagebuild.
datasource_list: [NoCloud, ConfigDrive, OpenStack, None]
apt:
  preserve_sources_list: true
growpart:
  mode: growpart
  devices: ['/']
system_info:
  network:
    renderers: [netplan]
"""

# A machine without any of these is configured all the same: its host keys
# made, its root grown, DHCP on its first interface.
_DS_IDENTIFY = 'policy: search,found=all,maybe=all,notfound=enabled\n'

_RESOLVED = '../run/systemd/resolve/stub-resolv.conf'

_KEYRINGS = pathlib.PurePosixPath('/etc/apt/keyrings')


def finish(
    path: pathlib.Path,
    *,
    release: releases.Release,
    sources: Sequence[apt_sources.AptSource],
    minimal: bool,
) -> None:
    """Make a tree from mmdebstrap an image's.

    :param path: the tree.
    :param sources: what it was made from, and will be upgraded from.
    :raises UnwritablePath: a file of the host refuses.
    :raises DiskFull: there was no room.
    """
    tree = tree_files.Tree(path)
    with os_errors.on_write(path):
        tree.remove(_REMOVED)
        _write_sources(tree, release, sources)
        # Empty, so that systemd makes one at the first boot.
        tree.write('etc/machine-id', '')
        tree.write('etc/hostname', f'{release.distro}\n')
        tree.write('etc/hosts', _HOSTS)
        tree.write('etc/default/locale', 'LANG=C.UTF-8\n')
        tree.write('etc/resolv.conf', '')
        if not minimal:
            _make_machine(tree, release)


def _make_machine(tree: tree_files.Tree, release: releases.Release) -> None:
    tree.link('etc/resolv.conf', _RESOLVED)
    tree.write('etc/cloud/cloud.cfg.d/90_imagebuild.cfg', _CLOUD)
    tree.write('etc/cloud/ds-identify.cfg', _DS_IDENTIFY)
    grub.write_defaults(tree, grub_cloud=release.distro == 'debian')


def _write_sources(
    tree: tree_files.Tree,
    release: releases.Release,
    sources: Sequence[apt_sources.AptSource],
) -> None:
    text = '\n'.join(_in_image(tree, source).deb822() for source in sources)
    tree.write(f'etc/apt/sources.list.d/{release.distro}.sources', text)


def _in_image(
    tree: tree_files.Tree, source: apt_sources.AptSource
) -> apt_sources.AptSource:
    """Bring the keyrings of a source along that the image does not have."""
    if '\n' in source.signed_by or '/' not in source.signed_by:
        return source
    names = []
    for name in source.signed_by.replace(',', ' ').split():
        if name.startswith('/') and not tree.has(name):
            kept = str(_KEYRINGS / pathlib.PurePosixPath(name).name)
            tree.copy_in(pathlib.Path(name), kept)
            name = kept
        names.append(name)
    return source.signed_by_these(names)
