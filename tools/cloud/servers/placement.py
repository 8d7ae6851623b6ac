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
"""Placement."""

from tools.cloud import ini
from tools.cloud.servers import service


class Placement(service.WsgiService):
    """What room there is for servers."""

    name = 'placement'
    project = 'placement'
    module = 'placement.wsgi.api'

    def config(self) -> ini.Sections:
        return {
            'placement_database': {
                'connection': self.site.database('placement')
            },
            'keystone_authtoken': self.site.authtoken('placement'),
            'oslo_policy': self.policy(),
        }

    def sync_database(self) -> None:
        self.make_tables(
            lambda: self.site.manage(
                'placement-manage',
                f'--config-file={self.config_file}',
                'db',
                'sync',
            )
        )

    def environment(self) -> dict[str, str]:
        return {'OS_PLACEMENT_CONFIG_DIR': str(self.etc)}
