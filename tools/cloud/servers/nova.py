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
"""Nova: the API, the conductor, the scheduler and one compute host."""

from tools.cloud import cloud_site
from tools.cloud import ini
from tools.cloud.servers import libvirt
from tools.cloud.servers import service

#: name: (MiB of memory, GB of disk)
FLAVORS = {'m1.tiny': (256, 4), 'm1.small': (1024, 8)}

_FAKE = {'compute_driver': 'fake.FakeDriverWithoutFakeNodes'}
_LIBVIRT = {
    'compute_driver': 'libvirt.LibvirtDriver',
    'force_raw_images': False,
    'use_cow_images': True,
    'vif_plugging_is_fatal': False,
    'mkisofs_cmd': 'genisoimage',
    'force_config_drive': True,
    'flat_injected': False,
}


class _Nova(service.Service):
    project = 'nova'

    def __init__(self, site: cloud_site.Site) -> None:
        super().__init__(site)
        self.host_name = f'imagebuild-{site.virt}'

    def config(self) -> ini.Sections:
        site = self.site
        off = {'enabled': False}
        return {
            'DEFAULT': self._default(),
            'api_database': {'connection': site.database('nova_api')},
            'database': {'connection': site.database('nova')},
            'wsgi': {'api_paste_config': self.etc / 'api-paste.ini'},
            'keystone_authtoken': site.authtoken('nova'),
            'service_user': {
                'send_service_user_token': True,
                **site.credentials('nova'),
            },
            'placement': self._client('placement'),
            'glance': {'region_name': cloud_site.REGION},
            'neutron': self._client('nova'),
            'conductor': {'workers': 1},
            # A new compute host is found without nova-manage.
            'scheduler': {
                'workers': 1,
                'discover_hosts_in_cells_interval': 2,
            },
            'libvirt': self._libvirt(),
            'vnc': off,
            'spice': off,
            'serial_console': off,
            'oslo_concurrency': {'lock_path': self.directory / 'lock'},
            'oslo_policy': self.policy(),
            **self._privileges(),
        }

    def copy_shipped(self) -> None:
        self.shipped('api-paste.ini')

    def sync_database(self) -> None:
        cell0 = self.site.database('nova_cell0')
        self.make_tables(lambda: self._manage('api_db', 'sync'), 'nova_api')
        self._manage('cell_v2', 'map_cell0', f'--database_connection={cell0}')
        cells = self.site.mariadb.query(
            "SELECT COUNT(*) FROM cell_mappings WHERE name = 'cell1'",
            database='nova_api',
        )
        if cells.strip() == '0':
            self._manage('cell_v2', 'create_cell', '--name=cell1')
        self.make_tables(
            lambda: self._manage('db', 'sync'), 'nova', 'nova_cell0'
        )

    def _manage(self, *arguments: str) -> None:
        self.site.manage(
            'nova-manage', f'--config-file={self.config_file}', *arguments
        )

    def _default(self) -> dict[str, object]:
        return {
            'transport_url': self.site.rabbitmq.transport_url,
            'my_ip': self.site.mariadb.host,
            'host': self.host_name,
            'state_path': self.directory,
            'instances_path': self.state.subdirectory('nova', 'instances'),
            'enabled_apis': 'osapi_compute',
            # Seconds; nothing here is worth waiting for.
            'graceful_shutdown_timeout': 10,
            'manager_shutdown_timeout': 5,
            'reserved_host_memory_mb': 512,
            'reserved_host_disk_mb': 0,
            'default_log_levels': service.LOG_LEVELS,
            **(_FAKE if self.site.virt == 'fake' else _LIBVIRT),
        }

    def _client(self, user: str) -> dict[str, object]:
        credentials = self.site.credentials(user)
        return {'region_name': cloud_site.REGION, **credentials}

    def _libvirt(self) -> dict[str, object]:
        return {
            'virt_type': 'qemu',
            'cpu_mode': 'none',
            'connection_uri': libvirt.uri(self.site.state),
            'inject_partition': -2,
            # On q35 the config drive hangs on a controller that the kernel
            # of Debian's cloud images has no driver for.
            'hw_machine_type': 'x86_64=pc',
        }

    def _privileges(self) -> dict[str, dict[str, object]]:
        helper = self.site.bin / 'privsep-helper'
        command = f'{helper} --config-file {self.config_file}'
        names = (
            'nova_sys_admin',
            'privsep',
            'privsep_osbrick',
            'vif_plug_linux_bridge_privileged',
            'vif_plug_ovs_privileged',
        )
        return {name: {'helper_command': command} for name in names}


class NovaApi(_Nova, service.WsgiService):
    """The API of servers, with some flavors."""

    name = 'nova-api'
    module = 'nova.wsgi.osapi_compute'

    def environment(self) -> dict[str, str]:
        return {'OS_NOVA_CONFIG_DIR': str(self.etc)}

    def add_flavors(self) -> bool:
        """Add those of FLAVORS; False when they were there."""
        if self.state.done('flavors'):
            return False
        address = f'{self.url}/v2.1/flavors'
        found = self.site.rest.get(address)['flavors']
        for name in FLAVORS.keys() - {flavor['name'] for flavor in found}:
            memory, disk = FLAVORS[name]
            flavor = {'name': name, 'ram': memory, 'disk': disk, 'vcpus': 1}
            self.site.rest.call('POST', address, {'flavor': flavor})
        self.state.mark_done('flavors')
        return True


class _Reporting(_Nova, service.DaemonService):
    @property
    def reports(self) -> tuple[str, str]:  # type: ignore[override]
        """See DaemonService."""
        return 'nova', (
            f"services WHERE deleted = 0 AND `binary` = '{self.name}' "
            'AND IFNULL(last_seen_up, created_at)'
        )


class NovaConductor(_Reporting):
    """What asks the database for the others."""

    name = 'nova-conductor'


class NovaScheduler(_Reporting):
    """What finds a host for a server."""

    name = 'nova-scheduler'


class NovaCompute(_Reporting):
    """The one host that servers run on."""

    name = 'nova-compute'

    def reported(self) -> bool:
        """Whether servers can be scheduled to it."""
        hosts = self.site.mariadb.query(
            'SELECT host FROM host_mappings', database='nova_api'
        )
        return self.host_name in hosts.split() and super().reported()
