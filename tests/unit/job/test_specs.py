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
import json
import pathlib
import uuid

from imagebuild import artifacts
from imagebuild.job import specs

BUILD = str(uuid.uuid4())
MADE = artifacts.ImageArtifact(
    str(uuid.uuid4()), artifacts.AttemptStamp('service', BUILD, 2)
)


def travel(spec):
    document = json.loads(json.dumps(spec.to_document()))
    return type(spec).from_document({**document, 'of a later release': 1})


def test_an_upload_that_adopts():
    spec = specs.UploadSpec(
        upload_id='u',
        build_id=BUILD,
        project_id='p',
        destination='',
        store='glance',
        repository=pathlib.Path('/r'),
        artifact='',
        disk_format='qcow2',
        container_format='bare',
        image={'name': 'web'},
        content_key='k',
        config={},
        made=MADE,
    )
    assert travel(spec).made == MADE
    # As the release before wrote it.
    document = spec.to_document()
    del document['made']
    assert specs.UploadSpec.from_document(document).made is None


def test_attempts_that_are_reaped():
    spec = specs.ReapSpec('fake', [(BUILD, 1), (BUILD, 2)], {}, 60.0, True)
    assert travel(spec) == spec
