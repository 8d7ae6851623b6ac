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
"""The disk of a conductor's host."""

import os
import types

import pytest

from imagebuild.conductor import claims
from imagebuild.conductor import disk_space

GIB = 1024**3


@pytest.fixture
def conf():
    disks = types.SimpleNamespace(space_reserve=512, max_build_size=100)
    return types.SimpleNamespace(disks=disks)


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """A disk with builds on it; ``used`` is what each takes."""
    disk = types.SimpleNamespace(free=50 * GIB, used={}, now=1000.0, looks=0)

    def allocated(directory):
        disk.looks += 1
        return disk.used[directory.name]

    def make(name, used):
        (tmp_path / name).mkdir()
        disk.used[name] = used
        return tmp_path / name

    def statvfs(_directory):
        return types.SimpleNamespace(f_bavail=disk.free, f_frsize=1)

    disk.make = make
    disk.path = tmp_path
    monkeypatch.setattr(disk_space, 'allocated', allocated)
    monkeypatch.setattr(disk_space.os, 'statvfs', statvfs)
    monkeypatch.setattr(disk_space.time, 'monotonic', lambda: disk.now)
    return disk


def test_a_build_that_grows_beyond_its_limit(conf, disk):
    watch = disk_space.SizeWatch(conf, disk.make('mine', 99 * GIB))
    watch.check()
    disk.used['mine'] = 101 * GIB
    watch.check()
    disk.now += 2
    with pytest.raises(
        claims.AttemptFailed, match='101.0 GiB .* 100.0 GiB'
    ) as info:
        watch.check()
    assert (info.value.fault, info.value.retryable) == ('user', False)
    conf.disks.max_build_size = 0
    watch.check()


def test_the_largest_goes_when_room_is_short(conf, disk):
    large = disk_space.SizeWatch(conf, disk.make('large', 20 * GIB))
    small = disk_space.SizeWatch(conf, disk.make('small', 2 * GIB))
    (disk.path / '.name.lock').write_text('')
    disk.free = 512 * 1024**2
    large.check()
    disk.now += 2
    disk.free -= 1
    small.check()
    with pytest.raises(
        claims.AttemptFailed, match='nearly full.*20.0 GiB'
    ) as info:
        large.check()
    assert (info.value.fault, info.value.retryable) == ('user', False)


def test_a_conversion_took_the_room(conf, disk):
    """It ends itself; a build that is smaller has nothing to do with it."""
    beside = disk.path / 'incoming'
    (beside / 'conversion').mkdir(parents=True)
    disk.used |= {'incoming': 90 * GIB, 'conversion': 90 * GIB}
    mine = disk.make('builds', 0) / 'mine'
    mine.mkdir()
    disk.used['mine'] = 2 * GIB
    disk.free = 0
    watch = disk_space.SizeWatch(conf, mine, beside=beside)
    watch.check()
    failed = claims.AttemptFailed('It is full.', lacks_room=True)
    watch.judge(failed)
    assert failed.lacks_room
    disk.used['conversion'] = GIB
    disk.now += 2
    with pytest.raises(claims.AttemptFailed, match='nearly full'):
        watch.check()


def test_others_than_builds_took_the_room(conf, disk):
    watch = disk_space.SizeWatch(conf, disk.make('mine', GIB))
    disk.free = 0
    with pytest.raises(claims.AttemptFailed) as info:
        watch.check()
    assert (info.value.fault, info.value.retryable) == ('service', True)
    assert info.value.lacks_room


@pytest.mark.parametrize(
    'mine, other, fault',
    [(20, 2, 'user'), (2, 20, 'service'), (1, 0, 'service')],
)
def test_a_job_that_found_no_room(conf, disk, mine, other, fault):
    watch = disk_space.SizeWatch(conf, disk.make('mine', mine * GIB))
    disk.make('other', other * GIB)
    watch.check()
    # It has tidied up before anybody looks.
    disk.used['mine'] = 0
    failed = claims.AttemptFailed('It is full.', lacks_room=True)
    watch.judge(failed)
    assert failed.fault == fault
    assert str(failed) == (
        'It is full. No build on its host takes more than this one, 20.0 GiB.'
        if fault == 'user'
        else 'It is full.'
    )
    assert failed.lacks_room is failed.retryable is (fault == 'service')
    other_fault = claims.AttemptFailed('something else')
    watch.judge(other_fault)
    assert other_fault.fault == 'service'


def test_declined_builds_are_left_alone_for_a_while(disk):
    declined = disk_space.DeclinedBuilds()
    declined.add('a', 0)
    declined.add('b', 2)
    declined.add('c', 99)
    disk.now += 29
    assert declined.ids() == {'a', 'b', 'c'}
    disk.now += 2
    assert declined.ids() == {'b', 'c'}
    disk.now += 569
    assert declined.ids() == set()


def test_room_for_another(conf, disk):
    disk.free = GIB + 512 * 1024**2
    assert disk_space.is_enough_for_another(conf, disk.path)
    disk.free -= 1
    assert not disk_space.is_enough_for_another(conf, disk.path)


def test_a_directory_that_is_not_there_is_not_full(conf, tmp_path):
    assert disk_space.is_enough_for_another(conf, tmp_path / 'none')
    disk_space.SizeWatch(conf, tmp_path / 'none').check()


def test_allocated(tmp_path):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    (tmp_path / 'a' / 'b' / 'data').write_bytes(os.urandom(100_000))
    with (tmp_path / 'a' / 'sparse').open('wb') as file:
        file.truncate(10 * GIB)
    (tmp_path / 'link').symlink_to('/usr')
    (tmp_path / 'pipe').symlink_to(tmp_path)
    os.sync()
    assert 100_000 <= disk_space.allocated(tmp_path) < 1_000_000
