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
"""Properties that a request may not give an image, wherever it is asked."""

import pytest

from imagebuild import exception
from imagebuild.common import image_properties
from imagebuild.stores import base
from imagebuild.stores import registry
from tests import fake_glance

DENIED = [
    'cinder_encryption_key_id',
    'cinder_encryption_key_deletion_policy',
    'Cinder_Encryption_Key_Id',
    'os_encrypt_key_id',
    'img_signature',
    'img_signature_certificate_uuid',
    'block_device_mapping',
    'bdm_v2',
    'mappings',
    'os_glance_importing_to_stores',
    'imagebuild_upload_id',
    'owner',
    'OWNER',
    'is_public',
    'location',
]


def _upload(tmp_path, store, name):
    path = tmp_path / 'image'
    path.write_bytes(b'x')
    image = base.ImageProperties(name='x', owner='p', properties={name: 'x'})
    return store.upload(path, image, base.Stamp('b', 'u'))


@pytest.mark.parametrize('name', DENIED)
def test_the_stores_refuse_it(tmp_path, name):
    with fake_glance.FakeGlance() as glance:
        stores = [
            registry.load('glance', glance.config),
            registry.load('file', {'file_store': {'folder': str(tmp_path)}}),
        ]
        for store in stores:
            with pytest.raises(exception.InvalidRequest):
                _upload(tmp_path, store, name)
        assert glance.images == {}


def test_an_operators_lists_hold_in_the_stores(tmp_path):
    store = registry.load(
        'file',
        {
            'file_store': {'folder': str(tmp_path / 'images')},
            'glance': {
                'denied_properties': ['kernel_id'],
                'allowed_properties': ['bdm_v2'],
            },
        },
    )
    with pytest.raises(exception.InvalidRequest):
        _upload(tmp_path, store, 'kernel_id')
    assert _upload(tmp_path, store, 'bdm_v2').image_id


def test_denied_goes_before_allowed():
    rules = image_properties.Rules(allowed=['bdm_v2'], denied=['bdm_*'])
    assert rules.error('bdm_v2')
