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
"""The store contract over every store that is registered."""

import dataclasses
import json
import threading
from concurrent import futures

import pytest

from imagebuild import exception
from imagebuild.stores import base
from imagebuild.stores import image_change
from imagebuild.stores import registry
from tests import fake_glance
from tests.contract import adoption_contract
from tests.contract import store_contract
from tests.unit.stores import test_image_signature

SIGNING_KEY = test_image_signature.KEYS['RSA-PSS']

_AT_ONCE = 8


class AtOnce:
    """No part of the contract: Glance itself changes an image as a whole."""

    def test_additions_at_the_same_time(self, store, file, image, stamp):
        shared = dataclasses.replace(image, visibility='shared', tags=['a'])
        stored = store.upload(file, shared, stamp)
        wanted = [f'{number} of {_AT_ONCE}' for number in range(_AT_ONCE)]
        together = threading.Barrier(_AT_ONCE)

        def add(number):
            more = image_change.ImageChange(
                tags=[wanted[number], 'a'],
                members=[f'{number}' * 32],
                properties={f'mine_{number}': 'x'},
                only_adds=True,
            )
            together.wait(60)
            if number % 2:
                store.update(stored.image_id, more)
            else:
                store.change_tags(stored.image_id, add=more.tags)

        with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(add, range(_AT_ONCE)))
        seen = self.look(store, stored.image_id)
        assert sorted(seen['tags']) == [*wanted, 'a']
        assert len(list(seen['members'])) == _AT_ONCE // 2
        assert len([one for one in seen if 'mine_' in one]) == _AT_ONCE // 2
        assert store.discard(stamp) == 1


class TestGlanceStore(AtOnce, adoption_contract.AdoptionContract):
    @pytest.fixture
    def glance(self):
        with fake_glance.FakeGlance() as glance:
            yield glance

    @pytest.fixture
    def store(self, glance):
        store = registry.load('glance', glance.config)
        store.glance_of_test = glance
        return store

    def look(self, store, image_id):
        glance = store.glance_of_test
        members = glance.members.get(image_id, {})
        return {**glance.images[image_id], 'members': members}

    def content(self, store, image_id):
        return store.glance_of_test.data[image_id]

    def make(self, store, content, values):
        return store.glance_of_test.add(content, **values)['id']

    def test_an_image_that_names_a_volume(
        self, store, glance, attempt, image, stamp
    ):
        made = self.made_by(store, b'', attempt)
        glance.images[made.image_id].update(status='active', size=0)
        with pytest.raises(exception.EnvironmentFault, match='names a volume'):
            store.adopt(made, image, stamp)

    @pytest.mark.parametrize('owner', ['service', store_contract.OWNER])
    def test_of_which_project_it_may_be(
        self, store, glance, made, image, stamp, owner, monkeypatch
    ):
        monkeypatch.setattr(store._glance, 'project_id', lambda: 'service')
        record = glance.images[made.image_id]
        with pytest.raises(exception.EnvironmentFault, match='somebody'):
            store.adopt(made, image, stamp)
        record['owner'] = owner
        store.adopt(made, image, stamp)
        assert record['owner'] == self.OWNER

    def test_a_member_that_glance_refuses(self, store, glance, made, stamp):
        image = base.ImageProperties(
            name='web', owner=self.OWNER, members=[self.MEMBER]
        )
        glance.fail('POST', '/members', 403, 'Not him.')
        with pytest.raises(exception.InvalidInput, match='Not him'):
            store.adopt(made, image, stamp)
        assert not store.exists(made.image_id)


class TestSigningGlanceStore(TestGlanceStore):
    """One that signs what it uploads does all the same."""

    @pytest.fixture
    def store(self, glance, tmp_path):
        key = tmp_path / 'signing.pem'
        key.write_bytes(test_image_signature.pem(SIGNING_KEY))
        signing = {
            'private_key': str(key),
            'certificate_uuid': test_image_signature.UUID,
        }
        store = registry.load('glance', {**glance.config, 'signing': signing})
        store.glance_of_test = glance
        return store

    def test_the_signature_is_there_before_the_data(
        self, store, glance, file, image, stamp, barbican, monkeypatch
    ):
        certificate = test_image_signature.certificate(SIGNING_KEY)
        barbican[test_image_signature.UUID] = certificate
        sent, real = [], store._glance.send

        def send(image_id, *args, **kwargs):
            test_image_signature.verify(
                glance.images[image_id], file.read_bytes()
            )
            sent.append(image_id)
            return real(image_id, *args, **kwargs)

        monkeypatch.setattr(store._glance, 'send', send)
        stored = store.upload(file, image, stamp)
        assert sent == [stored.image_id]
        # Whoever changes the image later does not lose it.
        for change in (
            image_change.ImageChange(name='x', dropped=['img_signature']),
            image_change.ImageChange(properties={'os_distro': 'debian'}),
        ):
            store.update(stored.image_id, change)
        found = glance.images[stored.image_id]
        assert found['img_signature_key_type'] == 'RSA-PSS'

    def test_a_key_that_is_gone_uploads_nothing(
        self, store, glance, file, image, stamp, tmp_path
    ):
        (tmp_path / 'signing.pem').unlink()
        with pytest.raises(exception.EnvironmentFault, match='be signed'):
            store.upload(file, image, stamp)
        assert glance.images == {}


class TestFileStore(AtOnce, store_contract.StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        config = {'file_store': {'folder': str(tmp_path / 'images')}}
        return registry.load('file', config)

    def look(self, store, image_id):
        return json.loads(
            (store.directory / image_id / 'metadata.json').read_text()
        )

    def content(self, store, image_id):
        return (store.directory / image_id / 'image').read_bytes()


def test_every_store_is_tested():
    assert set(registry.stores()) == {'glance', 'file'}


def test_unknown_store():
    with pytest.raises(exception.InvalidInput, match='swift.*file, glance'):
        registry.load('swift', {})
