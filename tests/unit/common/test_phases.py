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
"""How far a build is, and how long it may take."""

import math

import pytest

from imagebuild.common import phases

EXPECTED = {
    'base_image': 10.0,
    'appliance': 20.0,
    'steps': 100.0,
    'convert': 40.0,
    'boot_test': 0.0,
    'checksum': 0.0,
    'upload': 30.0,
}


def gone(*names, expected=None, seconds=10):
    """Phases of a build that has come to the last one named."""
    found = phases.Phases(expected=expected or {})
    for number, name in enumerate(names):
        found = found.begun(name, 1000 + number * seconds)
    return found


def test_each_phase_has_its_seconds():
    found = gone('base_image', 'appliance', 'steps', '')
    assert found.spent == {'base_image': 10, 'appliance': 10, 'steps': 10}
    assert found.current == ''


def test_a_phase_that_goes_on_keeps_its_beginning():
    found = gone('upload', 'upload')
    assert (found.since, found.spent) == (1000, {})
    assert found.running(1025) == 25


def test_a_clock_that_was_put_back():
    found = gone('base_image', 'appliance', expected=EXPECTED)
    assert found.running(500) == 0
    assert found.remaining(500) == 20 + 100 + 40 + 30
    assert found.begun('steps', 500).spent['appliance'] == 0


def test_it_is_kept_as_json_has_it():
    found = gone('base_image', 'steps', expected=EXPECTED)
    assert phases.Phases.from_dict(found.to_dict()) == found
    later = {**found.to_dict(), 'of_a_later_release': 1}
    assert phases.Phases.from_dict(later) == found
    assert phases.Phases.from_dict(None) == phases.Phases()


@pytest.mark.parametrize('expected', [{}, EXPECTED])
def test_it_only_grows_and_is_never_full(expected):
    shares = []
    found = phases.Phases(expected=expected)
    now = 1000.0
    for name in phases.ORDER:
        found = found.begun(name, now)
        for done in range(11):
            now += 30
            if name in ('base_image', 'upload'):
                found = phases.dataclasses.replace(
                    found, bytes_done=done, bytes_total=10
                )
            shares.append(found.share(done, 10, now))
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert 0.9 < shares[-1] < 1


def test_what_was_in_the_cache_is_no_part_of_the_whole():
    expected = {**EXPECTED, 'base_image': 1000.0}
    found = phases.Phases(expected=expected).begun('base_image', 1000)
    found = found.begun('appliance', 1001)
    assert found.share(0, 4, 1001) < 0.01
    assert found.share(0, 4, 1011) == pytest.approx(11 / 191)


def test_it_grows_whether_phases_are_quick_or_slow():
    for factor in (0.0, 0.3, 1.0, 4.0):
        found = phases.Phases(expected=EXPECTED)
        now, shares = 1000.0, []
        for name in phases.ORDER:
            found = found.begun(name, now)
            for _ in range(10):
                shares.append(found.share(1, 2, now))
                now += EXPECTED[name] * factor / 10
        assert shares == sorted(shares), factor
        assert shares[-1] < 1


def test_bytes_and_steps_move_it():
    found = gone('base_image')
    half = phases.dataclasses.replace(found, bytes_done=5, bytes_total=10)
    assert 0 < half.share(0, 0, 2000) < 0.2
    found = gone('base_image', 'steps')
    assert found.share(1, 4, 2000) < found.share(3, 4, 2000)
    # More than all of them, or fewer than none, is a job that cannot count.
    assert found.share(9, 4, 2000) < 1
    assert found.share(-9, 4, 2000) >= 0


def test_the_second_of_two_uploads():
    found = phases.dataclasses.replace(
        gone('upload'), bytes_done=1, bytes_total=2, parts=2
    )
    first = found.share(4, 4, 1000)
    second = phases.dataclasses.replace(found, part=2).share(4, 4, 1000)
    assert first < second < 1


def test_what_is_left_gets_less_and_is_never_negative():
    found = gone('base_image', 'appliance', 'steps', expected=EXPECTED)
    left = [found.remaining(found.since + seconds) for seconds in (0, 60, 120)]
    assert left == [170, 110, 70]
    found = found.begun('upload', 5000)
    assert found.remaining(5010) == 20
    assert found.remaining(5029.9) is None


def test_a_phase_that_is_slower_than_ever():
    found = gone('base_image', expected=EXPECTED)
    assert found.remaining(found.since + 25) == 190
    # Nobody knows when a download ends that had never been needed before.
    assert found.remaining(found.since + 40) is None
    assert found.begun('appliance', 5000).remaining(5000) == 190


def test_nothing_is_said_without_earlier_builds():
    assert gone('steps').remaining(1000) is None
    assert phases.Phases(expected=EXPECTED).remaining(1000) is None
    assert gone('steps', '', expected=EXPECTED).remaining(1000) is None


def earlier(key, name, seconds):
    return phases.Earlier(key, name, {'steps': seconds})


def test_the_median_of_the_last_five():
    builds = [earlier('k', 'web', s) for s in (10, 12, 900, 11, 13, 7000)]
    found = phases.expected(builds, 'k', 'web', similar=True)
    assert found['steps'] == 12
    assert found['upload'] == 0
    assert list(found) == list(phases.ORDER)


def test_the_most_alike_count():
    builds = [
        earlier('other', 'db', 500),
        earlier('older', 'web', 60),
        earlier('k', 'web', 30),
    ]

    def steps(key, name, *, similar=True):
        return phases.expected(builds, key, name, similar=similar).get('steps')

    assert steps('k', 'web') == 30
    assert steps('new', 'web') == 45
    assert steps('new', 'mail') == 60
    assert steps('new', 'mail', similar=False) is None
    assert phases.expected([], 'k', 'web', similar=True) == {}


def test_all_that_was_expected_is_nothing():
    nothing = dict.fromkeys(phases.ORDER, 0.0)
    found = gone('steps', expected=nothing)
    assert math.isfinite(found.share(1, 2, 1000))
    assert found.remaining(1000) is None
