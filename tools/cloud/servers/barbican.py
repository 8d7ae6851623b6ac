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
"""Barbican."""

import base64
import hashlib
import pathlib
import shutil

from tools.cloud import ini
from tools.cloud.servers import service

#: All that it requires is in OpenStack's environment already.
_WHEEL = 'barbican==23.0.0'
#: Its own module has the path of a file in /etc.
_MODULE = """\
from paste import deploy

application = deploy.loadapp('config:{file}')
"""


class Barbican(service.WsgiService):
    """Secrets. No cloud has it by itself: who starts it adds it to Keystone's
    catalog, with its user.
    """

    name = 'barbican'
    project = 'barbican'
    module = 'imagebuild_barbican'

    def config(self) -> ini.Sections:
        key = hashlib.sha256(self.state.secret('barbican').encode()).digest()
        return {
            'DEFAULT': {
                'host_href': self.url,
                'default_log_levels': service.LOG_LEVELS,
            },
            'database': {'connection': self.site.database('barbican')},
            'keystone_authtoken': self.site.authtoken('barbican'),
            'secretstore': {'enabled_secretstore_plugins': 'store_crypto'},
            'crypto': {'enabled_crypto_plugins': 'simple_crypto'},
            'simple_crypto_plugin': {
                'kek': base64.urlsafe_b64encode(key).decode()
            },
            'oslo_policy': self.policy(),
        }

    def copy_shipped(self) -> None:
        self._install()
        name = 'barbican-api-paste.ini'
        shipped = self._library / 'etc' / 'barbican' / name
        ini.write(self.etc / name, shipped.read_text())
        ini.write(
            self.etc / f'{self.module}.py',
            _MODULE.format(file=self.etc / name),
        )

    def sync_database(self) -> None:
        self.make_tables(
            lambda: self.processes.run(
                'barbican-manage',
                [
                    *(str(self.site.bin / 'python'), '-m'),
                    *('barbican.cmd.barbican_manage', 'db', 'upgrade'),
                ],
                env=self.environment(),
            )
        )

    def environment(self) -> dict[str, str]:
        # It reads barbican.conf of the home directory, and takes no other.
        return {
            'HOME': str(self.etc),
            'PYTHONPATH': f'{self._library}:{self.etc}',
        }

    @property
    def _library(self) -> pathlib.Path:
        return self.directory / _WHEEL

    def _install(self) -> None:
        if self._library.exists():
            return
        new = self._library.with_suffix('.new')
        shutil.rmtree(new, ignore_errors=True)
        self.processes.run(
            'barbican-wheel',
            [
                *(str(self.site.bin / 'python'), '-m', 'pip', 'install'),
                *('--quiet', '--no-input', '--disable-pip-version-check'),
                *('--no-deps', '--target', str(new), _WHEEL),
            ],
            within=300,
        )
        new.rename(self._library)
