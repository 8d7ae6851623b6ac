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
import requests

from imagebuild.client import builds
from imagebuild.client import exceptions

URL = 'http://images.example:9797/v1/builds'


def test_create(builder, requests_mock, body):
    requests_mock.post(URL, json=body(), status_code=202)
    build = builder.builds.create(name='web', packages=['nginx'])
    assert requests_mock.last_request.json() == {
        'name': 'web',
        'packages': ['nginx'],
    }
    assert build.status == 'queued'
    assert build.image_id == ''
    assert build.size is None
    assert not build.finished


def test_record(builder, requests_mock, body):
    image = {'destination': '', 'image_id': 'i', 'status': 'active', 'new': 1}
    requests_mock.get(
        f'{URL}/x',
        json={
            'build': body(
                status='active',
                image_id='i',
                images=[image],
                progress={'done': 1, 'total': 2, 'step': 'x', 'new': 1},
            )
        },
    )
    build = builder.builds.get('x')
    assert build.finished
    assert build.images[0].image_id == 'i'
    assert build.progress.total == 2
    assert build.raw['of_a_newer_service'] == {'x': 1}
    assert build.fault == build.reused_from == build.conductor == ''


def test_identifiers_stay_one_segment(builder, requests_mock, body):
    requests_mock.get(f'{URL}/..%2Fconductors%3Fx', json=body())
    assert builder.builds.get('../conductors?x')


def test_pages(builder, requests_mock, body):
    requests_mock.get(
        URL,
        json={
            'builds': [body(name='a'), body(name='b')],
            'next': 'http://other.example/prefix/v1/builds?limit=2&marker=b',
        },
    )
    requests_mock.get(
        f'{URL}?marker=b&limit=2', json={'builds': [body(name='c')]}
    )
    found = builder.builds.list(status='active', name=None, all_projects=True)
    assert requests_mock.call_count == 0
    assert [build.name for build in found] == ['a', 'b', 'c']
    first, second = requests_mock.request_history
    assert first.qs == {'status': ['active'], 'all_projects': ['true']}
    assert second.qs == {**first.qs, 'marker': ['b'], 'limit': ['2']}


def test_limit_is_of_all_pages(builder, requests_mock, body):
    requests_mock.get(
        URL,
        [
            {
                'json': {
                    'builds': [body(name=name) for name in names],
                    'next': f'/v1/builds?marker={names[-1]}&limit=2',
                }
            }
            for names in ('ab', 'cd')
        ],
    )
    names = [build.name for build in builder.builds.list(limit=3)]
    assert names == ['a', 'b', 'c']
    asked = [item.qs['limit'] for item in requests_mock.request_history]
    assert asked == [['3'], ['1']]
    assert [*builder.builds.list(limit=0)] == []


def test_links_of_the_guidelines(builder, requests_mock, body):
    requests_mock.get(
        URL,
        [
            {
                'json': {
                    'builds': [body()],
                    'links': [{'rel': 'next', 'href': '?marker=b'}],
                }
            },
            {'json': {'builds': [body()], 'builds_links': []}},
        ],
    )
    assert len([*builder.builds.list()]) == 2


def test_find_by_id(builder, requests_mock, body):
    wanted = body()
    requests_mock.get(f'{URL}/{wanted["id"]}', json=wanted)
    assert builder.builds.find(wanted['id']).id == wanted['id']
    assert requests_mock.call_count == 1


@pytest.mark.parametrize('name', ['web', str(uuid.uuid4())])
def test_find_by_name(builder, requests_mock, body, name):
    requests_mock.get(f'{URL}/{name}', status_code=404, json={})
    requests_mock.get(URL, json={'builds': [body(id='1')]})
    assert builder.builds.find(name).id == '1'
    assert requests_mock.last_request.qs == {'name': [name], 'limit': ['2']}


def test_find_none_or_several(builder, requests_mock, body):
    requests_mock.get(URL, json={'builds': []})
    with pytest.raises(exceptions.NotFound):
        builder.builds.find('web')
    requests_mock.get(URL, json={'builds': [body(), body()]})
    with pytest.raises(exceptions.Ambiguous):
        builder.builds.find('web')


def test_log_parts_end_with_whole_characters(builder, requests_mock):
    whole = 'für ✓ 𝄞'.encode()

    def answer(request, context):
        offset = int(request.qs['offset'][0])
        return whole[offset : offset + 6]

    requests_mock.get(f'{URL}/x/log', content=answer)
    offset = 0
    text = ''
    while True:
        chunk = builder.builds.log('x', offset)
        if not chunk.text:
            break
        assert chunk.offset == offset
        offset = chunk.next_offset
        text += chunk.text
    assert text == whole.decode()
    assert offset == len(whole)


def test_log_offset_of_the_service_wins(builder, requests_mock):
    requests_mock.get(
        f'{URL}/x/log', content=b'abc', headers={'X-Next-Offset': '10'}
    )
    assert builder.builds.log('x', 4).next_offset == 10


@pytest.mark.parametrize('content', [b'\xff', b'\xe2\x9c', b'a\xffb', b'\x80'])
def test_log_that_is_no_text_goes_on(builder, requests_mock, content):
    requests_mock.get(f'{URL}/x/log', content=content)
    chunk = builder.builds.log('x')
    assert chunk.text
    assert chunk.next_offset == len(content)


def test_follow_log_to_its_end(builder, requests_mock, body):
    requests_mock.get(
        f'{URL}/x',
        [
            {'json': body(status='building')},
            {'exc': requests.exceptions.ConnectionError('away')},
            {'json': body(status='active')},
        ],
    )
    requests_mock.get(
        f'{URL}/x/log',
        [{'content': part} for part in (b'a', b'b', b'', b'c', b'd', b'')],
    )
    found = builder.builds.follow_log('x', interval=0.001)
    assert ''.join(found) == 'abcd'


def test_wait(builder, requests_mock, body):
    requests_mock.get(
        f'{URL}/x',
        [{'json': body(status=s)} for s in ('queued', 'building', 'error')],
    )
    seen = []
    build = builder.builds.wait(
        'x', on_progress=lambda build: seen.append(build.status), interval=0
    )
    assert build.status == 'error'
    assert seen == ['queued', 'building', 'error']


def test_wait_has_an_end(builder, requests_mock, body):
    requests_mock.get(f'{URL}/x', json=body(status='building'))
    with pytest.raises(exceptions.WaitTimeout, match='still building'):
        builder.builds.wait('x', 0.05, interval=0.01)


def test_wait_through_an_absence(session, requests_mock, body):
    builder = builds_client(session)
    requests_mock.get(
        f'{URL}/x',
        [
            {'exc': requests.exceptions.ConnectionError('away')},
            {'status_code': 503},
            {'status_code': 502},
            {'json': body(status='active')},
        ],
    )
    assert builder.builds.wait('x', interval=0.001).status == 'active'


def test_retries_have_an_end(session, requests_mock):
    requests_mock.get(f'{URL}/x', status_code=503)
    with pytest.raises(exceptions.ServiceUnavailable):
        builds_client(session).builds.wait('x', interval=0.001, retry_for=0.01)


def test_wait_for_what_is_deleted(builder, requests_mock):
    requests_mock.get(f'{URL}/x', status_code=404)
    with pytest.raises(exceptions.NotFound):
        builder.builds.wait('x')


def builds_client(session):
    from imagebuild import client

    return client.Client(session, connect_retries=0, status_code_retries=0)


def test_very_many_steps(builder, requests_mock):
    """The service gives them in pages."""
    place = 'http://of.a.proxy/v1/builds/x/steps?marker=17'
    requests_mock.get(
        f'{URL}/x/steps', json={'steps': [{'number': 1}], 'next': place}
    )
    requests_mock.get(
        f'{URL}/x/steps?marker=17', json={'steps': [{'number': 2}]}
    )
    assert [step.number for step in builder.builds.steps('x')] == [1, 2]


def test_steps_and_plan(builder, requests_mock):
    requests_mock.get(
        f'{URL}/x/steps',
        json={'steps': [{'number': 1, 'result': 'ok', 'seconds': 1.5}]},
    )
    [step] = builder.builds.steps('x')
    assert (step.number, step.result, step.output) == (1, 'ok', '')
    requests_mock.post(
        f'{URL}/plan',
        json={
            'content_key': 'c',
            'would_build': False,
            'reuse': {'image_id': 'i', 'build_id': 'b'},
        },
    )
    plan = builder.builds.plan(name='x')
    assert not plan.would_build
    assert plan.reuse['image_id'] == 'i'


def test_the_rest(builder, requests_mock):
    base = 'http://images.example:9797/v1'
    requests_mock.get(
        f'{base}/recipes', json={'recipes': [{'name': 'redis', 'x': 1}]}
    )
    requests_mock.get(
        f'{base}/recipes/redis/7', json={'name': 'redis', 'version': '7'}
    )
    requests_mock.get(
        f'{base}/operating-systems',
        json={'operating_systems': [{'name': 'debian-12'}]},
    )
    requests_mock.get(
        f'{base}/conductors', json={'conductors': [{'name': 'c', 'slots': 2}]}
    )
    requests_mock.get(f'{base}/uploads', json={'uploads': [{'id': 'u'}]})
    requests_mock.post(f'{base}/uploads', json={'id': 'u'})
    requests_mock.delete(f'{base}/uploads/u', status_code=204)
    assert [item.name for item in builder.recipes.list()] == ['redis']
    assert builder.recipes.get('redis', '7').version == '7'
    [system] = builder.operating_systems.list()
    assert system.name == 'debian-12'
    assert next(builder.conductors.list()).slots == 2
    assert next(builder.uploads.list(build_id='b')).id == 'u'
    assert requests_mock.last_request.qs == {'build_id': ['b']}
    assert builder.uploads.create('b', destination='x').id == 'u'
    builder.uploads.delete('u')


def test_retries_go_on_for_minutes():
    assert builds.RETRY_FOR >= 60
