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
"""What is said when no conductor can build what a request asks for."""

import types

import pytest

from imagebuild import catalogue
from imagebuild import exception
from imagebuild.api import placement
from imagebuild.common.placement import Capability
from imagebuild.common.placement import Needs

GUESTFS = Capability(
    name='c1',
    drivers=('guestfs',),
    operating_systems=('debian-12',),
    architectures=('x86_64',),
    isolations={'appliance': (), 'sandbox': ('root rights',)},
)
FAKE = Capability(name='c2', drivers=('fake',), architectures=('x86_64',))


def a_call(*capabilities, entry=None, absent=()):
    entries = {entry.name: entry} if entry else {}
    return types.SimpleNamespace(
        service=types.SimpleNamespace(
            conductors=lambda: [
                types.SimpleNamespace(
                    name=each.name, drivers=each.drivers, capability=each
                )
                for each in capabilities
            ],
            absent_conductors=lambda: [
                types.SimpleNamespace(name=each.name, capability=each)
                for each in absent
            ],
            catalogue=types.SimpleNamespace(
                read=lambda: catalogue.Catalogue(entries)
            ),
        )
    )


def refusal(needs, request, *capabilities):
    problems = []
    found = placement.place(
        a_call(*capabilities), Needs(**needs), request, problems
    )
    assert found == placement.Placement()
    [problem] = problems
    return problem.path, problem.message


@pytest.mark.parametrize('given', [True, False])
def test_a_driver_that_nobody_has(given):
    request = {'os': 'x'} | ({'driver': 'magic'} if given else {})
    assert refusal({'driver': 'magic', 'os': 'x'}, request, GUESTFS, FAKE) == (
        'driver' if given else 'os',
        'no conductor that is up has the driver "magic"; there are: fake, '
        'guestfs',
    )


def test_each_lacks_something_else():
    needs = {'driver': 'guestfs', 'os': 'x', 'architecture': 'x86_64'}
    assert refusal(needs, {'os': 'x'}, GUESTFS, FAKE) == (
        'os',
        'no conductor that is up can build it: c1 does not build "x"; c2 has '
        'no driver "guestfs"',
    )


def test_one_lacks_several_things():
    needs = {'architecture': 's390x', 'isolation': 'sandbox'}
    assert refusal(needs, {'base_image': 'x'}, GUESTFS) == (
        'base_image',
        'no conductor that is up can build it: c1 builds for x86_64, not for '
        's390x and cannot open disks in the sandbox (root rights)',
    )


def test_the_isolation_of_the_request():
    request = {'os': 'x', 'driver_options': {'isolation': 'sandbox'}}
    path, _ = refusal({'isolation': 'sandbox'}, request, GUESTFS)
    assert path == 'driver_options.isolation'


def test_many_conductors_are_counted():
    many = [
        Capability(name=f'd{number}', drivers=('fake',)) for number in range(7)
    ]
    needs = {'driver': 'guestfs', 'os': 'x'}
    _, message = refusal(needs, {'os': 'x'}, GUESTFS, *many)
    assert message == (
        'no conductor that is up can build it: 7 of 8: has no driver '
        '"guestfs"; 1 of 8: does not build "x"'
    )


def test_who_is_able_is_named():
    problems = []
    needs = Needs(driver='fake')
    call = a_call(GUESTFS, FAKE)
    assert placement.place(call, needs, {}, problems) == placement.Placement(
        able=['c2'], asked=['c2']
    )
    assert problems == []


def test_who_is_down_is_waited_for():
    problems = []
    call = a_call(GUESTFS, absent=[FAKE])
    found = placement.place(call, Needs(driver='fake'), {}, problems)
    assert problems == []
    # Who is up is asked all the same: the driver may be installed there.
    assert found == placement.Placement(waits_for=['c2'], asked=['c1'])
    assert str(placement.cannot_be_checked(found)) == (
        'No conductor can do this now: only c2 could, and is down.'
    )


def test_who_is_up_is_not_waited_for():
    call = a_call(FAKE, absent=[GUESTFS])
    found = placement.place(call, Needs(driver='fake'), {}, [])
    assert found.waits_for == () and found.able == ['c2']


@pytest.mark.parametrize(
    'absent, reason',
    [([], 'none is up'), ([GUESTFS], 'none is up'), ([FAKE], 'only c2 could')],
)
def test_nobody_is_up(absent, reason):
    call = a_call(absent=absent)
    with pytest.raises(exception.NoConductor, match=reason):
        placement.place(call, Needs(driver='fake'), {}, [])


@pytest.mark.parametrize(
    ('entry', 'given', 'needed'),
    [
        ({}, {}, ''),
        ({'isolation': 'auto'}, {}, ''),
        ({'isolation': 'sandbox'}, {}, 'sandbox'),
        ({'isolation': 'sandbox'}, {'isolation': 'auto'}, 'sandbox'),
        ({'isolation': 'sandbox'}, {'isolation': 'appliance'}, 'appliance'),
        ({'isolation': 'appliance'}, {'isolation': 'sandbox'}, 'appliance'),
        ({}, {'isolation': 'sandbox'}, 'sandbox'),
        ({}, {'isolation': ['sandbox']}, ''),
        ({}, {'isolation': 'jail'}, ''),
    ],
)
def test_the_isolation_that_is_needed(entry, given, needed):
    found = catalogue.OperatingSystem('x', driver_options=entry)
    request = {'os': 'x', 'driver_options': given}
    assert placement.entry_of(a_call(entry=found), request, []) is found
    assert placement.needs_of(request, found) == Needs(
        os='x', driver='guestfs', architecture='x86_64', isolation=needed
    )
