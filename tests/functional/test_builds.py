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
"""What the API makes of a request, where YAML would not say it well."""

import json
import pathlib

import pytest
from werkzeug import test as werkzeug_test

from imagebuild import db
from imagebuild import exception
from imagebuild import sealing
from imagebuild.api import app
from imagebuild.db import migration
from imagebuild.messaging import bus
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi
from imagebuild.stores import image_change
from tests.functional import api_service

WEB = {'name': 'web', 'os': 'debian-12', 'packages': ['nginx']}
SECRET = {
    'name': 'secret',
    'os': 'debian-12',
    'manifest': {
        'arguments': {
            'password': {'required': True, 'hidden': True},
            'port': {'default': '80'},
        },
        'validators': [
            {'script': {'use': {'inline': 'echo', 'env_vars': ['password']}}}
        ],
    },
    'arguments': {'password': 'correct horse', 'port': 8080},
}


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as running:
        yield running


@pytest.fixture
def client(service):
    return werkzeug_test.Client(service.wsgi)


def ask(client, body, path='/v1/builds', **headers):
    return client.post(path, json=body, headers=headers)


# -- queueing and reuse -----------------------------------------------------


def test_a_new_build_casts_to_conductors(service, client):
    answer = ask(client, WEB)
    assert answer.status_code == 202
    assert service.conductors.casts == [('build', answer.json['id'])]
    # It has a slot.
    assert service.conductors.told == ['builder-1']
    assert answer.headers['Location'].endswith(answer.json['id'])


def test_the_row_has_all_that_a_conductor_needs(service, client):
    answer = ask(client, {**WEB, 'timeout': 600, 'max_age': 60})
    build = service.database.get_build(answer.json['id'])
    assert {**build.base, **api_service.BASE} == build.base
    assert len(build.base['steps_key']) == 64
    assert build.timeout == 600
    assert build.max_age == 60
    assert build.architecture == 'x86_64'
    assert build.request['driver'] == 'fake'
    assert build.secrets is None
    assert build.request_id == answer.headers['x-openstack-request-id']


def test_a_follower_casts_nothing(service, client):
    ask(client, WEB)
    ask(client, {**WEB, 'name': 'other'})
    assert len(service.conductors.casts) == 1


def test_the_same_content_gives_the_same_image(service, client):
    first = ask(client, WEB).json
    service.finish(first['id'])
    second = ask(client, {**WEB, 'name': 'other', 'tags': ['x']}).json
    assert second['status'] == 'active'
    assert second['image_id'] == 'glance-1'
    assert second['reused_from'] == first['id']
    assert len(service.conductors.casts) == 1
    # No conductor will ever have it, so that the end is told here.
    assert service.notices.seen == [('active', second['id'])]


def test_never_builds_again(service, client):
    service.finish(ask(client, WEB).json['id'])
    again = ask(client, {**WEB, 'reuse': 'never'}).json
    assert again['status'] == 'queued'


def test_an_image_that_is_gone_is_built_again(service, client):
    first = ask(client, WEB).json
    service.finish(first['id'])
    build = service.database.get_build(first['id'])
    service.conductors.gone.add(build.image_row_id)
    plan = ask(client, WEB, '/v1/builds/plan').json
    assert plan['would_build']
    assert ask(client, WEB).json['status'] == 'queued'


def test_a_plan_names_the_image(service, client):
    first = ask(client, WEB).json
    service.finish(first['id'])
    plan = ask(client, WEB, '/v1/builds/plan').json
    assert plan['reuse'] == {'image_id': 'glance-1', 'build_id': first['id']}
    assert not plan['would_build']


def test_another_project_builds_its_own(service, client):
    service.finish(ask(client, WEB).json['id'])
    other = ask(client, WEB, **{'X-Project-Id': 'blue'}).json
    assert other['status'] == 'queued'
    assert other['image_id'] is None


def test_options_of_the_conductor_decide_the_content(service, client):
    first = ask(client, WEB, '/v1/builds/plan').json['content_key']
    service.conductors.answer = {
        'problems': [],
        'base': {**api_service.BASE, 'driver_options': {'size': 4}},
    }
    assert ask(client, WEB, '/v1/builds/plan').json['content_key'] != first


def test_the_version_of_the_recipe_is_fixed(service, client):
    build = ask(client, {'name': 'r', 'os': 'debian-12', 'recipe': 'redis'})
    assert build.status_code == 202, build.json
    assert build.json['request']['recipe_version'] == '7'


def test_elements_are_checked_where_they_are_named(service, client):
    body = {
        **WEB,
        'elements': ['mine', 'vm'],
        'manifest': {'elements': ['base'], 'validators': []},
    }
    service.conductors.answer = {
        'problems': [
            {'path': f'elements[{number}]', 'message': 'no'}
            for number in range(3)
        ],
        'base': None,
    }
    answer = ask(client, body)
    assert answer.status_code == 400
    _context, request = service.conductors.asked[-1]
    assert request['elements'] == ['base', 'mine', 'vm']
    assert [each['path'] for each in answer.json['error']['errors']] == [
        'manifest.elements[0]',
        'elements[0]',
        'elements[1]',
    ]
    # What the schema has against one, before any conductor is asked.
    answer = ask(client, {**WEB, 'elements': ['vm', '$(id)']})
    assert answer.status_code == 400
    assert answer.json['error']['errors'][0]['path'] == 'elements[1]'


def test_what_a_guest_cannot_do_alone_is_refused(service, client):
    service.conductors.answer = {
        'problems': [],
        'base': api_service.BASE,
        'by_program': True,
    }
    assert ask(client, WEB, '/v1/builds/plan').status_code == 200
    manifest = {'validators': [{'user': {'bob': {}}}, {'package': 'nginx'}]}
    answer = ask(client, {**WEB, 'manifest': manifest})
    assert answer.status_code == 400
    [problem] = answer.json['error']['errors']
    assert problem['path'] == 'manifest.validators[0].user'
    assert 'needs a way into the guest' in problem['message']


def test_elements_are_not_left_out_by_an_older_conductor(service, client):
    body = {**WEB, 'elements': ['vm']}
    answer = ask(client, body)
    assert answer.status_code == 400
    assert 'older release' in answer.json['error']['errors'][0]['message']
    service.conductors.answer = {
        'problems': [],
        'base': {**api_service.BASE, 'driver_options': {'elements': ['vm']}},
    }
    build = ask(client, body)
    assert build.status_code == 202, build.json
    assert build.json['request']['elements'] == ['vm']


# -- secrets ----------------------------------------------------------------


def test_hidden_values_are_kept_sealed(service, client):
    answer = ask(client, SECRET)
    assert answer.status_code == 202
    assert b'correct horse' not in answer.data
    build = service.database.get_build(answer.json['id'])
    assert build.request['arguments'] == {'password': '***', 'port': 8080}
    keys = service.conf.encryption_keys
    assert sealing.unseal(keys, build.secrets) == {'password': 'correct horse'}
    [(context, request)] = service.conductors.asked
    assert 'correct horse' not in json.dumps(request)
    assert context['auth_token'] is None


def test_hidden_values_decide_the_content(service, client):
    first = ask(client, SECRET).json['content_key']
    other = {**SECRET, 'arguments': {'password': 'another'}}
    assert ask(client, other).json['content_key'] != first


def test_a_content_key_tells_no_guess(service, client):
    """Who sees it cannot find out whether a guess is right."""
    first = ask(client, SECRET).json['content_key']
    assert ask(client, SECRET).json['content_key'] == first
    keys = [sealing.new_key(), *service.conf.encryption_keys]
    service.conf.set_override('encryption_keys', keys)
    assert ask(client, SECRET).json['content_key'] != first


def test_without_keys_hidden_values_are_refused(service, client):
    service.conf.set_override('encryption_keys', [])
    answer = ask(client, SECRET)
    assert answer.status_code == 400
    [problem] = answer.json['error']['errors']
    assert problem['path'] == 'arguments.password'
    assert 'encryption keys' in problem['message']


# -- what may go wrong around it --------------------------------------------


def test_no_conductor_is_nobodys_mistake(service, client):
    service.database.unregister('builder-1')
    answer = ask(client, WEB)
    assert answer.status_code == 503
    assert int(answer.headers['Retry-After']) > 0
    assert 'No conductor' in answer.json['error']['message']
    assert client.get('/v1/builds').json['builds'] == []


def test_no_answer_in_time(service, client):
    service.conductors.answer = exception.NoConductor(
        reason='none answered in time'
    )
    answer = ask(client, WEB)
    assert answer.status_code == 503
    assert answer.headers['Retry-After']


def test_mistakes_come_before_the_absence_of_conductors(service, client):
    service.database.unregister('builder-1')
    answer = ask(client, {**WEB, 'timeout': 10**9})
    assert answer.status_code == 400


def test_a_draining_conductor_builds_nothing_new(service, client):
    service.database.heartbeat('builder-1', running=1, status='draining')
    assert ask(client, WEB).status_code == 503


def test_only_conductors_that_can_are_named(service, client):
    service.up('builder-2', operating_systems=['debian-12-minimal'])
    service.up('builder-3', drivers=['guestfs'])
    service.up('builder-4', operating_systems=['debian-12'])
    plan = ask(client, WEB, '/v1/builds/plan').json
    assert plan['conductors'] == ['builder-1', 'builder-4']


def test_quota_of_what_a_change_adds(service, client):
    build = ask(client, WEB).json
    service.database.claim('builder-1', job=build['id'])
    service.database.finish_build(
        build['id'],
        db.Outcome('active', image={'image_id': 'i1', 'size': 1}),
        conductor='builder-1',
        attempt=1,
    )
    service.conf.set_override('request_bytes', 500, 'quota')
    address = f'/v1/builds/{build["id"]}'
    answer = client.patch(address, json={'properties': {'a': 'x' * 200}})
    assert answer.status_code == 200
    more = {'a': 'x' * 200, 'b': 'x' * 200}
    answer = client.patch(address, json={'properties': more})
    assert answer.status_code == 403
    assert 'quota' in answer.json['error']['message']
    answer = client.patch(address, json={'name': 'short', 'properties': {}})
    assert answer.status_code == 200


def test_quota(service, client):
    service.conf.set_override('queued', 1, 'quota')
    ask(client, WEB)
    answer = ask(client, {**WEB, 'packages': ['apache2']})
    assert answer.status_code == 403
    assert 'quota' in answer.json['error']['message']


@pytest.mark.parametrize('path', ['/v1/builds', '/v1/builds/plan'])
def test_a_disk_that_no_conductor_may_make(service, client, path):
    service.conf.set_override('max_virtual_size', 20, 'disks')
    manifest = {'min_disk': 20, 'validators': []}
    body = {'name': 'x', 'os': 'debian-12', 'manifest': manifest}
    assert ask(client, body, path).status_code in (200, 202)
    manifest['min_disk'] = 21
    answer = ask(client, body, path)
    assert answer.status_code == 400
    assert answer.json['error']['errors'] == [
        {
            'path': 'manifest.min_disk',
            'message': 'it needs a disk of 21 GiB, and this service makes '
            'none of more than 20 GiB',
        }
    ]


@pytest.mark.parametrize(
    'text',
    [
        b'validators: [{package: 1}]',
        b': : [',
        b'\xff',
        b'validators: [{script: missing.sh}]',
        None,
    ],
)
def test_broken_recipe_names_no_path(service, client, tmp_path, text):
    directory = tmp_path / 'recipes' / 'mine' / '1'
    directory.mkdir(parents=True)
    if text is None:
        (directory / 'image.yaml').symlink_to(tmp_path / 'nowhere')
    else:
        (directory / 'image.yaml').write_bytes(text)
    service.conf.set_override('recipe_path', [str(tmp_path / 'recipes')])
    body = {'name': 'x', 'os': 'debian-12', 'recipe': 'mine'}
    answers = [
        ask(client, body),
        ask(client, body, '/v1/builds/plan'),
        client.get('/v1/recipes'),
        client.get('/v1/recipes/mine/1'),
    ]
    assert {answer.status_code for answer in answers} <= {200, 400, 404, 409}
    assert answers[0].status_code == 400
    for answer in answers:
        assert str(tmp_path) not in answer.text
        assert 'recipes/' not in answer.text.replace('/v1/recipes/', '')


def test_broken_catalogue(service, client, tmp_path):
    (tmp_path / 'operating-systems.yaml').write_text('debian-12: [x]\n')
    answer = client.get('/v1/operating-systems')
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


def test_the_entry_goes_to_a_conductor_that_can(service, client):
    service.up('builder-2', drivers=['guestfs'])
    ask(client, {**WEB, 'os': 'debian-12-minimal'}, '/v1/builds/plan')
    [entry] = service.conductors.entries
    assert entry['name'] == 'debian-12-minimal'
    assert entry['driver_options'] == {'output_lines': 3}
    assert service.conductors.among == [['builder-1']]


def test_catalogue_is_read_again(service, client, tmp_path):
    path = tmp_path / 'operating-systems.yaml'
    path.write_text('plan-9: {driver: fake}\n')
    names = client.get('/v1/operating-systems').json['operating_systems']
    assert [each['name'] for each in names] == ['plan-9']
    path.unlink()
    answer = client.get('/v1/operating-systems').json
    assert answer == {'operating_systems': []}


# -- logs and endings -------------------------------------------------------


def test_a_log_is_read_in_parts(service, client):
    build_id = ask(client, WEB).json['id']
    text = 'für dich ✓\n' * 10
    service.database.append_log(build_id, text)
    found, offset = '', 0
    while True:
        answer = client.get(
            f'/v1/builds/{build_id}/log?offset={offset}&limit=7'
        )
        assert answer.status_code == 200
        if not answer.data:
            break
        found += answer.data.decode()
        offset = int(answer.headers['X-Next-Offset'])
    assert found == text
    assert offset == len(text.encode())
    assert int(answer.headers['X-Next-Offset']) == offset


def test_a_failed_build_says_whose_fault(service, client):
    build_id = ask(client, WEB).json['id']
    service.finish(
        build_id, status='error', reason='the script failed', fault='user'
    )
    build = client.get(f'/v1/builds/{build_id}').json
    assert (build['status'], build['fault']) == ('error', 'user')
    assert build['status_reason'] == 'the script failed'
    metrics = client.get('/metrics').text
    assert 'imagebuild_builds{fault="user",status="error"} 1.0' in metrics


def test_a_running_build_is_cancelled_by_its_conductor(service, client):
    build_id = ask(client, WEB).json['id']
    service.database.claim('builder-1', job=build_id)
    answer = client.post(f'/v1/builds/{build_id}/cancel')
    assert answer.status_code == 202
    assert answer.json['status'] == 'building'
    assert service.conductors.casts[-1] == ('cancel', build_id)
    assert service.notices.seen == []


def test_a_queued_build_is_cancelled_at_once(service, client):
    build_id = ask(client, WEB).json['id']
    answer = client.post(f'/v1/builds/{build_id}/cancel')
    assert answer.json['status'] == 'cancelled'
    assert service.conductors.casts == [('build', build_id)]
    assert service.notices.seen == [('cancelled', build_id)]


def test_what_is_said_about_an_image_is_changed(service, client):
    body = {**WEB, 'properties': {'a': '1', 'b': '2'}, 'tags': ['old']}
    build = ask(client, body).json
    path = f'/v1/builds/{build["id"]}'
    early = client.patch(path, json={'name': 'new'})
    assert early.status_code == 409
    assert 'only an image that is there' in early.json['error']['message']
    service.finish(build['id'])
    changed = client.patch(
        path, json={'name': 'new', 'properties': {'b': '3'}, 'min_ram': 64.0}
    )
    assert changed.status_code == 200
    assert changed.json['name'] == 'new'
    seen = client.get(path).json
    assert seen['request']['properties'] == {'b': '3'}
    assert seen['request']['tags'] == ['old']
    assert seen['request']['min_ram'] == 64
    assert seen['content_key'] == build['content_key']


@pytest.mark.parametrize(
    'change, path',
    [
        ({}, ''),
        ({'packages': []}, 'packages'),
        ({'name': ''}, 'name'),
        ({'visibility': 'private', 'members': ['p']}, 'members'),
        ({'properties': {'owner': 'me'}}, 'properties.owner'),
    ],
)
def test_changes_that_cannot_be(service, client, change, path):
    build = ask(client, WEB).json
    service.finish(build['id'])
    answer = client.patch(f'/v1/builds/{build["id"]}', json=change)
    assert answer.status_code == 400
    assert answer.json['error']['errors'][0]['path'] == path
    assert client.get(f'/v1/builds/{build["id"]}').json['name'] == 'web'


def test_changing_is_for_members_and_public_for_operators(service, client):
    build = ask(client, WEB, **{'X-Project-Id': 'p'}).json
    service.finish(build['id'])
    path = f'/v1/builds/{build["id"]}'
    for roles, change, status in [
        ('reader', {'name': 'x'}, 403),
        ('member,reader', {'visibility': 'public'}, 403),
        ('member,reader', {'name': 'x'}, 200),
        ('admin', {'visibility': 'public'}, 200),
    ]:
        headers = {'X-Project-Id': 'p', 'X-Roles': roles}
        answer = client.patch(path, json=change, headers=headers)
        assert answer.status_code == status, (roles, change)
    other = {'X-Project-Id': 'q', 'X-Roles': 'member,reader'}
    answer = client.patch(path, json={'name': 'x'}, headers=other)
    assert answer.status_code == 404


def test_deleting_tells_the_conductors(service, client):
    build_id = ask(client, WEB).json['id']
    service.finish(build_id)
    assert client.delete(f'/v1/builds/{build_id}').status_code == 204
    assert service.conductors.casts[-1] == ('delete', build_id)


def test_a_protected_image_keeps_its_last_build(service, client):
    first = ask(client, {**WEB, 'protected': True}).json['id']
    service.finish(first)
    second = ask(client, WEB).json['id']
    service.conductors.protected = {'glance-1'}
    assert client.delete(f'/v1/builds/{first}').status_code == 204
    answer = client.delete(f'/v1/builds/{second}')
    assert answer.status_code == 409
    said = answer.json['error']['message']
    assert 'the last that uses a protected image' in said
    assert 'glance-1' in said
    assert '"protected": false' in said
    assert client.get(f'/v1/builds/{second}').json['status'] == 'active'
    assert service.database.deleting_images() == []
    assert ('delete', second) not in service.conductors.casts
    service.conductors.protected = set()
    assert client.delete(f'/v1/builds/{second}').status_code == 204


def test_a_second_build_takes_nothing_from_the_first(service, client):
    said = {'tags': ['a'], 'min_disk': 4}
    first = ask(client, {**WEB, **said}).json['id']
    service.finish(first)
    plain = ask(client, {**WEB, 'name': 'plain'}).json
    assert plain['status'] == 'active'
    assert service.conductors.updates == []
    wanted = {'name': 'two', 'protected': True, 'tags': ['b'], 'min_disk': 2}
    second = ask(client, {**WEB, **wanted}).json
    assert second['reused_from'] == first
    # What the first has, and others in the store, is left as it is.
    assert service.conductors.updates == [
        image_change.ImageChange(
            protected=True, tags=['b'], min_disk=2, only_adds=True
        )
    ]
    path = f'/v1/builds/{first}'
    assert client.patch(path, json={'tags': []}).status_code == 200
    image = service.conductors.updates[-1]
    assert image == image_change.ImageChange(tags=['b'])
    path = f'/v1/builds/{second["id"]}'
    change = {'protected': False, 'name': 'three'}
    assert client.patch(path, json=change).json['name'] == 'three'
    image = service.conductors.updates[-1]
    assert image == image_change.ImageChange(protected=False)


def test_the_disk_that_its_system_needs(service, client):
    manifest = {'min_disk': 3, 'validators': [{'package': ['nginx']}]}
    body = {'name': 'web', 'os': 'debian-12', 'manifest': manifest}
    first = ask(client, {**body, 'min_disk': 1}).json['id']
    assert service.database.get_build(first).base['min_disk'] == 3
    service.finish(first)
    # An operator asks for more of it by now.
    catalogue = pathlib.Path(service.conf.operating_systems_file)
    catalogue.write_text(
        catalogue.read_text().replace('\n  image', '\n  min_disk: 7\n  image')
    )
    second = ask(client, body).json
    assert second['reused_from'] == first
    assert service.conductors.updates == [
        image_change.ImageChange(min_disk=7, only_adds=True)
    ]
    path = f'/v1/builds/{second["id"]}'
    for asked, seen in ((8, 8), (0, 7)):
        client.patch(path, json={'min_disk': asked})
        change = service.conductors.updates[-1]
        assert change == image_change.ImageChange(min_disk=seen)


def test_nobody_can_say_whether_an_image_is_protected(service, client):
    kept = ask(client, {**WEB, 'protected': True}).json['id']
    service.finish(kept)
    free = ask(client, {**WEB, 'name': 'x', 'packages': ['zip']}).json['id']
    service.finish(free, 'glance-2')
    service.conductors.protected = exception.NoConductor(reason='silence')
    assert client.delete(f'/v1/builds/{kept}').status_code == 409
    assert client.delete(f'/v1/builds/{free}').status_code == 204


# -- health -----------------------------------------------------------------


def test_a_silent_bus_is_unhealthy(service, client):
    service.conductors.answer = exception.NoConductor(reason='silence')
    answer = client.get('/healthcheck', headers={'Accept': 'application/json'})
    assert answer.status_code == 503
    assert answer.json['checks']['bus']['status'] == 'error'
    assert client.get('/healthcheck').text.startswith('ERROR\n')


def test_a_full_disk_is_unhealthy(service, client):
    service.conf.set_override('min_free_disk', 10**9, 'api')
    answer = client.get('/healthcheck', headers={'Accept': 'application/json'})
    assert answer.status_code == 503
    assert answer.json['checks']['disk']['status'] == 'error'


def test_no_database_is_told_without_its_name(service, client, tmp_path):
    service.database.close()
    for path in tmp_path.glob('imagebuild.sqlite*'):
        path.unlink()
    service.conf.set_override('retry_for', 0, 'database')
    answer = client.get('/v1/builds')
    assert answer.status_code == 503
    assert 'table' not in answer.text
    assert 'sqlite' not in answer.text


# -- the real bus -----------------------------------------------------------


@pytest.fixture
def silent_client(tmp_path):
    """An API whose bus nobody listens to."""
    conf = api_service.make_conf(tmp_path)
    url = f'sqlite:///{tmp_path}/imagebuild.sqlite'
    migration.upgrade(url)
    database = db.Database(url)
    transport = bus.get_transport(conf, 'fake://')
    conductors = rpcapi.ConductorAPI(transport, timeout=1)
    application = app.create_app(
        conf,
        database=database,
        conductor_api=conductors,
        notifier=notifications.Notifier(conf, 'api'),
    )
    wsgi = api_service.with_token(conf, application)
    api_service.Service(conf, database, None, None, wsgi).up()
    yield werkzeug_test.Client(wsgi)
    database.close()
    conf.clear()


def test_silence_is_told_in_time(silent_client):
    answer = ask(silent_client, WEB)
    assert answer.status_code == 503
    assert answer.headers['Retry-After']
    assert 'none answered in time' in answer.json['error']['message']
    assert silent_client.get('/healthcheck').status_code == 503
