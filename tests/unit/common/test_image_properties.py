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
import werkzeug.test

from imagebuild import exception
from imagebuild.common import image_properties
from imagebuild.stores import base
from imagebuild.stores import registry
from tests import fake_glance
from tests.functional import api_service

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
USUAL = [
    'os_distro',
    'os_version',
    'hw_disk_bus',
    'hw_vif_multiqueue_enabled',
    'img_config_drive',
    'cinder_img_volume_type',
    'kernel_id',
    'trait:HW_CPU_X86_VMX',
    'owner_specified.openstack.sha256',
]


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as found:
        yield found


def _post(service, *names):
    return werkzeug.test.Client(service.wsgi).post(
        '/v1/builds/plan',
        json={
            'name': 'x',
            'os': 'debian-12',
            'properties': dict.fromkeys(names, 'x'),
        },
    )


def test_the_api_refuses_them(service):
    answer = _post(service, *DENIED)
    assert answer.status_code == 400, answer.text
    paths = [problem['path'] for problem in answer.json['error']['errors']]
    assert sorted(paths) == sorted(f'properties.{name}' for name in DENIED)


def test_the_api_takes_what_users_may_write(service):
    answer = _post(service, *USUAL)
    assert answer.status_code == 200, answer.text


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


def test_an_operators_lists_hold_in_the_api(service):
    service.conf.set_override('denied_properties', ['hw_*'], 'glance')
    service.conf.set_override(
        'allowed_properties', ['img_signature*', '*'], 'glance'
    )
    assert _post(service, 'HW_disk_bus').status_code == 400
    assert _post(service, 'img_signature').status_code == 200
    assert _post(service, 'imagebuild_build_id').status_code == 400
    assert _post(service, 'owner').status_code == 400


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
