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
"""devstack's plugin over a real Keystone, MariaDB, RabbitMQ, Glance and Heat.

The functions of devstack that the plugin calls really do here what they do
there (tests/devstack/over_cloud.sh), but for installing; the cloud is one
without imagebuild. The tests are one story: the last ones take it all away.
"""

import collections
import json
import pathlib
import re
from collections.abc import Iterator

import pytest

from imagebuild.client import exceptions as client_exceptions
from imagebuild.db import migration
from tests.cloud import people
from tests.devstack import grenade as grenades
from tests.devstack import phases
from tools.cloud import cloud_site
from tools.cloud import cloud_state
from tools.cloud import clouds
from tools.cloud.servers import base
from tools.cloud.servers import heat
from tools.cloud.servers import mariadb

#: The revision of the first release's tables.
FIRST = '0001'

TEMPLATE = """\
heat_template_version: 2018-08-31
resources:
  image:
    type: OS::ImageBuild::Image
    properties: {name: of-a-stack, os: fake}
outputs:
  image: {value: {get_resource: image}}
"""


class BareCloud(clouds.Cloud):
    """One that has never heard of imagebuild."""

    def _ours(self) -> list[base.Server]:
        return []


class WiredHeat(heat.HeatEngine):
    """Heat's engine with the configuration that the plugin has changed."""

    def __init__(self, site: cloud_site.Site, file: pathlib.Path) -> None:
        super().__init__(site)
        self._file = file

    @property
    def config_file(self) -> pathlib.Path:
        return self._file

    def prepare(self) -> None:
        """Leave the file as it is."""


@pytest.fixture(scope='module')
def cloud(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[clouds.Cloud]:
    """Up to Heat; 40 s."""
    made = BareCloud(tmp_path_factory.mktemp('bare'), level='heat')
    try:
        made.up(host_is_ready=True)
        yield made
    finally:
        made.down()


@pytest.fixture(scope='module')
def stack(
    cloud: clouds.Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[phases.Devstack]:
    """stack.sh has run its phases; what it started is stopped at the end."""
    site = cloud.site
    made = phases.Devstack(
        tmp_path_factory.mktemp('devstack'),
        stand_ins=(phases.STAND_IN, phases.OVER_CLOUD),
        environment={
            **cloud.environment('admin'),
            'MYSQL_TCP_PORT': str(site.mariadb.port),
        },
        **_variables(site),
    )
    # As devstack writes it.
    given = cloud.service('heat-engine').config_file.read_text()
    made.heat_conf.write_text(re.sub('(?m)^plugin_dirs = .*\n', '', given))
    try:
        # A second run changes nothing.
        made.succeed(*phases.STACK[:3], *phases.STACK[2:])
        yield made
    finally:
        made.run('unstack')


def _variables(site: cloud_site.Site) -> dict[str, object]:
    """A local.conf, and what stack.sh knows of its own services."""
    mariadb = site.mariadb
    return {
        'SERVICE_HOST': site.mariadb.host,
        'SERVICE_TIMEOUT': 300,
        # No Neutron.
        'ENABLED_SERVICES': 'key,g-api,h-eng,rabbit,mysql,tempest',
        'KEYSTONE_SERVICE_URI': site.url('keystone'),
        'MEMCACHE_SERVERS': '',
        'DATABASE_HOST': mariadb.host,
        'DATABASE_USER': 'imagebuild',
        'DATABASE_PASSWORD': mariadb.state.secret(mariadb.name),
        'STAND_IN_DATABASE_URL': mariadb.url(
            'imagebuild', options='charset=utf8'
        ),
        'STAND_IN_RABBIT_URL': site.rabbitmq.transport_url,
        'IMAGEBUILD_BEHIND_APACHE': 'False',
        'IMAGEBUILD_SERVICE_PORT': cloud_state.free_port(),
        'IMAGEBUILD_DRIVERS': 'fake',
    }


def listed(cloud: clouds.Cloud, *command: str, user: str = 'demo') -> list:
    """The rows of an openstack command."""
    done = people.openstack(cloud, *command, '-f', 'json', user=user)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_catalog_is_filled_once(
    cloud: clouds.Cloud, stack: phases.Devstack
) -> None:
    endpoints = listed(
        cloud, 'endpoint', 'list', '--service', 'image-build', user='admin'
    )
    assert collections.Counter(one['Interface'] for one in endpoints) == {
        'public': 1,
        'internal': 1,
        'admin': 1,
    }
    roles = listed(
        cloud,
        *('role', 'assignment', 'list', '--names', '--user', 'imagebuild'),
        user='admin',
    )
    assert sorted(one['Role'] for one in roles) == ['admin', 'service']
    assert {one['Project'] for one in roles} == {'service@Default'}


def test_the_configuration_is_accepted(stack: phases.Devstack) -> None:
    assert 'Failure' not in stack.check_upgrade()


def test_both_conductors_are_up(
    cloud: clouds.Cloud, stack: phases.Devstack
) -> None:
    names = [
        phases.ini(file)['conductor']['name']
        for file in stack.etc.glob('imagebuild-conductor*.conf')
    ]
    assert len(names) == 2

    def builders() -> list[str]:
        found = listed(cloud, 'image', 'builder', 'list', user='admin')
        return sorted(one['Name'] for one in found)

    # stack.sh waits for the API only.
    people.eventually(lambda: builders() == sorted(names), instead=builders)


def test_a_member_builds_an_image(
    cloud: clouds.Cloud, stack: phases.Devstack
) -> None:
    done = people.openstack(
        cloud,
        *('image', 'build', 'create', '--os', 'fake', '--wait'),
        *('-f', 'json', 'from-devstack'),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    build = json.loads(done.stdout[done.stdout.index('{') :])
    assert build['status'] == 'active'
    images = listed(cloud, 'image', 'list', '--long')
    [image] = [one for one in images if one['ID'] == build['image_id']]
    assert image['Name'] == 'from-devstack'
    assert image['Project'] == build['project_id']


def test_heat_builds_an_image(
    cloud: clouds.Cloud, stack: phases.Devstack, tmp_path: pathlib.Path
) -> None:
    WiredHeat(cloud.site, stack.heat_conf).start()
    template = tmp_path / 'template.yaml'
    template.write_text(TEMPLATE)
    done = people.openstack(
        cloud, 'stack', 'create', '--wait', '-t', str(template), 'one'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    output = people.openstack(
        cloud,
        *('stack', 'output', 'show', 'one', 'image'),
        *('-f', 'value', '-c', 'output_value'),
    )
    images = listed(cloud, 'image', 'list')
    assert output.stdout.strip() in [one['ID'] for one in images]


def test_grenade_upgrades_it(
    cloud: clouds.Cloud, stack: phases.Devstack
) -> None:
    """Tables of the first release, with the rows of a build of today's."""
    grenade = grenades.Grenade(stack)
    grenade.succeed('resources', 'create')
    grenade.succeed('resources', 'verify', 'pre-upgrade')
    pids = [file.read_text() for file in (stack.directory / 'pids').iterdir()]
    grenade.succeed('shutdown')
    assert not any(_runs(pid) for pid in pids)
    _bring_back(cloud.site.mariadb)
    shown = grenade.succeed('resources', 'verify_noapi')
    assert FIRST in shown
    grenade.succeed('upgrade', top='new')
    grenade.succeed('resources', 'verify', 'post-upgrade')
    assert migration.version(cloud.site.mariadb.url('imagebuild')) == (
        migration.head()
    )
    builds = [one['ID'] for one in listed(cloud, 'image', 'build', 'list')]
    saved = phases.ini(grenade.saved)['imagebuild']
    grenade.succeed('resources', 'destroy')
    left = people.client(cloud, 'admin').builds
    for build in (saved['build'], saved['again']):
        with pytest.raises(client_exceptions.NotFound):
            left.get(build)
    # What a member had built is there as before.
    assert builds
    assert [one['ID'] for one in listed(cloud, 'image', 'build', 'list')] == (
        builds
    )


def _bring_back(server: mariadb.MariaDB) -> None:
    """Have the tables of the first release, with the rows that are there."""
    migration.upgrade(server.url('imagebuild_first'), FIRST)
    columns = collections.defaultdict(list)
    for line in server.query(
        'SELECT a.table_name, a.column_name FROM information_schema.columns a '
        'JOIN information_schema.columns b USING (table_name, column_name) '
        "WHERE a.table_schema = 'imagebuild_first' "
        "AND b.table_schema = 'imagebuild'"
    ).splitlines():
        table, column = line.split()
        columns[table].append(f'`{column}`')
    del columns['alembic_version']
    copied = [
        f'INSERT INTO imagebuild_first.`{table}` ({", ".join(names)}) '
        f'SELECT {", ".join(names)} FROM imagebuild.`{table}`'
        for table, names in columns.items()
    ]
    moved = [
        f'RENAME TABLE imagebuild_first.`{table}` TO imagebuild.`{table}`'
        for table in (*columns, 'alembic_version')
    ]
    server.query(
        '; '.join(
            [
                'SET foreign_key_checks = 0',
                *copied,
                'DROP DATABASE imagebuild',
                'CREATE DATABASE imagebuild CHARACTER SET utf8mb4',
                *moved,
                'DROP DATABASE imagebuild_first',
            ]
        )
    )


def test_unstack_stops_everything(stack: phases.Devstack) -> None:
    pids = [file.read_text() for file in (stack.directory / 'pids').iterdir()]
    assert len(pids) == 3
    assert all(_runs(pid) for pid in pids)
    stack.succeed('unstack')
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: str) -> bool:
    return pathlib.Path('/proc', pid.strip()).exists()


def test_clean_removes_everything(
    cloud: clouds.Cloud, stack: phases.Devstack
) -> None:
    databases = cloud.site.mariadb.query('SHOW DATABASES').split()
    assert 'imagebuild' in databases
    assert stack.state.exists()
    stack.succeed('clean')
    databases = cloud.site.mariadb.query('SHOW DATABASES').split()
    assert 'imagebuild' not in databases
    assert 'keystone' in databases
    assert not stack.state.exists()
    assert not stack.etc.exists()
