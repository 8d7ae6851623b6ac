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
import dataclasses
import json
import uuid
from unittest import mock

import pytest

from imagebuild import db
from imagebuild.conductor import image_update
from imagebuild.stores import base
from imagebuild.stores import file
from imagebuild.stores import image_change

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


# -- what a request changes -------------------------------------------------


def change_of(changes, *requests):
    """What changes of an image when its last build asks for that."""
    before = image_update.merged(requests)
    *others, last = requests
    after = image_update.merged([*others, {**last, **changes}])
    return image_update.replacement(changes, before, after)


@pytest.mark.parametrize('name', [*FIRST, 'nothing'])
def test_only_what_is_asked_for_changes(name):
    changes = {name: FIRST[name]} if name in FIRST else {}
    changes.pop('packages', None)
    # Given, but as it was: somebody may have changed it in the store.
    assert change_of(changes, FIRST) == image_change.ImageChange(**changes)


def test_who_takes_a_protection_back():
    false, true = {'protected': False}, {'protected': True}
    shielded = {**FIRST, **true}
    for changes, requests, found in (
        (false, [shielded], False),
        # Protected in the store: the one who asks for that may have it.
        (false, [FIRST], False),
        (false, [FIRST, shielded], False),
        (false, [shielded, shielded], None),
        (false, [shielded, FIRST], None),
        (true, [FIRST, FIRST], True),
        ({'tags': ['x']}, [shielded], None),
    ):
        assert change_of(changes, *requests).protected is found


def test_what_is_another_builds_to_say():
    other = {**FIRST, 'min_disk': 4, 'properties': {'os_distro': 'other'}}
    changes = {'name': 'x', 'visibility': 'public', 'properties': {'b': '1'}}
    found = change_of(changes, {**FIRST, 'properties': {}}, other)
    assert found == image_change.ImageChange(
        properties={'b': '1'}, dropped=('os_distro',)
    )
    assert change_of({'min_disk': 0}, FIRST, other).min_disk == 2
    found = change_of({'properties': {'one': '2'}}, FIRST, other)
    # The oldest says what it is, and nobody else has the other one.
    assert found == image_change.ImageChange(properties={'one': '1'})


def test_a_visibility_without_members():
    found = change_of({'visibility': 'public', 'members': []}, FIRST)
    assert (found.visibility, found.members) == ('public', [])
    private = {**FIRST, 'visibility': 'private', 'members': []}
    found = change_of({'members': ['m2']}, private, FIRST)
    assert (found.visibility, found.members) == (None, ['m2'])
    found = change_of({'members': ['m2']}, private, {**FIRST, 'members': []})
    assert (found.visibility, found.members) == ('shared', ['m2'])


SECOND = {
    'name': 'second',
    'protected': True,
    'tags': ['b', 'a'],
    'members': ['m1'],
    'properties': {'os_distro': 'other', 'two': '2'},
    'min_disk': 1,
    'min_ram': 1024,
}


def test_a_build_that_comes_only_adds():
    """All that it asks for: the store knows what it lacks."""
    both = image_update.merged([FIRST, SECOND])
    assert image_update.addition(both, [SECOND]) == image_change.ImageChange(
        visibility='shared',
        protected=True,
        tags=['b', 'a'],
        members=['m1'],
        properties={'os_distro': 'debian', 'two': '2'},
        min_disk=1,
        min_ram=1024,
        only_adds=True,
    )
    plain = {'name': 'plain'}
    both = image_update.merged([FIRST, plain])
    assert image_update.addition(both, [plain]).is_empty
    assert image_update.addition(FIRST, []).is_empty


@pytest.mark.parametrize(
    'visibility, shown, members',
    [
        ('private', 'shared', ['m1']),
        ('public', None, None),
        (None, None, ['m1']),
    ],
)
def test_members_of_a_build_that_comes(visibility, shown, members):
    first = {'name': 'first', 'visibility': visibility}
    both = image_update.merged([first, SECOND])
    found = image_update.addition(both, [SECOND])
    assert (found.visibility, found.members) == (shown, members)


# -- with a store -----------------------------------------------------------


@dataclasses.dataclass
class Stored:
    """An image in a store, and the builds that have it, the oldest first."""

    store: base.Store
    image_id: str
    builds: dict = dataclasses.field(default_factory=dict)

    def build(self, id, *, least=0, **request):
        """Have one more build."""
        self.builds[id] = mock.Mock(
            spec_set=['id', 'base', 'request', 'images'],
            id=id,
            base={'min_disk': least},
            request={**FIRST, 'members': [], **request},
            images=[
                mock.Mock(
                    status='active', image_id=self.image_id, destination=''
                )
            ],
        )
        return self.builds[id]

    def update(self, id, **changes):
        assert self._call(image_update.update_image, id, changes) == []

    def settle(self, build, followers):
        self._call(image_update.settle, build, followers)

    def _call(self, function, *args):
        database = mock.create_autospec(db.Database, instance=True)
        database.get_build.side_effect = self.builds.get
        database.users_of_image.return_value = [*self.builds.values()]
        database.channel_tags.return_value = ['of-a-channel']
        return function(database, lambda _destination: self.store, *args)

    def seen(self):
        path = self.store.directory / self.image_id / 'metadata.json'
        return json.loads(path.read_text())

    def by_hand(self, **values):
        """Change it as users of the store do."""
        path = self.store.directory / self.image_id / 'metadata.json'
        path.write_text(json.dumps({**self.seen(), **values}))


@pytest.fixture
def stored(tmp_path):
    store = file.FileStore(tmp_path / 'images')
    path = tmp_path / 'disk'
    path.write_bytes(b'a disk')
    image = base.ImageProperties('first', 'p', tags=['a'], visibility='shared')
    stamp = base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()))
    return Stored(store, store.upload(path, image, stamp).image_id)


BY_HAND = {
    'name': 'by hand',
    'visibility': 'private',
    'protected': True,
    'properties_of_mine': 'x',
    'os_distro': 'mine',
    'min_disk': 20,
    'min_ram': 4096,
}


def test_what_was_set_in_the_store_stays(stored):
    stored.build('first')
    stored.by_hand(tags=['a', 'tested'], **BY_HAND)
    stored.update('first', tags=['b'])
    assert {**stored.seen(), **BY_HAND} == stored.seen()
    assert stored.seen()['tags'] == ['b', 'of-a-channel']
    stored.by_hand(tags=['b', 'tested'])
    stored.build('second', name='two', tags=['c'], min_disk=10, min_ram=5000)
    stored.update('second')
    assert {**stored.seen(), **BY_HAND, 'min_ram': 5000} == stored.seen()
    assert sorted(stored.seen()['tags']) == ['b', 'c', 'tested']
    stored.update('first', protected=False)
    now = stored.seen()
    assert not now['protected']
    assert sorted(now['tags']) == ['b', 'c', 'tested']


def test_builds_that_waited_only_add(stored):
    first = stored.build('first')
    second = stored.build('second', name='two', tags=['c'], protected=True)
    stored.by_hand(name='by hand', tags=['a', 'tested'])
    stored.settle(first, [second])
    seen = stored.seen()
    assert sorted(seen['tags']) == ['a', 'c', 'tested']
    assert (seen['name'], seen['protected']) == ('by hand', True)
    # Whoever has made it is gone: what another wants is added all the same.
    stored.builds.clear()
    stored.build('third', tags=['d'])
    stored.update('third')
    assert sorted(stored.seen()['tags']) == ['a', 'c', 'd', 'tested']


def test_two_builds_come_with_the_same(stored):
    """Neither relies on the other, whose change may fail or be undone."""
    same = {
        'tags': ['t'],
        'protected': True,
        'members': ['p'],
        'properties': {'k': 'v'},
        'min_ram': 1024,
    }
    stored.build('maker', visibility='private')
    stored.by_hand(visibility='private')
    stored.build('one', **same)
    stored.build('two', **same)
    stored.update('one')
    for undone in ({}, {'protected': False}, {'tags': [], 'members': []}):
        stored.by_hand(**undone)
        stored.update('two')
        seen = stored.seen()
        assert (seen['protected'], seen['tags'][-1:]) == (True, ['t'])
        assert (seen['visibility'], seen['members']) == ('shared', ['p'])
        assert (seen['k'], seen['min_ram']) == ('v', 1024)


def test_the_disk_that_a_build_needs(stored):
    stored.build('first', least=3)
    stored.update('first', min_disk=1)
    assert stored.seen()['min_disk'] == 3
    stored.build('second', least=5, min_disk=0)
    stored.update('second')
    assert stored.seen()['min_disk'] == 5
    stored.update('first', min_disk=8)
    assert stored.seen()['min_disk'] == 8
    stored.update('first', min_disk=0)
    assert stored.seen()['min_disk'] == 5
