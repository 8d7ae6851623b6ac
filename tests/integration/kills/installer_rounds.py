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
"""A conductor whose builds install their base images, killed.

What is installed is the disk of :mod:`tests.integration.kills.guest`, by the
installer that copies one (:mod:`tests.integration.stand_in_installer`): its
kernel, QEMU, network, console and disk are real ones.
"""

import pathlib
import subprocess

import yaml

from tests.functional import conductors
from tests.integration import stand_in_installer
from tests.integration.kills import build_rounds
from tests.integration.kills import guest

_CONDUCTOR = ('conductor', 'conductor, job')
_ALL = (*_CONDUCTOR, 'job', 'qemu', "qemu's keeper", 'mirror proxy')
#: See :data:`build_rounds.PHASES`; the steps of the driver in their order.
PHASES: dict[str, tuple[tuple[str, ...], float]] = {
    'check the installer': (_CONDUCTOR, 0.1),
    'mirror network': (_CONDUCTOR, 0.3),
    'answers': ((*_CONDUCTOR, 'mirror proxy'), 0.1),
    'its disk': (_CONDUCTOR, 0.5),
    'boot the installer': (_CONDUCTOR, 3.0),
    'start the installer': (_CONDUCTOR, 0.5),
    'set up the network of the installer': (_CONDUCTOR, 0.2),
    'partition the disk': (_CONDUCTOR, 0.2),
    'install the base system': (_ALL, 0.5),
    'install packages with the installer': (_CONDUCTOR, 0.2),
    'finish the installation': (_CONDUCTOR, 0.3),
    'power-off': (_CONDUCTOR, 0.1),
    'write the qcow2 file': (_CONDUCTOR, 0.1),
    'keeping': (_CONDUCTOR, 0.05),
    'opening': (_CONDUCTOR, 0.4),
    'step': (_CONDUCTOR, 0.3),
    'closing': (_CONDUCTOR, 0.1),
    'converting': (_CONDUCTOR, 0.1),
    'uploading': (_CONDUCTOR, 0.1),
    'placing': (_CONDUCTOR, 0.05),
}
_SIZE = 3


class InstallerRounds(build_rounds.BuildRounds):
    """Builds of one conductor; each round installs another system.

    :param directory: its ``state_path``.
    :param cache: see :func:`tests.integration.netboot.fetched`.
    """

    form = 'installer'
    drivers = 'installer'
    longest = 600

    def __init__(self, directory: pathlib.Path, cache: pathlib.Path) -> None:
        self._cache = cache
        super().__init__(directory)

    def _prepared(self) -> str:
        place = self._directory / 'installers'
        place.mkdir()
        disk = guest.make(place / 'disk', stand_in_installer.PROGRAMS)
        file = place / 'installers.yaml'
        url = 'http://mirror.example/debian'
        stand_in_installer.write(file, self._cache, disk, url)
        return (
            f'[installer]\ninstallers_file = {file}\nmemory = 768\n'
            'silence = 250\n'
        )

    def _queue(self, phase: str, number: int) -> str:
        text = guest.manifest(number, 0.4 if phase == 'step' else 0.0)
        options = {
            'installer': stand_in_installer.NAME,
            'size': _SIZE,
            'hostname': f'round-{number}',
        }
        return conductors.add_build(
            self._database,
            driver='installer',
            tags=[],
            timeout=self.longest,
            request={
                'name': 'an image',
                'driver': 'installer',
                'driver_options': options,
                'disk_format': 'qcow2',
                'container_format': 'bare',
                'manifest': yaml.safe_load(text),
            },
            base={
                'driver': 'installer',
                'kind': 'none',
                'driver_options': options,
            },
        )

    def _wrong(self, image: pathlib.Path, number: int) -> str:
        raw = self._directory / 'raw'
        command = ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw']
        subprocess.run([*command, str(image), str(raw)], check=True)
        try:
            return guest.problem(raw, number)
        finally:
            raw.unlink()
