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
"""Uploads by request: the real API, a conductor and its real jobs."""

import dataclasses
import uuid

import pytest

from imagebuild.conductor import disk_space
from tests.functional import upload_service


@pytest.fixture
def service(tmp_path):
    made = upload_service.Service(tmp_path)
    made.start()
    yield made
    made.stop()
    made.conf.clear()


def test_one_more_cloud(service):
    build = service.build()
    answer = service.upload(build, 'archive')
    assert answer.status_code == 202, answer.json
    upload = answer.json
    assert answer.headers['Location'].endswith(f'/v1/uploads/{upload["id"]}')
    assert service.ended(upload['id'])['status'] == 'active'
    [here], [there] = service.stored('images'), service.stored('archive')
    assert here['os_hash_value'] == there['os_hash_value']
    # Who asks twice has it already, and nothing is uploaded twice.
    again = service.upload(build, 'archive')
    assert again.status_code == 409
    assert 'there already' in again.json['error']['message']
    assert len(service.stored('archive')) == 1

    shown = service.ask('GET', f'/v1/uploads?build_id={build.id}').json
    assert {each['destination'] for each in shown['uploads']} == {
        '', 'archive',
    }  # fmt: skip
    failed = service.ask('GET', '/v1/uploads?status=error').json
    assert failed['uploads'] == []


def test_another_format(service):
    build = service.build()
    ids = {
        name: service.upload(build, name, **body).json['id']
        for name, body in {
            'archive': {'disk_format': 'raw'},
            'as-raw': {},
        }.items()
    }
    for name, id in ids.items():
        assert service.ended(id)['status'] == 'active'
        [stored] = service.stored(name)
        # Also where only the cloud says so, not the request.
        assert stored['disk_format'] == 'raw', name


def test_the_image_of_an_upload_is_deleted_with_it(service):
    build = service.build()
    upload = service.upload(build, 'archive').json['id']
    service.ended(upload)
    answer = service.ask('DELETE', f'/v1/uploads/{upload}')
    assert answer.status_code == 204
    service.gone(upload)
    assert service.stored('archive') == []
    # The build and its own image are as they were.
    assert service.database.get_build(build.id).status == 'active'
    assert len(service.stored('images')) == 1
    # And what is said of it is not asked of the one that is gone.
    answer = service.ask('PATCH', f'/v1/builds/{build.id}', name='y')
    assert answer.status_code == 200, answer.json
    assert [each['name'] for each in service.stored('images')] == ['y']
    # It can be uploaded again.
    upload = service.upload(build, 'archive').json['id']
    assert service.ended(upload)['status'] == 'active'


def test_the_disk_that_its_system_needs(service):
    catalogue = service.directory / 'operating-systems.yaml'
    catalogue.write_text('fake-os:\n  driver: fake\n  min_disk: 2\n')
    build = service.build(min_disk=1)
    [stored] = service.stored('images')
    assert stored['min_disk'] == 2
    service.ask('PATCH', f'/v1/builds/{build.id}', min_disk=0)
    [stored] = service.stored('images')
    assert stored['min_disk'] == 2


def test_the_builds_own_image_stays(service):
    build = service.build()
    [own] = service.database.list_uploads(build_id=build.id)
    for _ in range(2):
        answer = service.ask('DELETE', f'/v1/uploads/{own.id}')
        assert answer.status_code == 409
        assert 'delete the build' in answer.json['error']['message']
        service.protect('images')


def test_a_protected_image_keeps_its_upload(service):
    build = service.build()
    upload = service.upload(build, 'archive').json['id']
    image_id = service.ended(upload)['image_id']
    service.protect('archive')
    # A change of anything else takes that back in no store.
    path = f'/v1/builds/{build.id}'
    assert service.ask('PATCH', path, tags=['x']).status_code == 200
    [stored] = service.stored('archive')
    assert (stored['tags'], stored['protected']) == (['x'], True)
    answer = service.ask('DELETE', f'/v1/uploads/{upload}')
    assert answer.status_code == 409
    assert answer.json['error']['message'] == (
        f'Upload {upload} is that of a protected image: image {image_id} '
        'would be deleted with it; take the protection back first, with '
        '"protected": false for this build or in the image service.'
    )
    shown = service.ask('GET', f'/v1/uploads/{upload}').json
    assert shown['status'] == 'active'
    service.ask('PATCH', path, protected=False)
    answer = service.ask('DELETE', f'/v1/uploads/{upload}')
    assert answer.status_code == 204
    service.gone(upload)


def test_one_that_fails_does_not_hold_up_the_others(service, tmp_path):
    build = service.build(destinations=['', 'unwritable', 'archive'])
    assert build.status == 'active'
    assert 'Destination "unwritable"' in build.status_reason
    assert str(tmp_path) not in build.status_reason
    assert len(service.stored('archive')) == 1
    [failed] = service.ask('GET', '/v1/uploads?status=error').json['uploads']
    assert failed['destination'] == 'unwritable'
    # And it may be retried.
    answer = service.upload(build, 'unwritable')
    assert answer.status_code == 202
    assert service.ended(answer.json['id'])['status'] == 'error'


@pytest.mark.parametrize(
    'body, status, words',
    [
        ({'destination': 'nowhere'}, 400, '"nowhere"'),
        ({'destination': 'theirs'}, 400, '"theirs"'),
        ({'destination': 'archive', 'disk_format': 'iso'}, 400, 'disk_format'),
        ({'destination': '../x'}, 400, '"../x"'),
        ({'destination': 'a\nb'}, 400, 'destination'),
        ({'destination': 'archive', 'build_id': 'x'}, 400, 'build_id'),
        (
            {
                'destination': 'archive',
                'build_id': '00000000-0000-4000-8000-000000000001',
            },
            404,
            'build',
        ),
    ],
)
def test_what_is_refused(service, body, status, words):
    build = service.build()
    answer = service.ask(
        'POST', '/v1/uploads', **{'build_id': build.id, **body}
    )
    assert answer.status_code == status, answer.json
    assert words in answer.json['error']['message']


def test_without_a_conductor_it_is_said(service):
    build = service.build()
    service.stop()
    answer = service.upload(build, 'archive')
    assert answer.status_code == 503
    assert 'conductor' in answer.json['error']['message']


def test_its_image_gives_the_file_back(service):
    build = service.build()
    service.lose_files(build)
    # Both want the same file: it is fetched once.
    uploads = [
        service.upload(build, 'as-raw').json['id'],
        service.upload(build, 'archive', disk_format='vmdk').json['id'],
    ]
    for id in uploads:
        ended = service.ended(id)
        assert ended['status'] == 'active', ended
    [here] = service.stored('images')
    [there] = service.stored('as-raw')
    assert there['disk_format'] == 'raw'
    kept = service.database.list_artifacts(build_id=build.id)
    assert here['os_hash_value'] in {each.os_hash_value for each in kept}
    # And the next one finds it.
    upload = service.upload(build, 'archive').json['id']
    assert service.ended(upload)['status'] == 'active'
    assert (
        'No conductor' not in service.database.get_upload(upload).status_reason
    )


def test_no_room_for_what_it_becomes(tmp_path, monkeypatch):
    """It waits, and the attempts that it may have are not used up."""
    monkeypatch.setattr(disk_space, '_FIRST_PAUSE', 0.1)
    service = upload_service.Service(tmp_path, max_requeues=2)
    service.add_conf('[repository]', 'reserve = 1000000000')
    service.start()
    try:
        build = service.build()
        upload = service.upload(build, 'as-raw').json['id']
        ended = service.ended(upload)
        assert ended['status'] == 'error', ended
        reason = ended['status_reason']
        assert 'There is not enough room' in reason
        assert 'given back to the queue 2 times' in reason
        assert str(tmp_path) not in reason
        log, _ = service.database.read_log(build.id, 0, 100_000)
        assert log.count('The upload waits for room in the queue') == 2
        assert service.stored('as-raw') == []
        # The format that it has needs no room.
        upload = service.upload(build, 'archive').json['id']
        assert service.ended(upload)['status'] == 'active'
    finally:
        service.stop()
        service.conf.clear()


def test_who_has_the_file_is_gone(service):
    """Its row says that it is there, and nobody has that repository."""
    build = service.build()
    [kept] = service.database.list_artifacts(build_id=build.id)
    service.lose_files(build)
    row = dataclasses.asdict(kept)
    for name in ('repository_id', 'conductor', 'created_at', 'checked_at'):
        del row[name]
    service.database.add_artifact(str(uuid.uuid4()), 'c0', row)
    upload = service.upload(build, 'as-raw').json['id']
    assert service.ended(upload)['status'] == 'active'
    [stored] = service.stored('as-raw')
    assert stored['disk_format'] == 'raw'
    log, _ = service.database.read_log(build.id, 0, 100_000)
    assert 'Downloading the image in this cloud' in log


def test_an_image_that_is_damaged(service, tmp_path):
    build = service.build()
    service.lose_files(build)
    [image] = (tmp_path / 'images').glob('*/image')
    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    ended = service.ended(service.upload(build, 'archive').json['id'])
    assert ended['status'] == 'error'
    assert 'does not give its file back' in ended['status_reason']
    assert 'checksum' in ended['status_reason']
    assert not service.stored('archive')


def test_without_its_file_it_is_said(service):
    """Images in other formats than these two are not converted."""
    build = service.build(disk_format='vdi')
    service.lose_files(build)
    answer = service.upload(build, 'archive', disk_format='raw')
    assert answer.status_code == 409
    assert 'build it again' in answer.json['error']['message']


def test_one_that_no_conductor_can_make_any_more_ends(service):
    build = service.build()
    service.stop()
    upload = service.database.add_upload(
        build.id,
        {
            'id': 'to-the-archive',
            'destination': 'archive',
            'disk_format': 'qcow2',
            'container_format': 'bare',
        },
    )
    # Its operator has taken the destination out, and not waited for that.
    conf = service._path.read_text().replace('[destination:archive]', '[x]')
    service._path.write_text(
        conf.replace('[conductor]', '[conductor]\nwait_for_conductor = 2', 1)
    )
    service.start()
    found = service.ended(upload.id)
    assert found['status'] == 'error'
    assert 'archive' in found['status_reason']
    assert 'Waited in vain for 2 seconds' in found['status_reason']
    assert service.database.get_build(build.id).status == 'active'
