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
"""An installer of a cloud on one machine, whose installation takes seconds.

The installer is a real kernel in a real machine that copies a disk
(:mod:`tests.integration.stand_in_installer`). The disk has just enough of a
system for a manifest, and what a machine that boots from it prints is a boot
sector's: a login prompt, in a second.

With IMAGEBUILD_TEST_INSTALLED naming an image, a whole Debian say, that is
what is installed, and the prompt is its own.
"""

import os
import pathlib

from imagebuild.drivers import boot_sector
from tests.integration import stand_in_installer
from tests.integration.kills import guest
from tools.cloud import clouds
from tools.cloud import ini
from tools.cloud.servers import imagebuild as our_service

INSTALLED_VARIABLE = 'IMAGEBUILD_TEST_INSTALLED'
#: GiB of the disk.
SIZE = 3
PROMPT = ' login: '
#: An entry of the catalogue, as the documentation has it.
_SYSTEM = f"""\
debian-12-installed:
  description: what an installer makes
  driver: installer
  driver_options: {{installer: {stand_in_installer.NAME}}}
"""
_BOOT_CODE_SIZE = 440
#: What the log of a build has, in this order.
_SAID = (
    'Check the installer',
    'Boot the installer',
    'Starting system log daemon',
    'Partition the disk',
    'Install the base system',
    'Finish the installation',
    'Write the qcow2 file',
)


def write_system(cloud: clouds.Cloud) -> None:
    """Write it into the catalogue of a cloud that is new."""
    path = cloud.service('imagebuild-api').catalogue
    if not path.exists():
        ini.write(path, our_service.OPERATING_SYSTEMS + _SYSTEM)


def offer(cloud: clouds.Cloud, cache: pathlib.Path) -> None:
    """Have the conductors of a cloud have that installer.

    :param cache: see :func:`tests.integration.netboot.fetched`.
    """
    file = cloud.service('imagebuild-api').installers
    given = os.environ.get(INSTALLED_VARIABLE)
    disk = pathlib.Path(given) if given else _disk(file.parent / 'disk')
    url = 'http://mirror.example/debian'
    stand_in_installer.write(file, cache, disk, url)


def _disk(path: pathlib.Path) -> pathlib.Path:
    """A disk with a system to configure, and something that boots."""
    guest.make(path, stand_in_installer.PROGRAMS)
    code = boot_sector.content(f'\r\ninstalled{PROMPT}')
    with path.open('r+b') as disk:
        assert not any(code[_BOOT_CODE_SIZE:-2])
        disk.write(code[:_BOOT_CODE_SIZE])
    return path


def check_log(text: str) -> None:
    """See every stage of an installation in the log of a build."""
    at = 0
    for each in _SAID:
        found = text.find(each, at)
        assert found >= 0, (each, text[-4000:])
        at = found
