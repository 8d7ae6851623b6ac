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
"""The directory that the layers of all runs are in."""

import os
import pathlib
import stat
import time

import pytest

from imagebuild import exception
from imagebuild.layers import entries
from imagebuild.layers import store as stores

HOUR = 3600
KIB = 1024


def layer(uuid='u1', parent='', **values):
    known = {
        'uuid': uuid,
        'parent': parent,
        'base': 'b',
        'virtual_size': 1024,
        'sha256': '',
        'stamp': (0, 0, 0),
        'created': time.time(),
        'fetched': None,
        'scope': 'p',
        'state': {'outputs': {}},
    }
    return entries.Layer(**known | values)


@pytest.fixture
def make(tmp_path):
    def make(**limits):
        return stores.Store(tmp_path / 'store', stores.Limits(**limits))

    return make


@pytest.fixture
def disk(tmp_path):
    made = []

    def disk(size=64 * KIB):
        path = tmp_path / f'disk{len(made)}'
        path.write_bytes(os.urandom(size))
        made.append(path)
        return path

    return disk


@pytest.fixture
def put(disk):
    def put(store, name='n1', size=64 * KIB, **values):
        """Put a layer in, and use it no longer."""
        held = store.put(name, disk(size), layer(**values))
        held.release()
        return held

    return put


def names(store):
    return sorted(path.name for path in (store.directory / 'layers').iterdir())


def age(held, seconds):
    when = time.time() - seconds
    os.utime(held.directory / 'lock', (when, when))


def test_what_was_put_in_is_there(make, disk):
    store, file = make(), disk()
    held = store.put('n1', file, layer())
    held.release()
    taken = make().take('n1')
    assert taken.layer.state == {'outputs': {}}
    assert taken.path.read_bytes() == file.read_bytes()
    assert make().take('n2') is None


def test_its_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert stores.Store(pathlib.Path('x')).directory == tmp_path / 'x'


def test_nobody_else_may_look_at_it(make, put):
    store = make()
    held = put(store)
    for path, mode in (
        (store.directory, 0o700),
        (held.directory, 0o700),
        (store.directory / 'secret', 0o600),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_keys_are_the_stores_own(make, tmp_path):
    first = make().digest('x')
    assert make().digest('x') == first
    assert stores.Store(tmp_path / 'other').digest('x') != first


def test_a_secret_that_is_damaged_is_made_again(make):
    store = make()
    (store.directory / 'secret').write_bytes(b'short')
    assert len((make().directory / 'secret').read_bytes()) == 32


def test_a_directory_that_others_may_write_to_is_refused(tmp_path):
    directory = tmp_path / 'store'
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(exception.InvalidInput, match='nobody else may write'):
        stores.Store(directory)


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / 'store').write_text('')
    with pytest.raises(exception.InvalidInput, match='is not a directory'):
        stores.Store(tmp_path / 'store')


def test_facts_are_kept(make):
    make().learn('b', {'a': 1})
    assert make().facts('b') == {'a': 1}
    assert make().facts('c') is None


@pytest.mark.parametrize('text', ['', '{', '[]', '\0'])
def test_facts_that_are_damaged_are_none(make, text):
    store = make()
    (store.directory / 'facts' / 'b.json').write_text(text)
    assert store.facts('b') is None


# -- damage -----------------------------------------------------------------


def overwrite(held):
    content = held.path.read_bytes()
    held.path.write_bytes(b'X' + content[1:])


def rot(held):
    """The content changes and the time does not; the size does."""
    status = held.path.stat()
    with held.path.open('ab') as file:
        file.write(b'X')
    os.utime(held.path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    'damage',
    [
        overwrite,
        rot,
        lambda held: os.truncate(held.path, 100),
        lambda held: held.path.unlink(),
        lambda held: (held.directory / 'layer.json').write_text('{}'),
        lambda held: (held.directory / 'layer.json').write_text('['),
        lambda held: (held.directory / 'layer.json').unlink(),
        lambda held: (held.directory / 'layer.json').write_bytes(b'\xff'),
    ],
)
def test_what_is_damaged_is_not_there_and_is_removed(make, put, damage):
    store = make()
    damage(put(store))
    assert store.take('n1') is None
    assert names(store) == []


def test_a_description_that_was_edited_is_damaged(make, put):
    store = make()
    described = put(store).directory / 'layer.json'
    described.write_text(described.read_text().replace('"p"', '""'))
    assert store.take('n1') is None


def test_a_file_that_was_only_touched_is_whole(make, put):
    store = make()
    held = put(store)
    held.path.touch()
    assert store.take('n1') is not None


def test_what_cannot_be_linked_is_copied(make, disk, monkeypatch):
    def refuse(*args):
        raise OSError(18, 'Invalid cross-device link')

    store, file = make(), disk()
    monkeypatch.setattr(stores.os, 'link', refuse)
    store.put('n1', file, layer()).release()
    assert store.take('n1').path.read_bytes() == file.read_bytes()


def test_a_full_disk_leaves_nothing(make, disk, monkeypatch):
    def refuse(*args):
        raise OSError(28, 'No space left on device')

    store = make()
    monkeypatch.setattr(stores, '_link_or_copy', refuse)
    with pytest.raises(OSError, match='No space'):
        store.put('n1', disk(), layer())
    assert list((store.directory / 'incoming').iterdir()) == []


# -- several at once ---------------------------------------------------------


def test_a_layer_in_use_is_not_replaced(make, put, disk):
    store = make()
    put(store, uuid='first')
    taken = store.take('n1')
    assert make().put('n1', disk(), layer('second')) is None
    taken.release()
    make().put('n1', disk(), layer('second')).release()
    assert store.take('n1').layer.uuid == 'second'
    assert list((store.directory / 'incoming').iterdir()) == []


def test_a_layer_that_was_just_put_in_is_in_use(make, disk):
    held = make().put('n1', disk(), layer())
    other = make(max_bytes=1)
    other.bound()
    assert names(other) == ['n1']
    held.release()
    other.bound()
    assert names(other) == []


def test_a_layer_that_is_being_made_or_removed_is_not_there(make, put):
    store = make()
    held = put(store)
    taken = entries.locked_directory.LockedDirectory.take(held.directory)
    assert store.take('n1') is None
    assert names(store) == ['n1']
    taken.remove()
    assert store.take('n1') is None


def test_what_killed_processes_left_is_swept_by_the_next(make):
    store = make()
    incoming = store.directory / 'incoming'
    for name in ('begun', 'locked once'):
        (incoming / name).mkdir()
    (incoming / 'locked once' / 'lock').touch()
    (incoming / 'locked once' / 'disk.qcow2').touch()
    writing = entries.locked_directory.LockedDirectory.make(incoming)
    make()
    assert list(incoming.iterdir()) == [writing.path]
    writing.remove()


# -- limits -----------------------------------------------------------------


def test_those_unused_for_longest_go_first(make, put):
    store = make(max_bytes=200 * KIB)
    for number in range(4):
        age(put(store, f'n{number}', uuid=f'u{number}'), 100 - number)
    store.take('n0').release()
    store.bound()
    assert names(store) == ['n0', 'n2', 'n3']


def test_no_layer_goes_before_those_over_it(make, put):
    store = make(max_bytes=130 * KIB)
    age(put(store, 'n1', uuid='u1'), 100)
    age(put(store, 'n2', uuid='u2', parent='u1'), 50)
    age(put(store, 'n3', uuid='u3', parent='u2'), 10)
    store.bound()
    assert names(store) == ['n1', 'n2']


def test_a_layer_whose_child_is_in_use_stays(make, put):
    store = make(max_bytes=1)
    put(store, 'n1', uuid='u1')
    put(store, 'n2', uuid='u2', parent='u1')
    taken = store.take('n2')
    store.bound()
    assert names(store) == ['n1', 'n2']
    taken.release()
    store.bound()
    assert names(store) == []


def test_what_lies_unused_for_too_long_goes(make, put):
    store = make(max_age=HOUR)
    age(put(store, 'n1', uuid='u1'), HOUR + 10)
    age(put(store, 'n2', uuid='u2'), HOUR - 10)
    store.learn('b', {})
    os.utime(store.directory / 'facts' / 'b.json', (0, 0))
    store.bound()
    assert names(store) == ['n2']
    assert store.facts('b') is None


def test_what_has_lost_its_parent_goes(make, put):
    store = make()
    put(store, 'n2', uuid='u2', parent='gone')
    store.bound()
    assert names(store) == []


def test_what_is_too_large_has_no_room(make):
    assert make(max_bytes=128 * KIB).has_room(64 * KIB)
    assert not make(max_bytes=32 * KIB).has_room(64 * KIB)
    assert not make(reserve=2**62).has_room(0)


def test_its_size_is_that_on_the_disk(make, put):
    store = make()
    put(store, 'n1', uuid='u1')
    put(store, 'n2', uuid='u2')
    assert store.size() == 2 * 64 * KIB
