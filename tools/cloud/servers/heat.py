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
"""Heat: the API and the engine."""

import os
import pathlib

from tools.cloud import cloud_site
from tools.cloud import ini
from tools.cloud import venv
from tools.cloud.servers import service

#: More directories with resource types, joined by colons.
VARIABLE = 'IMAGEBUILD_CLOUD_HEAT_PLUGIN_DIRS'

_PLUGIN = venv.ROOT / 'heat_plugin'
_CLIENT = venv.ROOT / 'imagebuild' / 'client'


def has_plugin() -> bool:
    """Whether this checkout has a plugin for Heat."""
    return (_PLUGIN / 'resources').is_dir()


class _Heat(service.Service):
    project = 'heat'

    def config(self) -> ini.Sections:
        site = self.site
        return {
            'DEFAULT': {**self._default(), **self._addresses()},
            'database': {'connection': site.database('heat')},
            'paste_deploy': {'api_paste_config': self.etc / 'api-paste.ini'},
            'keystone_authtoken': site.authtoken('heat'),
            'trustee': {
                'auth_type': 'password',
                'auth_url': site.url('keystone'),
                'username': 'heat',
                'password': site.password('heat'),
                'user_domain_id': 'default',
            },
            'clients_keystone': {'auth_uri': site.url('keystone')},
            'oslo_concurrency': {'lock_path': self.directory},
            'oslo_policy': self.policy(),
        }

    def copy_shipped(self) -> None:
        self.shipped('api-paste.ini', 'environment.d', 'templates')

    def sync_database(self) -> None:
        self.make_tables(
            lambda: self.site.manage(
                'heat-manage', f'--config-file={self.config_file}', 'db_sync'
            )
        )

    def _default(self) -> dict[str, object]:
        site = self.site
        return {
            'transport_url': site.rabbitmq.transport_url,
            'auth_encryption_key': site.state.secret('heat')[:24] + '0' * 8,
            'stack_domain_admin': 'heat_domain_admin',
            'stack_domain_admin_password': site.password('heat_domain_admin'),
            'stack_user_domain_name': 'heat',
            'num_engine_workers': 2,
            # A build may take longer than the token of its stack lives.
            'reauthentication_auth_method': 'trusts',
            # Off by default; an image may outlive its stack.
            'enable_stack_abandon': True,
            'enable_stack_adopt': True,
            'plugin_dirs': self._plugin_directories(),
            'environment_dir': self.etc / 'environment.d',
            'template_dir': self.etc / 'templates',
            'region_name_for_services': cloud_site.REGION,
            'default_log_levels': service.LOG_LEVELS,
        }

    def _addresses(self) -> dict[str, object]:
        # There is no CloudFormation API: nobody signals wait conditions.
        address = self.site.url('heat-api-cfn')
        return {
            'heat_metadata_server_url': address,
            'heat_waitcondition_server_url': f'{address}/v1/waitcondition',
            'server_keystone_endpoint_type': 'public',
        }

    def _plugin_directories(self) -> list[pathlib.Path]:
        directories = [self.state.subdirectory('etc', 'heat', 'plugins')]
        if has_plugin():
            directories.append(_PLUGIN / 'resources')
        more = os.environ.get(VARIABLE, '').split(':')
        return directories + [pathlib.Path(one) for one in more if one]


class HeatApi(_Heat, service.WsgiService):
    """The API of stacks."""

    name = 'heat-api'
    module = 'heat.wsgi.api'

    def arguments(self) -> list[str]:
        # The application reads a command line.
        return [f'--pyargv=--config-file {self.config_file}']


class HeatEngine(_Heat, service.DaemonService):
    """What does the work of stacks; 12 to 15 s to stop."""

    name = 'heat-engine'

    @property
    def config_files(self) -> list[pathlib.Path]:
        # It knows our code as it was when it was started.
        code = [*_PLUGIN.rglob('*.py'), *_CLIENT.rglob('*.py')]
        return [*super().config_files, *sorted(code)]

    reports = ('heat', 'service WHERE created_at')
