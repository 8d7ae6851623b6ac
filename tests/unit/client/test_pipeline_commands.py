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
"""The commands for pipelines, with a service that is made up."""

import types

import pytest
from osc_lib import exceptions as osc_exceptions

from imagebuild.client import exceptions
from imagebuild.client.osc import pipelines

URL = 'http://images.example:9797/v1/pipelines'
ID = '9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4'
WEB = {
    'id': ID,
    'name': 'web',
    'status': 'active',
    'status_reason': None,
    'image': {'name': 'web', 'packages': ['nginx']},
    'cron': '0 3 * * *',
    'max_age': None,
    'keep': 3,
    'current_image_id': 'glance-1',
    'running_build_id': None,
    'run_requested': False,
}


@pytest.fixture
def run(builder):
    def call(command, *line):
        app = types.SimpleNamespace(
            client_manager=types.SimpleNamespace(image_build=builder),
            options=types.SimpleNamespace(),
        )
        made = command(app, None)
        return made.take_action(made.get_parser('x').parse_args(line))

    return call


@pytest.fixture
def web(requests_mock):
    """A service that has one pipeline."""
    requests_mock.get(f'{URL}?name=web', json={'pipelines': [WEB]})
    requests_mock.get(f'{URL}?name=no', json={'pipelines': []})
    requests_mock.get(f'{URL}/{ID}', json=WEB)
    requests_mock.patch(f'{URL}/{ID}', json=WEB)
    requests_mock.post(f'{URL}/{ID}/run', json=WEB, status_code=202)
    requests_mock.delete(f'{URL}/{ID}', status_code=204)
    return requests_mock


def shown(result):
    names, values = result
    return dict(zip(names, values, strict=True))


def test_create(run, requests_mock):
    requests_mock.post(URL, json=WEB, status_code=201)
    found = shown(
        run(
            pipelines.CreatePipeline,
            *('web', '--os', 'debian-12', '--package', 'nginx'),
            *('--cron', '0 3 * * *', '--keep', '3', '--image-name', 'w'),
        )
    )
    assert requests_mock.last_request.json() == {
        'name': 'web',
        'image': {'name': 'w', 'os': 'debian-12', 'packages': ['nginx']},
        'cron': '0 3 * * *',
        'keep': 3,
    }
    assert found['current_image_id'] == 'glance-1'


def test_a_schedule_is_one_of_both(run):
    with pytest.raises(SystemExit):
        run(pipelines.CreatePipeline, 'x', '--cron', 'x', '--max-age', '1')


def test_list(run, requests_mock):
    requests_mock.get(URL, json={'pipelines': [WEB]})
    names, rows = run(pipelines.ListPipeline, '--long', '--status', 'active')
    assert 'status=active' in requests_mock.last_request.query
    assert dict(zip(names, rows[0], strict=True))['Current Image'] == (
        'glance-1'
    )


def test_show_by_name_or_id(run, web):
    for name in ('web', ID):
        assert shown(run(pipelines.ShowPipeline, name))['id'] == ID
    with pytest.raises(exceptions.NotFound, match='no pipeline "no"'):
        run(pipelines.ShowPipeline, 'no')


@pytest.mark.parametrize(
    ('line', 'body'),
    [
        (('--keep', '4'), {'keep': 4}),
        (('--no-schedule',), {'cron': None, 'max_age': None}),
        (('--os', 'debian-12'), {'image': {'os': 'debian-12'}}),
        (('--paused',), {'paused': True}),
    ],
)
def test_set(run, web, line, body):
    run(pipelines.SetPipeline, 'web', *line)
    assert web.last_request.json() == body


def test_set_wants_a_change(run, web):
    with pytest.raises(osc_exceptions.CommandError, match='Nothing'):
        run(pipelines.SetPipeline, 'web')


def test_pause_and_unpause(run, web):
    run(pipelines.PausePipeline, 'web')
    assert web.last_request.json() == {'paused': True}
    run(pipelines.UnpausePipeline, 'web')
    assert web.last_request.json() == {'paused': False}


def test_run(run, web):
    run(pipelines.RunPipeline, 'web')
    assert web.last_request.path.endswith('/run')


def test_delete_goes_on_after_one_that_is_not_there(run, web):
    with pytest.raises(osc_exceptions.CommandError, match='^no: '):
        run(pipelines.DeletePipeline, 'no', 'web')
    assert web.last_request.method == 'DELETE'
    assert web.last_request.query == ''
    run(pipelines.DeletePipeline, 'web', '--images')
    assert web.last_request.query == 'delete_images=true'
