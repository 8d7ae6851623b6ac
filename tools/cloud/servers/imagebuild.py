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
"""This project's own services, from the checkout."""

import base64
import hashlib
import pathlib

from tools.cloud import cloud_site
from tools.cloud import ini
from tools.cloud import venv
from tools.cloud.servers import process
from tools.cloud.servers import service

#: Without it there is nothing to start.
APPLICATION = venv.ROOT / 'imagebuild' / 'wsgi' / 'api.py'

#: More sections, or options for ours, as a test wants them.
_EXTRA = 'imagebuild.extra.conf'

#: The catalogue of a new cloud.
OPERATING_SYSTEMS = """\
debian-12:
  description: Debian 12, bootable, made from packages
  driver: bootstrap
  driver_options: {os: debian-12}
debian-12-minimal:
  description: Debian 12 without kernel, made from packages
  driver: bootstrap
  driver_options: {os: debian-12, minimal: true}
fake-1:
  description: nothing at all, at once
  driver: fake
"""


class _ImageBuild(service.Service):
    project = 'imagebuild'

    def config(self) -> ini.Sections:
        site = self.site
        key = hashlib.sha256(site.state.secret('imagebuild').encode()).digest()
        return {
            'DEFAULT': {
                'transport_url': site.rabbitmq.transport_url,
                'state_path': self.directory,
                'operating_systems_file': self.catalogue,
                'encryption_keys': base64.urlsafe_b64encode(key).decode(),
                'default_log_levels': service.LOG_LEVELS,
            },
            'database': {
                'connection': site.database('imagebuild', charset='utf8mb4')
            },
            'keystone_authtoken': site.authtoken('imagebuild'),
            'keystone': {
                'region_name': cloud_site.REGION,
                **site.credentials('imagebuild'),
            },
            'guestfs': {'isolation': 'auto'},
            'installer': {'installers_file': self.installers},
            'conductor': {
                # The last ones are not offered unless they are named.
                'drivers': [
                    'bootstrap',
                    'diskimage_builder',
                    'guestfs',
                    'fake',
                    'installer',
                ],
                'heartbeat_interval': 2,
                'dead_after': 10,
            },
        }

    def copy_shipped(self) -> None:
        if not self.catalogue.exists():
            ini.write(self.catalogue, OPERATING_SYSTEMS)
        for path in (self.installers, self.extra):
            if not path.exists():
                ini.write(path, '')

    def sync_database(self) -> None:
        self.manage('db', 'sync')

    def manage(self, *arguments: str) -> None:
        """Run imagebuild-manage, as the cloud's operator."""
        self.processes.run(
            'imagebuild-manage',
            [
                str(venv.imagebuild() / 'bin' / 'imagebuild-manage'),
                f'--config-file={self.config_file}',
                *arguments,
            ],
        )

    def version(self) -> str:
        directory = venv.ROOT / 'imagebuild' / 'db'
        digest = hashlib.sha256()
        for file in sorted(directory.rglob('*.py')):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    @property
    def catalogue(self) -> pathlib.Path:
        """The operating systems that there are; tests may change it."""
        return self.etc / 'operating-systems.yaml'

    @property
    def installers(self) -> pathlib.Path:
        """What the driver ``installer`` may boot: nothing, in a new cloud."""
        return self.etc / 'installers.yaml'

    @property
    def config_files(self) -> list[pathlib.Path]:
        """All that a change of wants it started again."""
        return [self.config_file, self.extra, self.catalogue]

    @property
    def extra(self) -> pathlib.Path:
        """A configuration file read after ours; tests write to it."""
        return self.etc / _EXTRA


class ImageBuildApi(_ImageBuild, service.WsgiService):
    """The API of image builds."""

    name = 'imagebuild-api'
    module = 'imagebuild.wsgi.api'

    @property
    def programs(self) -> pathlib.Path:
        # The wheel of uWSGI serves the environment that it is in.
        return venv.imagebuild() / 'bin'

    def environment(self) -> dict[str, str]:
        return {
            'IMAGEBUILD_CONFIG': f'{self.config_file}:{self.extra}',
        }


class ImageBuildConductor(_ImageBuild):
    """A conductor; a cloud has several."""

    def __init__(self, site: cloud_site.Site, number: int) -> None:
        self.number = number
        self.name = f'imagebuild-conductor-{number}'
        super().__init__(site)

    @property
    def own_config(self) -> pathlib.Path:
        """What is different in each."""
        return self.etc / f'{self.name}.conf'

    def _prepare(self) -> None:
        super()._prepare()
        ini.write(self.own_config, ini.text(self.own_sections()))

    def own_sections(self) -> ini.Sections:
        """What is in its own configuration file."""
        work = self.state.subdirectory('imagebuild', f'work-{self.number}')
        return {'conductor': {'name': self.name, 'work_dir': work}}

    def program(self) -> process.Program:
        options = [self.config_file, self.own_config, self.extra]
        return process.Program(
            name=self.name,
            argv=[
                str(venv.imagebuild() / 'bin' / 'imagebuild-conductor'),
                *(f'--config-file={file}' for file in options),
            ],
            directory=self.directory,
            ready=self._reported,
            ready_within=180,
            # It drains.
            stop_within=150,
            files=[*self.config_files, self.own_config],
        )

    def _reported(self) -> bool:
        names = self.site.mariadb.query(
            "SELECT name FROM conductors WHERE status = 'up' "  # noqa: S608
            f'AND heartbeat_at >= {self.since()}',
            database='imagebuild',
        )
        return self.name in names.split()
