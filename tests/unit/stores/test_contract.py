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

import json

import pytest

from imagebuild import exception
from imagebuild.stores import registry
from tests import fake_glance
from tests.contract import store_contract


class TestGlanceStore(store_contract.StoreContract):
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


class TestFileStore(store_contract.StoreContract):
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
