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
"""What conductors offer together."""

import types

import pytest

from imagebuild.api import offers
from imagebuild.api import placement
from imagebuild.catalogue import OperatingSystem
from imagebuild.common.placement import Capability

ENTRY = OperatingSystem('', architecture='')
EAST = {'description': 'Ours', 'disk_format': 'raw'}
ONE = Capability(
    name='c1',
    drivers=('a', 'b'),
    destinations=('east', 'mine'),
    destination_documents={'east': EAST, 'mine': {'projects': ['me']}},
    driver_schemas={'a': {'title': '1'}, 'gone': {}},
)
TWO = Capability(
    name='c2',
    drivers=('a', 'c'),
    destinations=('east', 'theirs'),
    destination_documents={
        'east': {**EAST, 'disk_format': 'vmdk', 'of_a_newer_release': 1},
        'theirs': {'projects': ['them']},
    },
    driver_schemas={'a': {'title': '2'}, 'c': {}},
)


def conductors(*capabilities):
    return [
        types.SimpleNamespace(
            name=each.name, drivers=each.drivers, capability=each
        )
        for each in capabilities
    ]


def a_call(*alive, known=()):
    return types.SimpleNamespace(
        context=types.SimpleNamespace(project_id='me'),
        service=types.SimpleNamespace(
            conductors=lambda accepting=True: conductors(*alive),
            absent_conductors=lambda: conductors(*known),
        ),
        database=types.SimpleNamespace(
            list_conductors=lambda: conductors(*known, *alive)
        ),
    )


def test_destinations_that_a_project_may_use():
    call = a_call()
    found = offers.destinations(call, conductors(ONE, TWO))
    assert [each.name for each in found] == ['east', 'mine']
    # As the first one describes it.
    assert found[0].disk_format == 'raw'
    [east] = offers.destinations(call, conductors(TWO))
    assert east.disk_format == 'vmdk'
    # One of a release that had none.
    assert offers.destinations(call, conductors(Capability())) == []


@pytest.mark.parametrize(
    'asked, message',
    [
        ([], ''),
        ([''], ''),
        (['', 'east', 'mine'], ''),
        (['west'], 'destinations[0]: there is no destination "west"; known '
         'are: east, mine'),
        (['', 'theirs'], 'destinations[1]: there is no destination "theirs"; '
         'known are: east, mine'),
    ],
)  # fmt: skip
def test_destinations_of_a_request(asked, message):
    problems = offers.destination_problems(
        a_call(ONE, TWO), {'destinations': asked}
    )
    assert ''.join(f'{each.path}: {each.message}' for each in problems) == (
        message
    )


def test_where_there_is_none():
    [problem] = offers.destination_problems(
        a_call(Capability(name='c')), {'destinations': ['x']}
    )
    assert problem.message.endswith('known are: none')


def test_nobody_up_is_not_the_users_error():
    assert offers.destination_problems(a_call(), {'destinations': ['x']}) == []


def test_one_that_only_a_conductor_knows_that_is_down_is_known():
    call = a_call(ONE, known=[TWO, Capability(name='old')])
    [problem] = offers.destination_problems(
        call, {'destinations': ['theirs', 'east']}
    )
    assert problem.path == 'destinations[0]'
    call = a_call(Capability(name='c'), known=[ONE])
    request = {'destinations': ['mine']}
    assert offers.destination_problems(call, request) == []


def test_schemas_are_of_drivers_that_work():
    assert offers.driver_schemas(conductors(ONE, TWO)) == {
        'a': {'title': '1'},
        'c': {},
    }


@pytest.mark.parametrize(
    'asked, able',
    [
        ([], ['c1', 'c2']),
        (['east'], ['c1', 'c2']),
        (['east', 'mine'], ['c1']),
        (['', 'theirs'], ['c2']),
    ],
)
def test_who_can_upload_to_all_of_them(asked, able):
    problems = []
    needs = placement.needs_of({'driver': 'a', 'destinations': asked}, ENTRY)
    found = placement.place(a_call(ONE, TWO), needs, {}, problems)
    assert (found.able, problems) == (able, [])


def test_nobody_can_upload_to_all_of_them():
    problems = []
    request = {'driver': 'a', 'destinations': ['mine', 'theirs']}
    needs = placement.needs_of(request, ENTRY)
    found = placement.place(a_call(ONE, TWO), needs, request, problems)
    assert not found.able
    [problem] = problems
    assert problem.path == 'destinations'
    assert problem.message == (
        'no conductor that is up can build it: c1 does not upload to '
        '"theirs"; c2 does not upload to "mine"'
    )
