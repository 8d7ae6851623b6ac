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
import pathlib

import pytest

from tests.cloud.fixtures import cloud_directory  # noqa: F401
from tests.cloud.fixtures import glance_cloud  # noqa: F401
from tests.cloud.fixtures import heat_cloud  # noqa: F401
from tests.cloud.fixtures import libvirt_cloud  # noqa: F401
from tests.cloud.fixtures import mariadb_server  # noqa: F401
from tests.cloud.fixtures import nova_cloud  # noqa: F401
from tests.cloud.fixtures import postgresql_server  # noqa: F401
from tests.cloud.fixtures import rabbitmq_server  # noqa: F401
from tests.integration.conftest import image_cache  # noqa: F401
from tests.integration.conftest import machine_tree  # noqa: F401
from tests.integration.conftest import minimal_image  # noqa: F401

_HERE = pathlib.Path(__file__).parent

#: Seconds; a cloud from nothing, its packages and environment included.
_TIMEOUT = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what needs real servers the time that it takes."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker('integration')
            if item.get_closest_marker('timeout') is None:
                item.add_marker(pytest.mark.timeout(_TIMEOUT))
