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
import pytest

from imagebuild.conductor import image_update

FIRST = {
    'name': 'first',
    'packages': ['nginx'],
    'visibility': 'shared',
    'protected': False,
    'tags': ['a'],
    'members': ['m1'],
    'properties': {'os_distro': 'debian', 'one': '1'},
    'min_disk': 2,
    'min_ram': 512,
}


def test_one_build_has_what_it_says():
    assert image_update.merged([FIRST]) == FIRST


def test_nobody_takes_anything_from_another():
    second = {
        'name': 'second',
        'visibility': 'public',
        'protected': True,
        'tags': ['b', 'a'],
        'members': [],
        'properties': {'os_distro': 'other', 'two': '2'},
        'min_disk': 1,
        'min_ram': 1024,
    }
    third = {'name': 'third', 'members': ['m2', 'm1'], 'tags': None}
    assert image_update.merged([FIRST, second, third]) == {
        'name': 'first',
        'packages': ['nginx'],
        'visibility': 'shared',
        'protected': True,
        'tags': ['a', 'b'],
        'members': ['m1', 'm2'],
        'properties': {'os_distro': 'debian', 'one': '1', 'two': '2'},
        'min_disk': 2,
        'min_ram': 1024,
    }


@pytest.mark.parametrize(
    'visibility, seen, members',
    [
        ('private', 'shared', ['m1']),
        ('public', 'public', []),
        ('community', 'community', []),
        (None, None, ['m1']),
    ],
)
def test_members_of_a_second_build(visibility, seen, members):
    first = {'name': 'first', 'visibility': visibility}
    merged = image_update.merged([first, FIRST])
    assert (merged['visibility'], merged['members']) == (seen, members)
