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
"""The text of imagebuild/stores/base.py as tests.

A module that has a store makes it pass them like this::

    class TestMyStore(store_contract.StoreContract):
        @pytest.fixture
        def store(self): ...

        def look(self, store, image_id) -> dict: ...

        def content(self, store, image_id) -> bytes: ...
"""

import abc
import dataclasses
import hashlib
import os
import uuid

import pytest

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.disks import create
from imagebuild.stores import base
from imagebuild.stores import image_change

#: Id of a project.
OWNER = 'b' * 32


class StoreContract(abc.ABC):
    #: Ids of projects that exist where the store is.
    OWNER = OWNER
    MEMBER = 'c' * 32

    @pytest.fixture
    def file(self, tmp_path):
        # A real one: Glance looks into what it is given.
        path = tmp_path / 'disk.qcow2'
        create.empty_image(path, 'qcow2', 1024 * 1024)
        return path

    @pytest.fixture
    def stamp(self):
        return base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()), 'ab' * 32)

    @pytest.fixture
    def image(self):
        return base.ImageProperties(name='web', owner=self.OWNER)

    @abc.abstractmethod
    def look(self, store, image_id):
        """What is said about an image, with Glance's names, and members."""

    @abc.abstractmethod
    def content(self, store, image_id):
        """The image's bytes."""

    # -- upload -------------------------------------------------------------

    def test_upload(self, store, file, image, stamp):
        stored = store.upload(file, image, stamp)
        content = file.read_bytes()
        assert self.content(store, stored.image_id) == content
        assert stored.size == len(content)
        digest = hashlib.new(stored.os_hash_algo, content)
        assert stored.os_hash_value == digest.hexdigest()
        assert store.exists(stored.image_id)
        seen = self.look(store, stored.image_id)
        assert seen['name'] == 'web'
        assert seen['owner'] == self.OWNER
        assert seen['status'] == 'active'
        assert seen['visibility'] == 'private'
        assert seen['disk_format'] == 'qcow2'
        assert seen['container_format'] == 'bare'
        assert seen['imagebuild_build_id'] == stamp.build_id
        assert seen['imagebuild_upload_id'] == stamp.upload_id
        assert seen['imagebuild_content_key'] == stamp.content_key

    def test_everything_said_about_it(self, store, file, stamp):
        image = base.ImageProperties(
            name='web – ünïcödé',
            owner=self.OWNER,
            visibility='shared',
            protected=True,
            tags=['b', 'a', 'a'],
            members=[self.MEMBER],
            properties={'hw_disk_bus': 'virtio', 'os_distro': 'debian'},
            min_disk=4,
            min_ram=512,
        )
        stored = store.upload(file, image, stamp)
        seen = self.look(store, stored.image_id)
        assert seen['name'] == 'web – ünïcödé'
        assert seen['visibility'] == 'shared'
        assert seen['protected'] is True
        assert sorted(seen['tags']) == ['a', 'b']
        assert list(seen['members']) == [self.MEMBER]
        assert seen['hw_disk_bus'] == 'virtio'
        assert seen['os_distro'] == 'debian'
        assert seen['min_disk'] == 4
        assert seen['min_ram'] == 512
        assert store.discard(stamp) == 1
        assert not store.exists(stored.image_id)

    def test_members_make_it_shared(self, store, file, stamp):
        image = base.ImageProperties(
            name='web', owner=self.OWNER, members=[self.MEMBER]
        )
        stored = store.upload(file, image, stamp)
        seen = self.look(store, stored.image_id)
        assert seen['visibility'] == 'shared'

    @pytest.mark.parametrize('visibility', ['public', 'community'])
    def test_visibility(self, store, file, stamp, visibility):
        image = base.ImageProperties(
            name='web', owner=self.OWNER, visibility=visibility
        )
        stored = store.upload(file, image, stamp)
        seen = self.look(store, stored.image_id)
        assert seen['visibility'] == visibility
        # Also one that lists leave out.
        assert store.find(stamp) == stored
        assert store.discard(stamp) == 1

    def test_again_is_the_same_image(self, store, file, image, stamp):
        first = store.upload(file, image, stamp)
        assert store.upload(file, image, stamp) == first
        assert store.discard(stamp) == 1

    def test_another_upload_is_another_image(self, store, file, image, stamp):
        first = store.upload(file, image, stamp)
        other = base.Stamp(stamp.build_id, str(uuid.uuid4()))
        second = store.upload(file, image, other)
        assert second.image_id != first.image_id
        assert store.find(stamp) == first
        assert store.find(other) == second

    def test_progress_comes_to_the_end(self, store, file, image, stamp):
        seen = []
        store.upload(
            file, image, stamp, on_progress=lambda *told: seen.append(told)
        )
        size = file.stat().st_size
        assert seen[-1] == (size, size)
        assert all(done <= total == size for done, total in seen)

    @pytest.mark.parametrize('algo', ['sha256', 'sha512'])
    def test_checksum_that_fits(self, store, file, image, stamp, algo):
        value = hashlib.new(algo, file.read_bytes()).hexdigest()
        checksum = checksums.Checksum(algo, value)
        stored = store.upload(file, image, stamp, checksum=checksum)
        assert store.exists(stored.image_id)

    @pytest.mark.parametrize('algo', ['sha256', 'sha512'])
    def test_file_that_has_changed(self, store, file, image, stamp, algo):
        value = hashlib.new(algo, b'another').hexdigest()
        checksum = checksums.Checksum(algo, value)
        with pytest.raises(exception.ChecksumMismatch):
            store.upload(file, image, stamp, checksum=checksum)
        assert store.find(stamp) is None
        assert store.discard(stamp) == 0

    def test_large_file(self, store, tmp_path, stamp):
        path = tmp_path / 'disk.raw'
        path.write_bytes(os.urandom(1024 * 1024) * 20)
        image = base.ImageProperties('web', self.OWNER, disk_format='raw')
        stored = store.upload(path, image, stamp)
        assert self.content(store, stored.image_id) == path.read_bytes()
        store.delete(stored.image_id)

    # -- refusals -----------------------------------------------------------

    @pytest.mark.parametrize(
        'name',
        ['owner', 'id', 'visibility', 'status', 'imagebuild_build_id']
        + ['os_glance_x', 'os_hidden', 'locations'],
    )
    def test_properties_that_are_none(self, store, file, stamp, name):
        image = base.ImageProperties(
            name='web', owner=self.OWNER, properties={name: 'x'}
        )
        with pytest.raises(exception.InvalidInput, match=name):
            store.upload(file, image, stamp)
        assert store.discard(stamp) == 0

    @pytest.mark.parametrize('visibility', ['private', 'public', 'community'])
    def test_members_of_what_has_none(self, store, file, stamp, visibility):
        image = base.ImageProperties(
            name='web',
            owner=self.OWNER,
            visibility=visibility,
            members=[self.MEMBER],
        )
        with pytest.raises(exception.InvalidInput, match='member'):
            store.upload(file, image, stamp)
        assert store.discard(stamp) == 0

    def test_file_that_is_not_there(self, store, tmp_path, image, stamp):
        with pytest.raises(exception.EnvironmentFault):
            store.upload(tmp_path / 'none', image, stamp)

    def test_no_file_and_no_copy(self, store, image, stamp):
        with pytest.raises(exception.EnvironmentFault, match='no way'):
            store.upload(None, image, stamp)
        assert store.discard(stamp) == 0

    def test_copies_are_not_needed(self, store, file, image, stamp):
        copy = base.ImageCopy(str(uuid.uuid4()), disk_format='qcow2')
        stored = store.upload(
            file, image, stamp, elsewhere=base.Elsewhere([copy])
        )
        assert stored.disk_format == 'qcow2'
        assert self.content(store, stored.image_id) == file.read_bytes()
        assert store.discard(stamp) == 1

    def test_change_tags(self, store, file, image, stamp):
        tagged = dataclasses.replace(
            image, tags=['old', 'thr/ee'], min_disk=4, protected=True
        )
        stored = store.upload(file, tagged, stamp)
        before = dict(self.look(store, stored.image_id))
        for _ in range(2):
            store.change_tags(
                stored.image_id,
                add=['new', 'two words'],
                remove=['old', 'nobody has it'],
            )
            seen = dict(self.look(store, stored.image_id))
            assert sorted(seen['tags']) == ['new', 'thr/ee', 'two words']
        # Nothing else of it.
        changed = {name for name in before if before[name] != seen[name]}
        assert changed <= {'tags', 'updated_at'}
        more = ['.', 'a:b = c@d', 'f\u00fcnf', 'one;two', 'of/one', '100%']
        for _ in range(2):
            store.change_tags(stored.image_id, add=more)
            tags = self.look(store, stored.image_id)['tags']
            assert sorted(tags) == sorted([*seen['tags'], *more])
        store.change_tags(stored.image_id, remove=tags)
        assert list(self.look(store, stored.image_id)['tags']) == []
        store.update(
            stored.image_id,
            image_change.ImageChange(tags=['x'], protected=False),
        )
        store.delete(stored.image_id)
        with pytest.raises(exception.NotFound):
            store.change_tags(str(uuid.uuid4()), add=['new'])

    # -- the rest -----------------------------------------------------------

    def test_delete(self, store, file, image, stamp):
        stored = store.upload(file, image, stamp)
        store.delete(stored.image_id)
        assert not store.exists(stored.image_id)
        assert store.find(stamp) is None
        store.delete(stored.image_id)

    def test_protected_is_not_deleted(self, store, file, image, stamp):
        shielded = dataclasses.replace(image, protected=True)
        stored = store.upload(file, shielded, stamp)
        assert store.is_protected(stored.image_id)
        for _ in range(2):
            with pytest.raises(exception.Conflict, match='is protected: '):
                store.delete(stored.image_id)
            assert store.exists(stored.image_id)
        assert self.look(store, stored.image_id)['protected'] is True
        store.update(
            stored.image_id, image_change.ImageChange(protected=False)
        )
        assert not store.is_protected(stored.image_id)
        store.delete(stored.image_id)
        assert not store.exists(stored.image_id)
        assert not store.is_protected(stored.image_id)

    def test_what_is_protected_is_hidden_if_asked(
        self, store, file, image, stamp
    ):
        shielded = dataclasses.replace(image, protected=True)
        stored = store.upload(file, shielded, stamp)
        for _ in range(2):
            with pytest.raises(exception.Conflict, match='is protected: '):
                store.delete(stored.image_id, hide_undeletable=True)
            assert self.look(store, stored.image_id)['os_hidden'] is True
        # It is found as before, and is no second image for an upload.
        assert store.exists(stored.image_id)
        assert store.find(stamp) == stored
        assert [one.hidden for one in self.mine(store, stamp)] == [True]
        assert store.upload(file, shielded, stamp) == stored
        assert store.discard(stamp) == 1
        assert not store.exists(stored.image_id)

    # -- what a cloud has made ----------------------------------------------

    def test_only_some_adopt(self, store, image, stamp):
        made = artifacts.ImageArtifact(
            str(uuid.uuid4()),
            artifacts.AttemptStamp('service', stamp.build_id, 1),
        )
        told = 'not in Glance' if store.adopts else 'takes files'
        with pytest.raises(exception.EnvironmentFault, match=told):
            store.adopt(made, image, stamp)

    # -- the bytes ----------------------------------------------------------

    @pytest.mark.parametrize('offset', [0, 1000, 1024 * 1024])
    def test_an_image_is_given_back(self, store, tmp_path, stamp, offset):
        content = os.urandom(1024 * 1024)
        path = tmp_path / 'disk.raw'
        path.write_bytes(content)
        image = base.ImageProperties('web', self.OWNER, disk_format='raw')
        stored = store.upload(path, image, stamp)
        with store.data(stored.image_id, offset) as stream:
            assert stream.offset in (0, offset)
            assert stream.total == len(content)
            assert b''.join(stream) == content[stream.offset :]
        assert store.discard(stamp) == 1

    @pytest.mark.parametrize('image_id', [str(uuid.uuid4()), '../x'])
    def test_bytes_of_what_is_not_there(self, store, image_id):
        with pytest.raises(exception.NotFound), store.data(image_id):
            raise AssertionError

    # -- leaks --------------------------------------------------------------

    def mine(self, store, stamp):
        return [one for one in store.list_stamped() if one.stamp == stamp]

    def test_stamped_images_are_listed(self, store, file, image, stamp):
        assert self.mine(store, stamp) == []
        stored = store.upload(file, image, stamp)
        [found] = self.mine(store, stamp)
        assert found.image_id == stored.image_id
        assert (found.status, found.protected) == ('active', False)
        assert found.created_at.endswith('Z')
        assert len(list(store.list_stamped(limit=1))) == 1
        assert store.discard(stamp) == 1
        assert self.mine(store, stamp) == []

    # -- update -------------------------------------------------------------

    def test_update(self, store, file, stamp):
        first = base.ImageProperties(
            name='web',
            owner=self.OWNER,
            visibility='shared',
            members=[self.MEMBER],
            tags=['old'],
            properties={'os_distro': 'debian', 'hw_disk_bus': 'virtio'},
        )
        stored = store.upload(file, first, stamp)
        second = image_change.ImageChange(
            name='web two',
            visibility='private',
            protected=True,
            tags=['new', 'new'],
            properties={'os_distro': 'ubuntu'},
            dropped=['hw_disk_bus', 'os_distro', 'nothing'],
            min_ram=64,
        )
        for _ in range(2):
            store.update(stored.image_id, second)
            seen = self.look(store, stored.image_id)
            assert seen['name'] == 'web two'
            assert seen['visibility'] == 'private'
            assert not list(seen.get('members') or ())
            assert seen['protected'] is True
            assert list(seen['tags']) == ['new']
            assert seen['os_distro'] == 'ubuntu'
            assert 'hw_disk_bus' not in seen
            assert seen['min_ram'] == 64
        # What it is stays, and who made it.
        assert seen['owner'] == self.OWNER
        assert seen['disk_format'] == 'qcow2'
        assert seen['imagebuild_upload_id'] == stamp.upload_id
        assert seen['os_hash_value'] == stored.os_hash_value
        back = image_change.ImageChange(
            visibility='shared', members=[self.MEMBER], protected=False
        )
        store.update(stored.image_id, back)
        assert list(self.look(store, stored.image_id)['members']) == [
            self.MEMBER
        ]
        store.delete(stored.image_id)

    def test_everything_is_made_empty(self, store, file, image, stamp):
        full = dataclasses.replace(
            image,
            visibility='shared',
            members=[self.MEMBER],
            tags=['one', 'two words', 'thr/ee'],
            properties={'os_distro': 'debian', 'description': 'of a build'},
            protected=True,
            min_disk=4,
            min_ram=512,
        )
        stored = store.upload(file, full, stamp)
        empty = image_change.ImageChange(
            protected=False,
            tags=[],
            members=[],
            properties={'os_distro': ''},
            dropped=['description'],
            min_disk=0,
            min_ram=0,
        )
        for _ in range(2):
            store.update(stored.image_id, empty)
            seen = self.look(store, stored.image_id)
            assert list(seen['tags']) == []
            assert list(seen['members']) == []
            assert 'description' not in seen
            assert seen['os_distro'] == ''
            assert seen['protected'] is False
            assert (seen['min_disk'], seen['min_ram']) == (0, 0)
        assert seen['imagebuild_upload_id'] == stamp.upload_id
        store.delete(stored.image_id)

    def test_what_is_not_asked_for_stays(self, store, file, image, stamp):
        # Whoever has set it: the store does not know.
        full = dataclasses.replace(
            image,
            visibility='shared',
            members=[self.MEMBER],
            tags=['of somebody'],
            properties={'os_distro': 'debian', 'mine': 'x'},
            protected=True,
            min_disk=4,
            min_ram=512,
        )
        stored = store.upload(file, full, stamp)
        before = dict(self.look(store, stored.image_id))
        for change, changed in (
            (image_change.ImageChange(name='web two'), {'name'}),
            (image_change.ImageChange(tags=['new']), {'tags'}),
            (image_change.ImageChange(properties={'mine': ''}), {'mine'}),
            (image_change.ImageChange(), set()),
        ):
            store.update(stored.image_id, change)
            seen = dict(self.look(store, stored.image_id))
            found = {name for name in seen if seen[name] != before[name]}
            assert found - {'updated_at'} == changed
            before = seen
        assert store.discard(stamp) == 1

    def test_an_update_that_only_adds(self, store, file, image, stamp):
        private = dataclasses.replace(
            image,
            tags=['a'],
            properties={'os_distro': 'debian'},
            min_disk=4,
            min_ram=512,
        )
        stored = store.upload(file, private, stamp)
        more = image_change.ImageChange(
            name='not taken',
            protected=True,
            tags=['b', 'a'],
            members=[self.MEMBER],
            properties={'os_distro': 'other', 'mine': 'x'},
            dropped=['os_distro'],
            min_disk=2,
            min_ram=1024,
            only_adds=True,
        )
        shared = dataclasses.replace(more, visibility='shared')
        for change, members in ((more, []), (shared, [self.MEMBER])):
            store.update(stored.image_id, change)
            seen = self.look(store, stored.image_id)
            assert list(seen.get('members') or ()) == members
            assert (seen['name'], seen['protected']) == ('web', True)
            assert sorted(seen['tags']) == ['a', 'b']
            assert (seen['os_distro'], seen['mine']) == ('debian', 'x')
            assert (seen['min_disk'], seen['min_ram']) == (4, 1024)
        less = image_change.ImageChange(
            visibility='private', protected=False, tags=[], members=[],
            min_disk=0, min_ram=0, only_adds=True,
        )  # fmt: skip
        store.update(stored.image_id, less)
        after = self.look(store, stored.image_id)
        assert sorted(after['tags']) == ['a', 'b']
        for name in set(seen) - {'tags', 'updated_at'}:
            assert after[name] == seen[name]
        assert store.discard(stamp) == 1

    def test_update_of_what_is_not_there(self, store):
        with pytest.raises(exception.NotFound):
            store.update(str(uuid.uuid4()), image_change.ImageChange(name='x'))

    def test_update_that_is_refused(self, store, file, image, stamp):
        stored = store.upload(file, image, stamp)
        for bad in (
            image_change.ImageChange(name='x', properties={'owner': 'me'}),
            image_change.ImageChange(
                name='x', visibility='private', members=[self.MEMBER]
            ),
        ):
            with pytest.raises(exception.InvalidInput):
                store.update(stored.image_id, bad)
        seen = self.look(store, stored.image_id)
        assert (seen['owner'], seen['name']) == (self.OWNER, 'web')
        store.delete(stored.image_id)

    # -- the rest -----------------------------------------------------------

    @pytest.mark.parametrize('image_id', [str(uuid.uuid4()), '../x', ''])
    def test_what_is_not_there(self, store, image_id):
        assert not store.exists(image_id)
        store.delete(image_id)

    def test_find_and_discard_nothing(self, store, stamp):
        assert store.find(stamp) is None
        assert store.discard(stamp) == 0

    def test_after_discard_it_can_be_uploaded(self, store, file, image, stamp):
        first = store.upload(file, image, stamp)
        assert store.discard(stamp) == 1
        assert not store.exists(first.image_id)
        second = store.upload(file, image, stamp)
        assert store.exists(second.image_id)
        assert store.discard(stamp) == 1
