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
"""The diagram of the service, and its drivers' pages, leave nothing out."""

import pathlib
import re
from importlib import metadata

import pytest

from imagebuild.conf import guestfs
from imagebuild.job import main

SOURCE = pathlib.Path(__file__).parents[2] / 'doc' / 'source'
LABELS = ' '.join(
    re.findall(
        r'label="(.*?)"',
        (SOURCE / 'diagrams' / 'service.dot').read_text(),
    )
).replace('\\n', ' ')
TABLE = (SOURCE / 'operator' / 'index.rst').read_text()
DRIVERS = [
    point.name for point in metadata.entry_points(group='imagebuild.drivers')
]

#: What a job is asked for -> what it is called.
JOBS = {
    'build': 'build jobs',
    'upload': 'upload jobs',
    'validate': 'validation jobs',
}
#: It cleans up; there is nothing of its own to see.
NOT_DRAWN = {'reap'}


def test_the_parts_are_drawn_and_described():
    assert JOBS.keys() | NOT_DRAWN == main.ACTIONS.keys()
    [isolation] = [each for each in guestfs.OPTS if each.name == 'isolation']
    places = set(isolation.type.choices) - {'auto'}
    assert places == {'appliance', 'sandbox'}
    services = {
        'Keystone', 'Glance', 'Nova', 'Cinder', 'Neutron', 'Barbican',
    }  # fmt: skip
    for part in (*JOBS.values(), *places, *services, 'repository', 'QEMU'):
        assert re.search(rf'\b{part}\b', LABELS), part
        assert re.search(rf'\b{part}\b', TABLE), part


@pytest.mark.parametrize('name', DRIVERS)
def test_every_driver_has_its_row_and_its_page(name):
    rows = (SOURCE / 'user' / 'drivers.rst').read_text()
    match = re.search(
        rf'^``{name}`` +(.*\n(?: {{5,}}.*\n)*)', rows, re.MULTILINE
    )
    assert match, name
    if name == 'fake':
        return
    [page] = re.findall(r':doc:`([\w-]+)`', match[1])
    assert f'``{name}``' in (SOURCE / 'user' / f'{page}.rst').read_text()


def test_there_are_drivers():
    assert len(DRIVERS) >= 6
