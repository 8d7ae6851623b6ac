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
"""Who can do a job, and what other releases write about it."""

import dataclasses
import json

import pytest

from imagebuild.common import placement
from imagebuild.common.placement import Capability
from imagebuild.common.placement import Needs

ABLE = Capability(
    name='c1',
    drivers=('bootstrap', 'guestfs'),
    operating_systems=('debian-12',),
    architectures=('x86_64',),
    isolations={'appliance': (), 'sandbox': ('root rights', 'slirp4netns')},
    boot_tests={'bios': (), 'uefi': ('no firmware',)},
    destinations=('east',),
    accelerator='tcg',
    free_disk=1,
    free_memory=2,
    base_files={'/a': 'sha256:a', '/gone': ''},
    cached_bases=('sha256:b', 'sha256:c'),
    cached_layers={'sha256:c': 3, 'sha256:d': 0},
    slots=2,
    driver_limits={'bootstrap': 1},
)
ALL = Needs(
    driver='guestfs',
    os='debian-12',
    architecture='x86_64',
    isolation='appliance',
    boot_test='bios',
    destination='east',
    destinations=('east',),
    holder='c1',
    base_path='/a',
    base='sha256:a',
)


@pytest.mark.parametrize(
    ('needs', 'problems'),
    [
        ({}, []),
        ({'driver': 'guestfs'}, []),
        ({'driver': 'magic'}, ['has no driver "magic"']),
        ({'driver': 'guest'}, ['has no driver "guest"']),
        ({'os': 'debian-12'}, []),
        ({'os': 'debian'}, ['does not build "debian"']),
        (
            {'architecture': 's390x'},
            ['builds for x86_64, not for s390x'],
        ),
        ({'isolation': 'appliance'}, []),
        (
            {'isolation': 'sandbox'},
            ['cannot open disks in the sandbox (root rights; slirp4netns)'],
        ),
        ({'isolation': 'jail'}, ['cannot open disks in the jail']),
        ({'boot_test': 'bios'}, []),
        (
            {'boot_test': 'uefi'},
            ['boots no images with uefi (no firmware)'],
        ),
        ({'boot_test': 'coreboot'}, ['boots no images (coreboot)']),
        ({'destination': 'east'}, []),
        ({'destination': 'west'}, ['does not upload to "west"']),
        ({'destinations': ('east',)}, []),
        (
            {'destinations': ('east', 'north', 'west')},
            ['does not upload to "north" and "west"'],
        ),
        ({'holder': 'c1'}, []),
        ({'holder': 'c2'}, ['does not have the file, which is on c2']),
        ({'adopts': 'guestfs'}, []),
        ({'adopts': 'snapshot'}, ['has no driver "snapshot"']),
        ({'base': 'sha256:x'}, []),
        ({'base_path': '/a', 'base': 'sha256:a'}, []),
        ({'base_path': '/never/looked/at', 'base': 'sha256:a'}, []),
        ({'base_path': '/a'}, []),
        (
            {'base_path': '/a', 'base': 'sha256:b'},
            ['has another file in the place of the base image'],
        ),
        (
            {'base_path': '/gone', 'base': 'sha256:a'},
            ['does not have the file of the base image'],
        ),
        (
            {'os': 'b', 'driver': 'a'},
            ['has no driver "a"', 'does not build "b"'],
        ),
    ],
)
def test_what_is_missing(needs, problems):
    assert placement.missing(Needs(**needs), ABLE) == problems


@pytest.mark.parametrize(
    ('boot_tests', 'problems'),
    [
        ({'bios': ('no QEMU',), 'snapshot': ()}, []),
        (
            {'bios': (), 'snapshot': ('switched off',)},
            ['boots no images with snapshot (switched off)'],
        ),
        # Of a release before, or of a driver that boots nothing.
        ({'bios': ()}, ['boots no images (snapshot)']),
    ],
)
def test_a_driver_that_boots_what_it_makes(boot_tests, problems):
    conductor = dataclasses.replace(
        ABLE, drivers=('snapshot',), boot_tests=boot_tests
    )
    needs = Needs(driver='snapshot', boot_test='snapshot')
    assert placement.missing(needs, conductor) == problems
    # Of a request, before anybody knows who boots its image.
    asked = placement.missing(
        Needs(driver='snapshot', boot_test='bios'), conductor
    )
    assert asked == (problems if 'snapshot' in boot_tests else [])


def test_able_of_all():
    assert placement.missing(ALL, ABLE) == []


@pytest.mark.parametrize(
    'name',
    ['driver', 'os', 'architecture', 'isolation', 'destination', 'holder'],
)
def test_each_need_is_looked_at_and_said_by_its_name(name):
    needs = dataclasses.replace(ALL, **{name: 'another'})
    assert list(placement.lacking(needs, ABLE)) == [name]


def test_the_destinations_are_looked_at_together():
    needs = Needs.from_dict({'destinations': ['west', 'east', '', 'west']})
    assert needs.destinations == ('east', 'west')
    assert list(placement.lacking(needs, ABLE)) == ['destinations']
    # Those of one set are in one lane, and those of none where they were.
    assert needs.to_dict() == {'destinations': ['east', 'west']}
    assert Needs.from_dict({'destinations': []}).to_dict() == {}
    strange = Needs.from_dict({'destinations': [1]})
    assert placement.missing(strange, ABLE)


def test_every_need_has_a_check():
    """A new field that nobody looks at would make everybody able."""
    fields = {field.name for field in dataclasses.fields(Needs)}
    assert fields - set(placement._CHECKS) == {'base', 'unknown'}


def test_no_operating_systems_are_all():
    able = dataclasses.replace(ABLE, operating_systems=())
    assert placement.missing(Needs(os='anything'), able) == []


@pytest.mark.parametrize('empty', [Capability(), Capability.from_dict({})])
def test_a_conductor_that_offers_nothing(empty):
    assert placement.missing(Needs(), empty) == []
    assert placement.missing(Needs(driver='guestfs'), empty)
    assert placement.missing(Needs(architecture='x86_64'), empty) == [
        'builds for nothing, not for x86_64'
    ]
    assert placement.missing(Needs(destination='east'), empty)


# -- other releases -----------------------------------------------------------


def through_json(value):
    return json.loads(json.dumps(value))


def test_what_is_written_is_read():
    assert Needs.from_dict(through_json(ALL.to_dict())) == ALL
    assert Capability.from_dict(through_json(ABLE.to_dict())) == ABLE
    assert Needs.from_dict({}) == Needs()


def test_the_columns_of_a_release_without_capabilities():
    row = {
        'name': 'old',
        'drivers': ['guestfs'],
        'operating_systems': [],
        'architecture': 'x86_64',
        'isolations': None,
        'slots': 1,
        'running': 0,
        'version': '1.0.0',
    }
    old = Capability.from_dict(row)
    assert old.architectures == ('x86_64',)
    assert old.free_disk is None
    # It could always do these, although it does not say so.
    for isolation in ('appliance', 'sandbox'):
        needs = Needs(
            driver='guestfs', architecture='x86_64', isolation=isolation
        )
        assert placement.missing(needs, old) == []
    assert placement.missing(Needs(destination='east'), old)


def test_a_newer_capability():
    newer = {**ABLE.to_dict(), 'gpus': [{'model': 'x'}], 'slots': 7}
    read = Capability.from_dict(newer)
    assert read == dataclasses.replace(ABLE, slots=7)


@pytest.mark.parametrize('value', ['a100', 1, ['x'], {'a': 1}, {}, [], False])
def test_a_newer_need(value):
    stored = {'driver': 'guestfs', 'gpu': value}
    needs = Needs.from_dict(stored)
    assert placement.missing(needs, ABLE) == [
        'does not know the need "gpu" of a newer release'
    ]
    # Not lost when this release writes it again.
    assert needs.to_dict() == stored


@pytest.mark.parametrize('value', [None, ''])
def test_a_newer_need_that_does_not_matter(value):
    needs = Needs.from_dict({'gpu': value})
    assert placement.missing(needs, ABLE) == []
    assert needs.to_dict() == {}


def test_a_need_that_a_newer_release_writes_otherwise():
    needs = Needs.from_dict({'architecture': ['x86_64', 'aarch64']})
    assert list(placement.lacking(needs, ABLE)) == ['architecture']
    assert needs.to_dict() == {'architecture': ['x86_64', 'aarch64']}


@pytest.mark.parametrize('value', [None, 7, True, 'text', [1, None], {'a': 1}])
@pytest.mark.parametrize(
    'name', [field.name for field in dataclasses.fields(Capability)]
)
def test_nothing_that_is_stored_fails(name, value):
    read = Capability.from_dict({name: value})
    placement.missing(ALL, read)
    placement.preference(ALL, read)
    assert Capability.from_dict(through_json(read.to_dict())) == read


def test_what_does_not_matter_is_not_stored():
    """So equal needs are equal texts, and digests of them, in all releases."""
    assert Needs(driver='a').to_dict() == {'driver': 'a'}
    one = Needs.from_dict({'os': 'o', 'driver': 'a', 'holder': ''})
    assert one.canonical() == '{"driver":"a","os":"o"}'


def test_both_can_be_keys():
    newer = Needs.from_dict({'gpu': ['x']})
    assert len({ALL, dataclasses.replace(ALL), newer}) == 2
    assert len({ABLE, dataclasses.replace(ABLE)}) == 1


# -- preference ---------------------------------------------------------------


@pytest.mark.parametrize(
    ('base', 'value'),
    [
        ('', 0),
        ('sha256:x', 0),
        ('sha256:b', 1),
        ('sha256:c', 2),
        ('sha256:d', 0),
    ],
)
def test_preference(base, value):
    assert placement.preference(Needs(base=base), ABLE) == value


def test_no_preference_for_who_says_nothing():
    assert placement.preference(ALL, Capability()) == 0


@pytest.mark.parametrize(
    'base, needs',
    [
        ({}, {}),
        ({'kind': 'none', 'identity': 'bootstrap:{}'}, {}),
        ({'kind': 'glance', 'identity': 'sha512:a'}, {'base': 'sha512:a'}),
        ({'kind': 'url', 'identity': 'sha256:a'}, {'base': 'sha256:a'}),
        (
            {'kind': 'path', 'identity': 'sha256:a', 'location': '/a'},
            {'base': 'sha256:a', 'base_path': '/a'},
        ),
        # As a release before called it.
        ({'kind': 'path', 'identity': 'path:/a:1:2', 'location': '/a'}, {}),
        (
            {'driver_options': {'isolation': 'sandbox'}},
            {'isolation': 'sandbox'},
        ),
        ({'driver_options': {'isolation': 'auto'}}, {}),
        ({'driver_options': None}, {}),
    ],
)
def test_what_a_base_image_needs(base, needs):
    assert placement.of_base(base) == needs


# -- slots ------------------------------------------------------------------


@pytest.mark.parametrize(
    ('driver', 'running', 'free'),
    [
        ('guestfs', {}, 3),
        ('guestfs', {'bootstrap': 1}, 2),
        ('guestfs', {'guestfs': 3}, 0),
        # It was lowered meanwhile.
        ('guestfs', {'guestfs': 5}, 0),
        ('bootstrap', {}, 1),
        ('bootstrap', {'guestfs': 2}, 1),
        ('bootstrap', {'guestfs': 3}, 0),
        ('bootstrap', {'bootstrap': 1}, 0),
    ],
)
def test_free_slots(driver, running, free):
    conductor = dataclasses.replace(ABLE, slots=3)
    needs = Needs(driver=driver)
    assert placement.free_slots(needs, conductor, running) == free


def crowd(**changed):
    return [
        dataclasses.replace(ABLE, name=f'c{number}', **changed)
        for number in range(10)
    ]


def test_a_few_are_woken_and_not_always_the_same():
    needs = Needs(driver='guestfs')
    seen = set()
    for _ in range(100):
        found = placement.to_wake(needs, crowd(), {})
        assert len(set(found)) == placement.MOST_WOKEN
        seen.update(found)
    assert len(seen) == 10


def test_nobody_without_a_slot_is_woken():
    needs = Needs(driver='bootstrap')
    running = {f'c{number}': {'bootstrap': 1} for number in range(8)}
    running['c8'] = {'guestfs': 2}
    assert placement.to_wake(needs, crowd(), running) == ['c9']
    running['c9'] = {'bootstrap': 1}
    assert placement.to_wake(needs, crowd(), running) == []
    assert placement.to_wake(Needs(driver='magic'), crowd(), {}) == []


def test_who_is_prepared_is_woken_then_who_has_little_to_do():
    conductors = crowd(cached_bases=(), cached_layers={})
    conductors[3] = dataclasses.replace(conductors[3], cached_bases=('b',))
    conductors[5] = dataclasses.replace(
        conductors[5], cached_bases=('b',), cached_layers={'b': 1}
    )
    needs = Needs(driver='guestfs', base='b')
    running = {
        f'c{number}': {'guestfs': 1} for number in range(10) if number != 7
    }
    assert placement.to_wake(needs, conductors, running) == ['c5', 'c3', 'c7']
