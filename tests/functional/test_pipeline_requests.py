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
"""What the API makes of requests for pipelines."""

import datetime
from unittest import mock

import pytest
from werkzeug import test as werkzeug_test

from imagebuild import sealing
from tests.functional import api_service

PATH = '/v1/pipelines'
WEB = {
    'name': 'web',
    'image': {'os': 'debian-12', 'packages': ['nginx']},
    'cron': '0  3 * * *',
}
ROSE = {'X-Project-Id': 'red', 'X-User-Id': 'rose', 'X-Roles': 'member,reader'}
READER = {'X-Project-Id': 'red', 'X-User-Id': 'rita', 'X-Roles': 'reader'}
BOB = {'X-Project-Id': 'blue', 'X-User-Id': 'bob', 'X-Roles': 'member,reader'}
ADMIN = {'X-Project-Id': 'ops', 'X-User-Id': 'ann', 'X-Roles': 'admin'}
SECRET = {
    'os': 'debian-12',
    'manifest': {
        'arguments': {'password': {'required': True, 'hidden': True}},
        'validators': [
            {'script': {'use': {'inline': 'echo', 'env_vars': ['password']}}}
        ],
    },
    'arguments': {'password': 'correct horse'},
}


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as running:
        yield running


@pytest.fixture
def client(service):
    return werkzeug_test.Client(service.wsgi)


def make(client, headers=ROSE, **values):
    return client.post(PATH, json={**WEB, **values}, headers=headers)


def made(client, **values):
    answer = make(client, **values)
    assert answer.status_code == 201, answer.json
    return answer.json


def problems(answer):
    assert answer.status_code == 400, answer.json
    return {
        each['path']: each['message']
        for each in answer.json['error']['errors']
    }


def test_a_pipeline_is_made(service, client):
    answer = make(client)
    assert answer.status_code == 201
    found = answer.json
    assert answer.headers['Location'].endswith(f'{PATH}/{found["id"]}')
    assert found['project_id'] == 'red'
    assert found['user_id'] == 'rose'
    assert found['status'] == 'active'
    assert found['cron'] == '0 3 * * *'
    assert found['next_run_at'].endswith('T03:00:00.000Z')
    assert (found['keep'], found['max_failures']) == (2, 3)
    assert found['current_tag'] == 'imagebuild_pipeline:web'
    assert found['current_image_id'] is None
    assert found['image']['name'] == 'web'
    # Each run decides them.
    assert not {'driver', 'reuse', 'max_age'} & found['image'].keys()
    assert service.conductors.casts == [('pipeline', found['id'])]
    shown = client.get(f'{PATH}/{found["id"]}', headers=READER)
    assert shown.json == found


def test_hidden_values_are_sealed_and_masked(service, client):
    found = made(client, image=SECRET)
    assert found['image']['arguments'] == {'password': '***'}
    record = service.database.get_pipeline(found['id'])
    assert 'correct horse' not in repr(record)
    keys = service.conf.encryption_keys
    assert sealing.unseal(keys, record.secrets) == {
        'password': 'correct horse'
    }


def test_all_that_is_wrong_is_told_at_once(client):
    found = problems(
        make(
            client,
            name='we\nb',
            cron='* * * * * *',
            keep=1,
            max_failures=-1,
            more=1,
            image={'os': 'debian-99', 'packages': [5], 'reuse': 'always'},
        )
    )
    assert set(found) == {
        'name', 'cron', 'keep', 'max_failures', 'more', 'image.os',
        'image.packages[0]', 'image.reuse',
    }  # fmt: skip


@pytest.mark.parametrize(
    ('cron', 'reason'),
    [
        ('1,' * 5000 + '1 * * * *', 'longer than 255 characters'),
        ('1,' * 120 + '61 * * * *', 'not a line of cron'),
        ('* * * * *', 'more often than every 300 seconds'),
        ('0,1 0 1 1 *', 'more often than every 300 seconds'),
        ('* * * * * *', 'not a line of cron'),
        ('@reboot', 'not a line of cron'),
        ('R R * * *', 'random time'),
        ('H H * * *', 'random time'),
        ('0 0 30 2 *', 'a day that no year has'),
        ('0 0 * * *; rm -rf /', 'not a line of cron'),
        ('0 0 * * \N{FULLWIDTH DIGIT ONE}', 'not a line of cron'),
        ('0 0 * *\n*', 'control character'),
        ('', 'must not be empty'),
    ],
)
def test_lines_that_cannot_be_used(client, cron, reason):
    assert reason in problems(make(client, cron=cron))['cron']


def test_a_schedule_is_one_of_both(client):
    assert 'max_age' in problems(make(client, max_age=3600))
    only = {'name': 'a', 'image': WEB['image']}
    found = client.post(PATH, json={**only, 'max_age': 10}, headers=ROSE)
    assert 'every 300 seconds' in problems(found)['max_age']
    found = client.post(PATH, json=only, headers=ROSE).json
    assert (found['cron'], found['next_run_at']) == (None, None)


def test_names_are_unique_in_a_project(client):
    made(client)
    answer = make(client)
    assert answer.status_code == 409
    assert 'one of the name "web"' in answer.json['error']['message']
    assert make(client, BOB).status_code == 201


def test_a_project_has_so_many(service, client):
    service.database.set_quota('red', 'pipelines', 1)
    made(client)
    answer = make(client, name='second')
    assert answer.status_code == 403
    assert 'pipelines is 1' in answer.json['error']['message']
    assert make(client, BOB).status_code == 201


def test_all_requests_together_have_a_limit(service, client):
    service.database.set_quota('red', 'request_bytes', 2000)
    found = made(client)
    large = {
        'os': 'debian-12',
        'packages': [f'package-{n}' for n in range(200)],
    }
    assert make(client, name='second', image=large).status_code == 403
    path = f'{PATH}/{found["id"]}'
    answer = client.patch(path, json={'image': large}, headers=ROSE)
    assert answer.status_code == 403


def test_the_tag_of_the_current_image_is_no_other_tag(client):
    image = {**WEB['image'], 'tags': ['imagebuild_pipeline:web']}
    found = problems(make(client, image=image))
    assert list(found) == ['image.tags']
    image = {**WEB['image'], 'tags': ['stable']}
    found = problems(make(client, image=image, current_tag='stable'))
    assert list(found) == ['current_tag']
    id = made(client, image=image)['id']
    answer = client.patch(
        f'{PATH}/{id}', json={'current_tag': 'stable'}, headers=ROSE
    )
    assert list(problems(answer)) == ['current_tag']


def test_readers_only_look_and_others_see_nothing(client):
    id = made(client)['id']
    path = f'{PATH}/{id}'
    assert make(client, READER, name='b').status_code == 403
    for headers, code in ((READER, 403), (BOB, 404)):
        answers = [
            client.patch(path, json={'paused': True}, headers=headers),
            client.post(f'{path}/run', headers=headers),
            client.delete(path, headers=headers),
        ]
        assert [each.status_code for each in answers] == [code] * 3
    assert client.get(path, headers=READER).status_code == 200
    assert client.get(path, headers=BOB).status_code == 404
    assert client.get(PATH, headers=BOB).json == {'pipelines': []}
    assert client.get(
        f'{PATH}?all_projects=true', headers=BOB
    ).status_code == (403)
    [only] = client.get(f'{PATH}?all_projects=true', headers=ADMIN).json[
        'pipelines'
    ]
    assert only['id'] == id
    assert client.get(f'{PATH}?marker={id}', headers=BOB).status_code == 400


def test_the_rules_of_builds_hold_for_the_image(client):
    image = {**WEB['image'], 'visibility': 'public'}
    assert make(client, image=image).status_code == 403
    id = made(client)['id']
    answer = client.patch(f'{PATH}/{id}', json={'image': image}, headers=ROSE)
    assert answer.status_code == 403


def test_a_change_replaces_the_image_and_its_author(service, client):
    found = made(client, image=SECRET)
    path = f'{PATH}/{found["id"]}'
    other = {**ROSE, 'X-User-Id': 'roy'}
    client.patch(path, json={'keep': 3}, headers=other)
    assert client.get(path, headers=ROSE).json['user_id'] == 'rose'
    answer = client.patch(
        path, json={'image': {'os': 'debian-12'}}, headers=other
    )
    assert answer.json['user_id'] == 'roy'
    assert answer.json['image']['name'] == 'web'
    assert 'arguments' not in answer.json['image']
    assert service.database.get_pipeline(found['id']).secrets is None


def test_what_is_masked_is_no_value(service, client):
    """Whoever sends back what was shown must not make it the password."""
    found = made(client, image=SECRET)
    path = f'{PATH}/{found["id"]}'
    answer = client.patch(path, json={'image': found['image']}, headers=ROSE)
    assert 'give that again' in problems(answer)['image.arguments.password']
    keys = service.conf.encryption_keys
    kept = service.database.get_pipeline(found['id']).secrets
    assert sealing.unseal(keys, kept) == {'password': 'correct horse'}


def test_one_schedule_takes_the_place_of_the_other(client):
    path = f'{PATH}/{made(client)["id"]}'

    def change(**values):
        found = client.patch(path, json=values, headers=ROSE).json
        return found['cron'], found['max_age']

    assert change(max_age=3600) == (None, 3600)
    assert change(cron='@daily') == ('@daily', None)
    assert change(cron=None) == (None, None)


def test_pause_and_resume(client):
    path = f'{PATH}/{made(client)["id"]}'
    found = client.patch(path, json={'paused': True}, headers=ROSE).json
    assert (found['status'], found['paused']) == ('paused', True)
    assert found['next_run_at'] is None
    assert client.get(f'{PATH}?status=active', headers=ROSE).json == {
        'pipelines': []
    }
    # Another change does not resume it.
    found = client.patch(path, json={'keep': 3}, headers=ROSE).json
    assert found['status'] == 'paused'
    found = client.patch(path, json={'paused': False}, headers=ROSE).json
    assert found['status'] == 'active'
    assert found['next_run_at']


def start(service, id):
    """Begin its run, as a conductor would."""
    assert service.database.hold_pipeline(id, 'builder-1', 60)
    build = service.database.start_run(
        id,
        'builder-1',
        {
            'project_id': 'red',
            'user_id': 'rose',
            'name': 'web',
            'os': 'debian-12',
            'driver': 'fake',
            'architecture': 'x86_64',
            'request': {'name': 'web'},
            'content_key': '0' * 64,
            'base': {},
            'reuse': 'never',
            'timeout': 60,
        },
    )
    service.database.release_pipeline(id, 'builder-1')
    return build.id


def test_a_run_while_another_one_runs_is_refused(service, client):
    id = made(client)['id']
    path = f'{PATH}/{id}'
    answer = client.post(f'{path}/run', headers=ROSE)
    assert answer.status_code == 202
    assert answer.json['run_requested'] is True
    build = start(service, id)
    answer = client.post(f'{path}/run', headers=ROSE)
    assert answer.status_code == 409
    assert build in answer.json['error']['message']
    shown = client.get(f'/v1/builds?pipeline_id={id}', headers=ROSE).json
    assert [each['id'] for each in shown['builds']] == [build]
    assert shown['builds'][0]['pipeline_id'] == id
    found = client.get(path, headers=ROSE).json
    assert (found['running_build_id'], found['run_requested']) == (
        build, False,
    )  # fmt: skip


def run(service, client, image_id):
    """Let it have one more image."""
    [only] = client.get(PATH, headers=ROSE).json['pipelines']
    client.post(f'{PATH}/{only["id"]}/run', headers=ROSE)
    build = start(service, only['id'])
    service.finish(build, image_id)
    return service.database.refresh_pipeline(only['id'])


def test_the_current_image_is_the_newest_that_succeeded(service, client):
    id = made(client)['id']
    run(service, client, 'glance-1')
    run(service, client, 'glance-2')
    shown = client.get(f'{PATH}/{id}', headers=ROSE).json
    assert shown['current_image_id'] == 'glance-2'
    assert shown['current_build_id'] == shown['last_build_id']


def test_images_stay_unless_they_are_named(service, client):
    id = made(client)['id']
    run(service, client, 'glance-1')
    assert client.delete(f'{PATH}/{id}', headers=ROSE).status_code == 204
    assert client.get(f'{PATH}/{id}', headers=ROSE).status_code == 404
    [build] = client.get('/v1/builds', headers=ROSE).json['builds']
    assert build['status'] == 'active'


def test_images_go_with_it(service, client):
    id = made(client)['id']
    run(service, client, 'glance-1')
    run(service, client, 'glance-2')
    path = f'{PATH}/{id}?delete_images=true'
    service.conductors.protected = {'glance-1'}
    answer = client.delete(path, headers=ROSE)
    assert answer.status_code == 409
    assert len(client.get('/v1/builds', headers=ROSE).json['builds']) == 2
    assert client.get(f'{PATH}/{id}', headers=ROSE).status_code == 200
    service.conductors.protected = set()
    assert client.delete(path, headers=ROSE).status_code == 204
    assert client.get('/v1/builds', headers=ROSE).json['builds'] == []


def test_its_build_is_cancelled_with_it(service, client):
    id = made(client)['id']
    client.post(f'{PATH}/{id}/run', headers=ROSE)
    build = start(service, id)
    service.database.claim('builder-1', job=build)
    assert client.delete(f'{PATH}/{id}', headers=ROSE).status_code == 204
    assert ('cancel', build) in service.conductors.casts
    assert service.database.get_build(build).cancel_requested


def test_a_run_that_nobody_begins_is_told(service, client):
    body = {'name': 'age', 'image': WEB['image'], 'max_age': 3600}
    found = client.post(PATH, json=body, headers=ROSE).json
    record = service.database.get_pipeline(found['id'])
    assert record.is_due(service.database.now())
    assert found['status_reason'] is None
    later = record.next_run_at + datetime.timedelta(minutes=3)
    with mock.patch.object(service.database, 'now', lambda: later):
        found = client.get(f'{PATH}/{found["id"]}', headers=ROSE).json
    assert 'no conductor that can build it is up' in found['status_reason']


def test_metrics(service, client):
    made(client)
    id = made(client, name='second')['id']
    service.database.update_pipeline(id, {}, paused=True)
    text = client.get('/metrics').text
    for status, number in (('active', 1), ('paused', 1), ('error', 0)):
        assert f'imagebuild_pipelines{{status="{status}"}} {number}.0' in text


def test_pages(client):
    ids = [made(client, name=f'p{number}')['id'] for number in range(5)]
    seen = []
    path = f'{PATH}?limit=2'
    while path:
        page = client.get(path, headers=ROSE).json
        seen += [each['id'] for each in page['pipelines']]
        assert all('packages' not in p['image'] for p in page['pipelines'])
        path = page.get('next', '').partition('localhost')[2]
    assert seen == ids
