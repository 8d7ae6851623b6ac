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
"""What the API makes of promotions, and of channels as a base."""

import concurrent.futures

import pytest
from werkzeug import test as werkzeug_test

from imagebuild import context
from imagebuild import exception
from imagebuild.api import app
from tests.functional import api_service

ROSE = {'X-Project-Id': 'red', 'X-User-Id': 'rose', 'X-Roles': 'member,reader'}
READER = {'X-Project-Id': 'red', 'X-User-Id': 'rita', 'X-Roles': 'reader'}
BOB = {'X-Project-Id': 'blue', 'X-User-Id': 'bob', 'X-Roles': 'member,reader'}
ADMIN = {'X-Project-Id': 'ops', 'X-User-Id': 'ann', 'X-Roles': 'admin'}
MISSING = '99999999-9999-4999-8999-999999999999'


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as running:
        yield running


@pytest.fixture
def client(service):
    return werkzeug_test.Client(service.wsgi)


@pytest.fixture
def make(service, client):
    """Makes a build that is active."""

    def made(image_id='glance-1', headers=ROSE, **description):
        body = {'name': 'web', 'os': 'debian-12', 'reuse': 'never'}
        answer = client.post(
            '/v1/builds', json={**body, **description}, headers=headers
        )
        assert answer.status_code == 202, answer.json
        service.finish(answer.json['id'], image_id)
        return answer.json['id']

    return made


@pytest.fixture
def post(client):
    def send(build_id, action='promote', headers=ROSE, **body):
        body = {'channel': 'prod', **body}
        return client.post(
            f'/v1/builds/{build_id}/{action}', json=body, headers=headers
        )

    return send


def done(answer):
    assert answer.status_code == 200, answer.json
    return answer.json


def refused(answer, code=409):
    assert answer.status_code == code, answer.json
    error = answer.json['error']
    message = error['message']
    for problem in error['errors']:
        message += f' {problem["path"]}: {problem["message"]}'
    return message


def test_promote_and_roll_back(service, client, make, post):
    first, second = make('one'), make('two')
    found = done(post(first, tags=['amphora']))
    assert found['current_build_id'] == first
    assert found['current_image_id'] == 'one'
    assert found['previous_build_id'] is None
    assert (found['name'], found['channel']) == ('web', 'prod')
    assert (found['project_id'], found['user_id']) == ('red', 'rose')
    assert found['tag'] == 'imagebuild_channel:prod:web'
    assert (found['tags'], found['settled']) == (['amphora'], False)
    assert service.conductors.casts[-1] == ('channel', found['id'])
    assert service.notices.seen[-1] == ('promote', found['id'])
    found = done(post(second))
    assert found['current_image_id'] == 'two'
    assert found['previous_image_id'] == 'one'
    assert found['tags'] == ['amphora']
    path = f'/v1/channels/{found["id"]}'
    assert done(client.get(path, headers=READER)) == found
    found = done(post(second, 'rollback'))
    assert found['current_build_id'] == first
    assert found['previous_build_id'] == second
    assert service.notices.seen[-1] == ('rollback', found['id'])
    assert 'not the current one' in refused(post(second, 'rollback'))
    history = done(client.get(f'{path}/history', headers=READER))['history']
    assert [each['action'] for each in history] == [
        'rollback', 'promote', 'promote',
    ]  # fmt: skip
    assert history[0]['build_id'] == first
    assert history[0]['replaced_build_id'] == second
    assert client.delete(path, headers=ROSE).status_code == 204
    refused(client.get(path, headers=ROSE), 404)
    # Its row, which waits for a conductor, is nothing to anybody.
    listed = client.get('/v1/channels', headers=ROSE)
    assert done(listed)['channels'] == []


def test_lists(client, make, post):
    web, data = make('one'), make('two', name='data')
    for build, channel in ((web, 'prod'), (web, 'test'), (data, 'prod')):
        done(post(build, channel=channel))

    def names(query='', headers=ROSE):
        found = done(client.get(f'/v1/channels?{query}', headers=headers))
        return [(each['name'], each['channel']) for each in found['channels']]

    assert names() == [('web', 'prod'), ('web', 'test'), ('data', 'prod')]
    assert names('name=data') == [('data', 'prod')]
    assert names('channel=test') == [('web', 'test')]
    assert names(f'build_id={web}') == [('web', 'prod'), ('web', 'test')]
    page = done(client.get('/v1/channels?limit=2', headers=ROSE))
    following = page['next'].partition('?')[2]
    assert names(following) == [('data', 'prod')]
    assert names(headers=BOB) == []
    refused(client.get('/v1/channels?all_projects=true', headers=BOB), 403)
    assert len(names('all_projects=true', headers=ADMIN)) == 3
    message = refused(client.get(f'/v1/channels?marker={MISSING}'), 400)
    assert 'there is no item' in message


def test_one_sentence_for_each_mistake(service, client, make, post):
    build = make()
    found = refused(post(build, channel='nosuch'), 400)
    assert 'there is no channel "nosuch"; there are: dev, test, prod' in found
    assert 'must not be empty' in refused(post(build, channel=''), 400)
    assert 'channel' in refused(post(build, channel=5), 400)
    assert 'tags[0]' in refused(post(build, tags=['']), 400)
    taken = ['imagebuild_channel:prod:db']
    assert 'channels have by themselves' in refused(
        post(build, tags=taken), 400
    )
    assert 'There is no build' in refused(post(MISSING), 404)
    refused(post(build, headers=BOB), 404)
    refused(post(build, headers=READER), 403)
    refused(post(build, 'rollback', headers=READER), 403)
    waiting = client.post(
        '/v1/builds',
        json={'name': 'new', 'os': 'debian-12', 'packages': ['x']},
        headers=ROSE,
    ).json['id']
    assert 'is queued: only an active one' in refused(post(waiting))
    long = make('long', name='x' * 250)
    assert 'no tag can have it' in refused(post(long), 400)
    assert 'nothing to take back' in refused(post(build, 'rollback'))
    done(post(build))
    assert 'none before it' in refused(post(build, 'rollback'))
    other = make('two')
    found = refused(post(other, current_build_id=None))
    assert 'another one was expected' in found and build in found
    done(post(other, current_build_id=build))


@pytest.mark.parametrize('action', ['promote', 'rollback'])
def test_who_may_change_none_has_no_body_read(client, make, action):
    path = f'/v1/builds/{make()}/{action}'
    sent = {'data': b'no JSON', 'content_type': 'application/json'}
    refused(client.post(path, headers=READER, **sent), 403)
    refused(client.post(path, headers=ROSE, **sent), 400)


def test_an_image_that_glance_has_no_more(service, make, post):
    first, second = make('one'), make('two')
    done(post(first))
    [image] = service.database.get_build(second).images
    service.conductors.gone.add(image.id)
    assert 'is without an image' in refused(post(second))
    third = make('three')
    done(post(third))
    [image] = service.database.get_build(first).images
    service.conductors.gone.add(image.id)
    assert 'no image left to go back to' in refused(post(third, 'rollback'))


def test_only_what_was_booted(service, make, post):
    service.conf.set_override('require_boot_test', ['prod'], 'promotion')
    build = make()
    assert 'passed a boot test' in refused(post(build))
    done(post(build, channel='test'))
    service.database.update_build(build, {'boot_test': {'passed': True}})
    done(post(build))


def test_only_what_the_operator_expects(service, make, post):
    service.conf.set_override('require_boot_test', ['prod'], 'promotion')
    service.conf.set_override('ports', [22], 'boot_test')
    build = make()
    passed = {'boot_test': {'passed': True}}
    request = service.database.get_build(build).request
    less = {'console': ['GRUB'], 'ports': [80]}
    service.database.update_build(
        build, {**passed, 'request': {**request, 'boot_test': less}}
    )
    assert 'did not expect: ports 22' in refused(post(build))
    more = {'ports': [80, 22]}
    service.database.update_build(
        build, {'request': {**request, 'boot_test': more}}
    )
    done(post(build))


def test_a_channel_that_the_operator_takes_away(service, client, make, post):
    first, second = make('one'), make('two')
    done(post(first))
    channel = done(post(second))
    service.conf.set_override('channels', ['dev'], 'promotion')
    assert 'there are: dev' in refused(post(first), 400)
    assert done(post(second, 'rollback'))['current_build_id'] == first
    path = f'/v1/channels/{channel["id"]}'
    assert client.delete(path, headers=ROSE).status_code == 204


def test_a_quota(service, make, post):
    service.conf.set_override('channels', 1, 'quota')
    build = make()
    done(post(build))
    found = refused(post(build, channel='test'), 403)
    assert 'channels is 1, and 1 are used: delete channels' in found


def test_of_two_at_once_one_wins(client, make, post):
    builds = [make(f'i{n}') for n in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [
            *pool.map(lambda id: post(id, current_build_id=None), builds)
        ]
    codes = sorted(each.status_code for each in answers)
    assert codes == [200, 409, 409, 409]
    [won] = [each.json for each in answers if each.status_code == 200]
    [found] = done(client.get('/v1/channels', headers=ROSE))['channels']
    assert found['current_build_id'] == won['current_build_id']


def test_nobody_gives_the_tag_of_a_channel_himself(client, make, post):
    """The image would have it whatever is promoted, or who may do so."""
    tags = ['imagebuild_channel:prod:web']
    body = {'name': 'web', 'os': 'debian-12', 'tags': tags}
    pipeline = {'name': 'web', 'image': body}
    patch = client.patch(
        f'/v1/builds/{make()}', json={'tags': tags}, headers=ROSE
    )
    for answer in (
        *(client.post('/v1/builds', json=body, headers=ROSE), patch),
        client.post('/v1/builds/plan', json=body, headers=ROSE),
        client.post('/v1/pipelines', json=pipeline, headers=ROSE),
    ):
        assert 'channels have by themselves' in refused(answer, 400)
    done(post(make(tags=['imagebuild_channels', 'x:imagebuild_channel:'])))


def test_rules_of_changes_see_the_channel(client, make, post, monkeypatch):
    seen, may = {}, context.RequestContext.may

    def asked(self, rule, target=None, **more):
        seen[rule] = more
        return may(self, rule, target, **more)

    monkeypatch.setattr(context.RequestContext, 'may', asked)
    done(post(make('one')))
    second = make('two')
    path = f'/v1/channels/{done(post(second))["id"]}'
    done(post(second, 'rollback'))
    assert client.delete(path, headers=ROSE).status_code == 204
    for change in ('promote', 'rollback', 'delete'):
        more = seen[f'image-build:channels:{change}']
        assert more == {'channel': 'prod'}, change


def test_what_a_channel_has_is_not_deleted(service, client, make, post):
    first, second = make('one'), make('two')
    done(post(first))
    done(post(second))
    for build, place in ((first, 'image before'), (second, 'current image')):
        found = refused(client.delete(f'/v1/builds/{build}', headers=ROSE))
        assert f'{place} in the channel "prod" of "web"' in found
    path = f'/v1/builds/{first}?when_unused=true'
    assert client.delete(path, headers=ROSE).status_code == 204
    shown = client.get(f'/v1/builds/{first}', headers=ROSE)
    assert done(shown)['delete_when_unused'] is True
    done(post(make('three')))
    refused(client.get(f'/v1/builds/{first}', headers=ROSE), 404)


def test_a_pipeline_deletes_no_image_of_a_channel(
    service, client, post, monkeypatch
):
    made = client.post(
        '/v1/pipelines',
        json={'name': 'web', 'image': {'os': 'debian-12'}},
        headers=ROSE,
    ).json
    values = {
        'project_id': 'red', 'name': 'web', 'driver': 'fake', 'os': '',
        'request': {}, 'base': {}, 'content_key': 'k', 'reuse': 'never',
        'architecture': 'x86_64', 'timeout': 60, 'pipeline_id': made['id'],
    }  # fmt: skip
    build = service.database.create_build(values)
    service.finish(build.id)
    done(post(build.id))
    path = f'/v1/pipelines/{made["id"]}?delete_images=true'
    assert 'current image' in refused(client.delete(path, headers=ROSE))
    assert service.database.get_pipeline(made['id'])
    # It is promoted after it was looked at.
    monkeypatch.setattr(service.database, 'check_unused', lambda _id: None)
    assert client.delete(path, headers=ROSE).status_code == 204
    assert service.database.get_build(build.id).delete_when_unused


# -- as a base ---------------------------------------------------------------

PROD = {'channel': 'prod', 'name': 'web'}


def build_on(client, headers=ROSE, path='/v1/builds', **more):
    body = {'name': 'app', 'os': PROD, 'driver': 'fake', **more}
    return client.post(path, json=body, headers=headers)


def test_a_build_begins_with_what_is_current(service, client, make, post):
    done(post(make('one')))
    answer = build_on(client)
    assert answer.status_code == 202, answer.json
    found = answer.json
    assert found['request']['os'] == PROD
    assert found['request']['base_image'] == 'one'
    assert found['os'] is None
    _, asked = service.conductors.asked[-1]
    assert asked['base_image'] == 'one' and 'os' not in asked
    plan = done(build_on(client, path='/v1/builds/plan'))
    assert (plan['os'], plan['base']['id']) == (None, api_service.BASE['id'])
    done(post(make('two')))
    assert build_on(client).json['request']['base_image'] == 'two'
    # What was recorded can be asked for again, and stays what it was.
    again = {'os': PROD, 'base_image': 'one'}
    assert build_on(client, **again).json['request']['base_image'] == 'one'


def test_no_base_without_an_image(service, client, make, post):
    found = refused(build_on(client), 400)
    assert 'os: the channel "prod" of "web" is empty: nothing was' in found
    build = make('one')
    done(post(build))
    # It is not that of another project.
    assert 'is empty' in refused(build_on(client, headers=BOB), 400)
    service.conductors.answer = {
        'problems': [{'path': 'base_image', 'message': 'it is too large'}],
        'base': None,
    }
    assert 'os: it is too large' in refused(build_on(client), 400)
    service.database.image_deleted(
        service.database.get_build(build).images[0].id
    )
    assert 'has no image in this cloud' in refused(build_on(client), 400)
    for wrong in ({'channel': 'prod'}, {**PROD, 'x': 1}, 5, []):
        assert 'os' in refused(build_on(client, os=wrong), 400)


def test_a_pipeline_takes_what_is_current_then(service, client, make, post):
    done(post(make('one')))
    answer = client.post(
        '/v1/pipelines',
        json={'name': 'app', 'image': {'os': PROD, 'driver': 'fake'}},
        headers=ROSE,
    )
    assert answer.status_code == 201, answer.json
    assert answer.json['image']['os'] == PROD
    assert 'base_image' not in answer.json['image']
    row = service.database.get_pipeline(answer.json['id'])
    assert (row.os, row.entry['architecture']) == ('', 'x86_64')


def test_no_conductor_can_say_whether_it_is_there(service, make, post):
    build = make()
    service.conductors.verify_image = lambda *_args, **_kw: (
        _ for _ in ()
    ).throw(exception.NoConductor(reason='none is up'))
    assert 'none is up' in refused(post(build), 503)


@pytest.mark.parametrize(
    ('section', 'options', 'message'),
    [
        ('promotion', {'require_boot_test': ['prdo']}, 'names "prdo"'),
        ('boot_test', {'memory': 8192}, 'memory is 8192, which is more than'),
        ('boot_test', {'timeout': 3601}, 'max_timeout .3600. lets requests'),
        ('boot_test', {'required': True, 'enabled': False}, 'no image could'),
    ],
)
def test_the_api_does_not_begin_with_contradictions(
    tmp_path, section, options, message
):
    conf = api_service.make_conf(tmp_path)
    for name, value in options.items():
        conf.set_override(name, value, section)
    with pytest.raises(exception.InvalidInput, match=message):
        app.create_app(conf, database=None, conductor_api=None, notifier=None)
