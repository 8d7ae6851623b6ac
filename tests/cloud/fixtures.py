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
"""Servers that tests talk to.

Also for tests elsewhere: import the fixtures you want in a conftest.py. Those
of a session share one server; ask it for a database of your own
(``server.url('name')``). A test that stops, kills or restarts a server starts
one for itself::

    with mariadb.running(tmp_path) as server:
        ...
        server.kill()
        server.start()

The clouds of a session are one cloud, as much of it as was asked for so far.
With IMAGEBUILD_TEST_CLOUD naming a directory it is kept there and goes on to
run: for a developer, who stops it with "tools/cloud/down --state DIRECTORY".
The same for the one with real servers is IMAGEBUILD_TEST_LIBVIRT_CLOUD. All
clouds make their base images in the one directory that image_cache is (import
that, too).
"""

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.cloud import installers
from tests.cloud import people
from tools.cloud import cloud_state
from tools.cloud import clouds
from tools.cloud import ini
from tools.cloud.servers import mariadb
from tools.cloud.servers import postgresql
from tools.cloud.servers import rabbitmq

DIRECTORY_VARIABLE = 'IMAGEBUILD_TEST_CLOUD'
LIBVIRT_VARIABLE = 'IMAGEBUILD_TEST_LIBVIRT_CLOUD'


@pytest.fixture(scope='session')
def cloud_directory(
    tmp_path_factory: pytest.TempPathFactory, image_cache: pathlib.Path
) -> Iterator[pathlib.Path]:
    """Where the cloud is; it is down when the session ends."""
    kept = os.environ.get(DIRECTORY_VARIABLE)
    directory = (
        pathlib.Path(kept) if kept else tmp_path_factory.mktemp('cloud')
    )
    cloud = clouds.Cloud(directory)
    _configure(cloud, image_cache)
    people.write_systems(cloud)
    yield directory
    if not kept:
        clouds.Cloud(directory).down()


@pytest.fixture(scope='session')
def glance_cloud(cloud_directory: pathlib.Path) -> clouds.Cloud:
    """Keystone, Glance, RabbitMQ, MariaDB and ours; 30 s."""
    return _up(cloud_directory, 'glance')


@pytest.fixture(scope='session')
def heat_cloud(cloud_directory: pathlib.Path) -> clouds.Cloud:
    """With Heat; 15 s more."""
    return _up(cloud_directory, 'heat')


@pytest.fixture(scope='session')
def nova_cloud(cloud_directory: pathlib.Path) -> clouds.Cloud:
    """With Nova, whose servers are pretended; 60 s more."""
    return _up(cloud_directory, 'nova')


@pytest.fixture(scope='module')
def libvirt_cloud(
    tmp_path_factory: pytest.TempPathFactory, image_cache: pathlib.Path
) -> Iterator[clouds.Cloud]:
    """Another cloud, whose servers are guests of qemu; 90 s.

    It goes with the module, as two clouds take much memory.
    """
    kept = os.environ.get(LIBVIRT_VARIABLE)
    directory = (
        pathlib.Path(kept) if kept else tmp_path_factory.mktemp('libvirt')
    )
    cloud = clouds.Cloud(directory, level='nova', virt='libvirt')
    _configure(cloud, image_cache)
    installers.write_system(cloud)
    cloud.up(host_is_ready=True)
    yield cloud
    if not kept:
        cloud.down()


def _configure(cloud: clouds.Cloud, directory: pathlib.Path) -> None:
    """Set what is different in tests, in a cloud that is new."""
    extra = cloud.service('imagebuild-api').extra
    if extra.exists():
        return
    site = cloud.site
    sections: ini.Sections = {
        # Machines that tests start (test_validations.py).
        'validation': {
            'allowed_networks': '127.0.0.0/8',
            'allowed_ports': site.state.port('sshd'),
            'compute_endpoint': f'{site.url("nova-api")}/v2.1',
            'key_manager_endpoint': site.url('barbican'),
        },
        # For the one that copies a disk (installers.py).
        'installer': {'memory': 768, 'silence': 300},
        # No base image is made twice in a session.
        'disks': {'cache_dir': directory / 'made'},
        # A token that was revoked is refused at once.
        'keystone_authtoken': {'token_cache_time': -1},
        # What is waited for with the defaults: 10 seconds each.
        'conductor': {'retry_delay': 2, 'sweep_interval': 2},
    }
    ini.write(extra, ini.text(sections))


def _up(directory: pathlib.Path, level: str) -> clouds.Cloud:
    state = cloud_state.State(directory).section('cloud')
    levels = [level, state.get('level', level)]
    cloud = clouds.Cloud(
        directory,
        level=max(levels, key=clouds.LEVELS.index),
        virt=state.get('virt', 'fake'),
    )
    cloud.up(host_is_ready=True)
    return cloud


@pytest.fixture(scope='session')
def mariadb_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[mariadb.MariaDB]:
    """A MariaDB for the session; 1 s."""
    with mariadb.running(tmp_path_factory.mktemp('mariadb')) as server:
        yield server


@pytest.fixture(scope='session')
def postgresql_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[postgresql.PostgreSQL]:
    """A PostgreSQL for the session; 1 s."""
    with postgresql.running(tmp_path_factory.mktemp('postgresql')) as server:
        yield server


@pytest.fixture(scope='session')
def rabbitmq_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[rabbitmq.RabbitMQ]:
    """A RabbitMQ for the session; 6 s."""
    with rabbitmq.running(tmp_path_factory.mktemp('rabbitmq')) as server:
        yield server
