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
"""Neutron, the API alone.

Nova asks it about ports and security groups of every server, those without a
network too. There are no agents, so no server can have a network.
"""

from tools.cloud import ini
from tools.cloud.servers import service


class Neutron(service.WsgiService):
    """The API of networks."""

    name = 'neutron'
    project = 'neutron'
    module = 'neutron.wsgi.api'

    def start(self) -> bool:
        started = super().start()
        if started:
            # The first question configures its mappers. Were it Nova's about
            # ports, it would fail: Port has no attribute port_forwardings.
            for what in ('networks', 'ports'):
                self.site.rest.get(f'{self.url}/v2.0/{what}')
        return started

    def config(self) -> ini.Sections:
        return {
            'DEFAULT': {
                'transport_url': self.site.rabbitmq.transport_url,
                'core_plugin': 'ml2',
                # Without one, GET /ports fails.
                'service_plugins': 'router',
                'auth_strategy': 'keystone',
                'notify_nova_on_port_status_changes': False,
                'notify_nova_on_port_data_changes': False,
                'api_paste_config': self.etc / 'api-paste.ini',
                'state_path': self.directory,
                'default_log_levels': service.LOG_LEVELS,
            },
            'ml2': {
                'type_drivers': 'local',
                'tenant_network_types': 'local',
                'mechanism_drivers': '',
            },
            'database': {'connection': self.site.database('neutron')},
            'keystone_authtoken': self.site.authtoken('neutron'),
            'oslo_concurrency': {'lock_path': self.directory},
            'oslo_policy': self.policy(),
        }

    def copy_shipped(self) -> None:
        self.shipped('api-paste.ini')

    def sync_database(self) -> None:
        self.make_tables(
            lambda: self.site.manage(
                'neutron-db-manage',
                '--config-file',
                str(self.config_file),
                'upgrade',
                'heads',
            )
        )

    def arguments(self) -> list[str]:
        return [f'--pyargv=--config-file {self.config_file}']

    def environment(self) -> dict[str, str]:
        return {
            'OS_NEUTRON_CONFIG_DIR': str(self.etc),
            'OS_NEUTRON_CONFIG_FILES': self.config_file.name,
        }
