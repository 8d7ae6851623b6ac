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
"""What stores do that take images which a cloud has made.

As :mod:`tests.contract.store_contract`, which is a part of it.
"""

import abc
import dataclasses
import hashlib
import uuid

import pytest

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.stores import base
from imagebuild.stores import image_change
from tests.contract import store_contract


class AdoptionContract(store_contract.StoreContract):
    """What stores do beside it that take images which a cloud has made."""

    #: What Nova says of its snapshots, and what they have of their base
    #: images, some of it.
    ORIGIN = {
        'base_image_ref': str(uuid.uuid4()),
        'boot_roles': 'member',
        'image_state': 'available',
        'image_type': 'snapshot',
        'instance_uuid': str(uuid.uuid4()),
        'owner_specified.openstack.md5': 'ab' * 16,
        'owner_user_name': 'imagebuild',
        'user_id': 'ab' * 16,
        'imagebuild_of_the_base': 'x',
    }

    @pytest.fixture
    def attempt(self, stamp):
        return artifacts.AttemptStamp('some-service', stamp.build_id, 1)

    @abc.abstractmethod
    def make(self, store, content, values):
        """Have an image of the service user's project.

        :param content: its bytes; none for an image without data.
        :param values: fields and properties.
        :returns: its id.
        """

    @pytest.fixture
    def made(self, store, file, attempt):
        return self.made_by(store, file.read_bytes(), attempt)

    def made_by(self, store, content, attempt):
        values = {
            'disk_format': 'qcow2',
            'container_format': 'bare',
            'min_disk': 3,
            'min_ram': 256,
            'hw_disk_bus': 'virtio',
            # Its base image was one of ours.
            'imagebuild_image_id': str(uuid.uuid4()),
            'imagebuild_upload_id': str(uuid.uuid4()),
            **self.ORIGIN,
            **attempt.properties(),
        }
        image_id = self.make(store, content, values)
        return artifacts.ImageArtifact(image_id, attempt)

    def test_adopt(self, store, file, made, stamp):
        assert self.mine(store, stamp) == []
        image = base.ImageProperties(
            name='web',
            owner=self.OWNER,
            disk_format='raw',
            protected=True,
            tags=['b', 'a'],
            members=[self.MEMBER],
            properties={'os_distro': 'debian'},
            min_disk=2,
            min_ram=512,
        )
        content = file.read_bytes()
        for _ in range(2):
            stored = store.adopt(made, image, stamp)
            assert stored.image_id == made.image_id
            assert stored.size == len(content)
            assert stored.disk_format == 'qcow2'
            digest = hashlib.new(stored.os_hash_algo, content)
            assert stored.os_hash_value == digest.hexdigest()
            seen = self.look(store, stored.image_id)
            assert seen['name'] == 'web'
            assert seen['owner'] == self.OWNER
            assert seen['visibility'] == 'shared'
            assert list(seen['members']) == [self.MEMBER]
            assert seen['protected'] is True
            assert sorted(seen['tags']) == ['a', 'b']
            # What its disk needs is not made less.
            assert (seen['min_disk'], seen['min_ram']) == (3, 512)
            assert seen['os_distro'] == 'debian'
            # Of the base image, and good for this one.
            assert seen['hw_disk_bus'] == 'virtio'
            assert seen['imagebuild_image_id'] == made.image_id
            assert seen['imagebuild_build_id'] == stamp.build_id
            assert seen['imagebuild_upload_id'] == stamp.upload_id
            assert seen['imagebuild_content_key'] == stamp.content_key
            assert not {'imagebuild_attempt', *self.ORIGIN} & set(seen)
        assert store.find(stamp) == stored
        [found] = self.mine(store, stamp)
        assert found.image_id == made.image_id
        assert store.discard(stamp) == 1
        assert not store.exists(made.image_id)

    def test_its_disk_is_never_made_less(self, store, made, image, stamp):
        asked = dataclasses.replace(image, min_disk=8)
        image_id = store.adopt(made, asked, stamp).image_id
        for change, seen in (
            (image_change.ImageChange(tags=['x']), 8),
            (image_change.ImageChange(min_disk=0, min_ram=0), 3),
            (image_change.ImageChange(min_disk=5), 5),
            (image_change.ImageChange(min_disk=2), 3),
        ):
            store.update(image_id, change)
            assert self.look(store, image_id)['min_disk'] == seen
        assert store.discard(stamp) == 1

    def test_what_is_asked_for_is_checked_first(self, store, made, stamp):
        image = base.ImageProperties(
            name='web', owner=self.OWNER, properties={'owner': 'me'}
        )
        with pytest.raises(exception.InvalidInput, match=r'properties\.owner'):
            store.adopt(made, image, stamp)
        assert self.look(store, made.image_id)['image_type'] == 'snapshot'
        assert store.discard(stamp) == 0

    def test_another_attempts_image_is_not_adopted(
        self, store, made, image, stamp
    ):
        other = dataclasses.replace(
            made, stamp=dataclasses.replace(made.stamp, attempt=2)
        )
        with pytest.raises(exception.EnvironmentFault, match='its mark'):
            store.adopt(other, image, stamp)
        seen = self.look(store, made.image_id)
        assert seen['imagebuild_attempt'] == f'{stamp.build_id}/1'
        assert seen['owner'] != self.OWNER

    def test_an_image_without_data_is_not_adopted(
        self, store, attempt, image, stamp
    ):
        made = self.made_by(store, b'', attempt)
        with pytest.raises(exception.EnvironmentFault, match='is queued'):
            store.adopt(made, image, stamp)

    def test_a_later_attempt_takes_the_place_of_the_former(
        self, store, file, made, attempt, image, stamp
    ):
        store.adopt(made, image, stamp)
        later = dataclasses.replace(attempt, attempt=2)
        again = self.made_by(store, file.read_bytes(), later)
        assert store.adopt(again, image, stamp).image_id == again.image_id
        assert not store.exists(made.image_id)
        assert store.discard(stamp) == 1
