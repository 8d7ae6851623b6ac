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
"""The commands for channels, with a service that is made up."""

import types

import pytest
from osc_lib import exceptions as osc_exceptions

from imagebuild.client import exceptions
from imagebuild.client.osc import builds
from imagebuild.client.osc import channels

URL = 'http://images.example:9797/v1'
ID = '6a1c2f7e-0b44-4b0e-8f7e-3d1b5a9c8e21'
BUILD = '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
PROD = {
    'id': ID,
    'name': 'web',
    'channel': 'prod',
    'current_build_id': BUILD,
    'current_image_id': 'glance-2',
    'previous_build_id': None,
    'previous_image_id': None,
    'tag': 'imagebuild_channel:prod:web',
    'tags': ['amphora'],
    'settled': False,
    'status_reason': None,
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
    """A service that has one channel."""
    requests_mock.get(f'{URL}/builds/{BUILD}', json={'id': BUILD})
    requests_mock.post(f'{URL}/builds/{BUILD}/promote', json=PROD)
    requests_mock.post(f'{URL}/builds/{BUILD}/rollback', json=PROD)
    page = {'channels': [PROD], 'available': ['dev', 'prod']}
    requests_mock.get(f'{URL}/channels', json=page)
    empty = {**page, 'channels': []}
    requests_mock.get(f'{URL}/channels?name=no', json=empty)
    requests_mock.delete(f'{URL}/channels/{ID}', status_code=204)
    return requests_mock


def shown(result):
    names, values = result
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize(
    ('line', 'body'),
    [
        ([], {}),
        (['--tag', 'a', '--tag', 'b'], {'tags': ['a', 'b']}),
        (['--no-tag'], {'tags': []}),
        (['--if-current', BUILD], {'current_build_id': BUILD}),
        (['--if-current', 'none'], {'current_build_id': None}),
    ],
)
def test_promote(run, web, line, body):
    found = shown(run(channels.PromoteBuild, BUILD, 'prod', *line))
    assert web.last_request.json() == {'channel': 'prod', **body}
    assert web.last_request.path.endswith('/promote')
    assert found['current_image_id'] == 'glance-2'
    assert found['previous_build_id'].machine_readable() is None


def test_roll_back(run, web):
    run(channels.PromoteBuild, BUILD, 'prod', '--rollback')
    assert web.last_request.path.endswith('/rollback')
    assert web.last_request.json() == {'channel': 'prod'}
    # By the name of the images: the current one.
    run(channels.PromoteBuild, 'web', 'prod', '--rollback')
    assert web.last_request.path.endswith(f'/{BUILD}/rollback')
    sent = web.call_count
    with pytest.raises(osc_exceptions.CommandError, match='no --tag'):
        run(channels.PromoteBuild, BUILD, 'prod', '--rollback', '--no-tag')
    assert web.call_count == sent


def test_list(run, web):
    names, rows = run(
        channels.ListChannel,
        *('--long', '--all-projects', '--build', BUILD, '--channel', 'prod'),
    )
    for part in (f'build_id={BUILD}', 'channel=prod', 'all_projects=true'):
        assert part in web.last_request.query
    found = dict(zip(names, rows[0], strict=True))
    assert found['Current Image'] == 'glance-2'
    assert found['Settled'] is False


def test_show_history_and_delete(run, web):
    change = {'action': 'promote', 'build_id': BUILD, 'at': 'now'}
    web.get(f'{URL}/channels/{ID}/history', json={'history': [change]})
    assert shown(run(channels.ShowChannel, 'web', 'prod'))['id'] == ID
    _, rows = run(channels.ListPromotion, 'web', 'prod')
    assert [*rows][0][:3] == ('now', 'promote', BUILD)
    run(channels.DeleteChannel, 'web', 'prod')
    assert web.last_request.method == 'DELETE'
    with pytest.raises(exceptions.NotFound, match='nothing was promoted'):
        run(channels.ShowChannel, 'no', 'prod')


def test_names_that_can_be_promoted_to(builder, web):
    assert builder.channels.available() == ('dev', 'prod')


def test_delete_a_build_when_it_is_unused(builder, run, web):
    web.delete(f'{URL}/builds/{BUILD}', status_code=204)
    builder.builds.delete(BUILD, when_unused=True)
    assert web.last_request.query == 'when_unused=true'
    run(builds.DeleteBuild, BUILD)
    assert web.last_request.query == ''
