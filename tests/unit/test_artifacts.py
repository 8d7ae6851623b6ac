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
import uuid

import pytest

from imagebuild import artifacts
from imagebuild.disks import base_images
from imagebuild.drivers import base

BUILD = str(uuid.uuid4())
STAMP = artifacts.AttemptStamp('service-1', BUILD, 3)


def test_a_stamp_is_read_from_properties():
    found = {'other': 'x', **STAMP.properties()}
    assert artifacts.AttemptStamp.from_properties(found, 'service-1') == STAMP
    assert artifacts.AttemptStamp.from_properties(found, 'service-2') is None


@pytest.mark.parametrize(
    'value', ['', BUILD, f'{BUILD}/0', f'{BUILD}/x', f'../{BUILD}/1', None]
)
def test_what_is_no_stamp(value):
    found = {**STAMP.properties(), artifacts.ATTEMPT: value}
    assert artifacts.AttemptStamp.from_properties(found, 'service-1') is None


def test_a_stamp_is_read_from_a_name():
    assert len(STAMP.name) <= 80
    read = artifacts.AttemptStamp.from_name
    assert read(STAMP.name, 'service-1') == STAMP
    # Of another service, and of somebody who has one of nearly that name.
    for name, service in (
        (STAMP.name, 'service-2'),
        (f'{STAMP.name}-x', 'service-1'),
        (f'imagebuild-{BUILD}-3', 'service-1'),
    ):
        assert read(name, service) is None


def test_an_image_goes_by_way_of_json():
    made = artifacts.ImageArtifact(str(uuid.uuid4()), STAMP, 'edge')
    document = {**made.to_document(), 'of a later release': 1}
    assert artifacts.ImageArtifact.from_document(document) == made


class Glance:
    def user_id(self):
        return 'service-user'


@pytest.mark.parametrize(
    'section, service',
    [({'service_id': 'mine'}, 'mine'), ({'service_id': ''}, 'service-user')],
)
def test_drivers_mark_as_uploads_do(tmp_path, section, service):
    settings = base.Settings(
        base_images.Cache(tmp_path), Glance, sections={'glance': section}
    )
    context = base.BuildContext(
        base_image=base.BaseImage(),
        options={},
        workspace=tmp_path,
        settings=settings,
        build_id=BUILD,
        attempt=2,
    )
    assert context.stamp() == artifacts.AttemptStamp(service, BUILD, 2)
