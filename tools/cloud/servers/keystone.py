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
"""Keystone."""

import base64
import os
import pathlib

from tools.cloud import cloud_site
from tools.cloud import ini
from tools.cloud.servers import service


class Keystone(service.WsgiService):
    """Identity; the first that starts, everybody asks it."""

    name = 'keystone'
    project = 'keystone'
    module = 'keystone.wsgi.api'

    def config(self) -> ini.Sections:
        return {
            'database': {'connection': self.site.database('keystone')},
            'token': {'provider': 'fernet', 'expiration': 4 * 3600},
            # Slow hashes protect passwords; these protect nothing.
            'identity': {'password_hash_rounds': 4},
            'fernet_tokens': {'key_repository': self._keys('fernet')},
            'fernet_receipts': {'key_repository': self._keys('receipt')},
            'credential': {'key_repository': self._keys('credential')},
            # Without one, each request costs 200 ms.
            'cache': {'enabled': True, 'backend': 'dogpile.cache.memory'},
            'oslo_policy': self.policy(),
        }

    def environment(self) -> dict[str, str]:
        return {'OS_KEYSTONE_CONFIG_DIR': str(self.etc)}

    def sync_database(self) -> None:
        for name in ('fernet', 'receipt', 'credential'):
            _make_keys(self._keys(name))
        self.make_tables(lambda: self._manage('db_sync'))
        self._manage(
            'bootstrap',
            f'--bootstrap-region-id={cloud_site.REGION}',
            f'--bootstrap-admin-url={self.site.auth_url}',
            f'--bootstrap-internal-url={self.site.auth_url}',
            f'--bootstrap-public-url={self.site.auth_url}',
        )

    def _manage(self, *arguments: str) -> None:
        self.site.manage(
            'keystone-manage',
            '--config-file',
            str(self.config_file),
            *arguments,
            env={
                'OS_BOOTSTRAP_PASSWORD': self.site.password(cloud_site.ADMIN)
            },
        )

    def _keys(self, name: str) -> pathlib.Path:
        return self.directory / f'{name}-keys'


def _make_keys(directory: pathlib.Path) -> None:
    """What "keystone-manage fernet_setup" makes, without its 3 s."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ('0', '1'):
        file = directory / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
