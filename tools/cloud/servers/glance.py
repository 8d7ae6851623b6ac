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
"""Glance."""

import pathlib

from tools.cloud import cloud_site
from tools.cloud import cloud_state
from tools.cloud import ini
from tools.cloud.servers import service


class Glance(service.WsgiService):
    """Images, in files.

    :param region: one with another name is another service, with images of
        its own; who starts it adds it to Keystone's catalog.
    """

    name = 'glance'
    project = 'glance'
    module = 'glance.wsgi.api'
    threads = 8

    def __init__(
        self, site: cloud_site.Site, region: str = cloud_site.REGION
    ) -> None:
        super().__init__(site)
        if region != cloud_site.REGION:
            self.name = f'glance-{region.lower()}'
            self.directory = site.state.directory / self.name
            self.etc = site.state.directory / 'etc' / self.name

    @property
    def _database(self) -> str:
        return self.name.replace('-', '_')

    @property
    def config_file(self) -> pathlib.Path:
        return self.etc / 'glance-api.conf'

    def config(self) -> ini.Sections:
        stores = {
            name: {'filesystem_store_datadir': self._store(name)}
            for name in ('file', 'second', 'os_glance_staging_store')
        }
        return {
            'DEFAULT': {
                'enabled_backends': 'file:file,second:file',
                'enabled_import_methods': (
                    '[glance-direct,web-download,glance-download,copy-image]'
                ),
                'worker_self_reference_url': self.url,
                'default_log_levels': service.LOG_LEVELS,
            },
            'glance_store': {'default_backend': 'file'},
            **stores,
            'os_glance_tasks_store': {
                'filesystem_store_datadir': self._store('tasks')
            },
            # Glance refuses loopback addresses that are not listed.
            'import_filtering_opts': {
                'allowed_hosts': f'[{cloud_state.LOOPBACK},localhost]',
                # Any: a Glance that is fetched from has one of its own.
                'allowed_ports': '[]',
            },
            # Where there is a Barbican: certificates of signed images.
            'barbican': {'auth_endpoint': self.site.auth_url},
            'database': {'connection': self.site.database(self._database)},
            'paste_deploy': {'flavor': 'keystone'},
            'keystone_authtoken': self.site.authtoken('glance'),
            'oslo_concurrency': {'lock_path': self.directory},
            'oslo_policy': self.policy(),
        }

    def copy_shipped(self) -> None:
        self.shipped('glance-api-paste.ini')

    def sync_database(self) -> None:
        self.make_tables(
            lambda: self.site.manage(
                'glance-manage', f'--config-file={self.config_file}', 'db_sync'
            ),
            self._database,
            like=self.project,
        )

    def environment(self) -> dict[str, str]:
        return {'OS_GLANCE_CONFIG_DIR': str(self.etc)}

    def _store(self, name: str) -> pathlib.Path:
        return self.state.subdirectory(self.name, name)
