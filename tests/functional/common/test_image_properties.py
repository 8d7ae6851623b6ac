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

from tests.functional import api_service

#: One of each kind; tests/unit has them all.
DENIED = [
    'Cinder_Encryption_Key_Id',
    'imagebuild_upload_id',
    'OWNER',
    'bdm_v2',
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


def test_an_operators_lists_hold_in_the_api(service):
    service.conf.set_override('denied_properties', ['hw_*'], 'glance')
    service.conf.set_override(
        'allowed_properties', ['img_signature*', '*'], 'glance'
    )
    assert _post(service, 'HW_disk_bus').status_code == 400
    assert _post(service, 'img_signature').status_code == 200
    assert _post(service, 'imagebuild_build_id').status_code == 400
    assert _post(service, 'owner').status_code == 400
