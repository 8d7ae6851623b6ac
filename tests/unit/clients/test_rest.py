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
"""Services that are found in a catalogue, or are not there."""

import pytest
from keystoneauth1 import access
from keystoneauth1 import session
from keystoneauth1.identity import access as plugins

from imagebuild import exception
from imagebuild.clients import block_storage
from imagebuild.clients import compute
from imagebuild.clients import network
from imagebuild.clients import rest

PROJECT = 'c0ffee00000000000000000000000000'


def session_of(**services):
    """A session whose catalogue has these: type to URL."""
    catalogue = [
        {
            'type': kind,
            'endpoints': [
                {'interface': 'public', 'url': url, 'region_id': 'R'}
            ],
        }
        for kind, url in services.items()
    ]
    body = {
        'token': {
            'expires_at': '2999-01-01T00:00:00.000000Z',
            'project': {'id': PROJECT},
            'catalog': catalogue,
        }
    }
    found = access.create(body=body, auth_token='x')  # noqa: S106
    return session.Session(auth=plugins.AccessInfoPlugin(found))


@pytest.mark.parametrize('kind', ['volumev3', 'block-storage'])
def test_cinder_has_had_several_names(kind):
    url = f'http://cinder.example/v3/{PROJECT}'
    client = block_storage.BlockStorage(session_of(**{kind: url}))
    assert client.is_there()
    assert client.project_id() == PROJECT


@pytest.mark.parametrize(
    'services',
    [
        {},
        {'compute': 'http://nova.example/v2.1'},
    ],
)
def test_a_cloud_without_cinder(services):
    client = block_storage.BlockStorage(session_of(**services))
    assert not client.is_there()
    with pytest.raises(rest.Fault, match='has no block-storage service in'):
        client.volume('x')


@pytest.mark.parametrize(
    ('client', 'code', 'reason', 'kind'),
    [
        (
            block_storage.BlockStorage,
            413,
            "Maximum number of volumes allowed (10) exceeded for quota 'x'.",
            rest.Fault,
        ),
        (
            block_storage.BlockStorage,
            413,
            'Requested volume size 9G is larger than maximum allowed limit '
            '8G.',
            rest.Fault,
        ),
        (
            block_storage.BlockStorage,
            413,
            'Only 10 POST request(s) can be made to * every minute.',
            exception.ServiceUnavailable,
        ),
        (
            network.Network,
            409,
            "Quota exceeded for resources: ['floatingip'].",
            rest.Fault,
        ),
        (
            network.Network,
            409,
            'No more IP addresses available on network X.',
            rest.Fault,
        ),
        (network.Network, 409, 'Port X is in use.', exception.Conflict),
        (network.Network, 400, 'X is not external', rest.Refused),
        (network.Network, 403, 'Policy', rest.Fault),
        (network.Network, 503, 'Away', exception.ServiceUnavailable),
    ],
)
def test_who_can_repair_what_a_service_says(client, code, reason, kind):
    made = client(session_of())
    error = made._of_answer(code, reason)
    assert type(error) is kind
    assert reason in str(error)


# -- lists ------------------------------------------------------------------


def listed(requests_mock, *answers):
    """The ids of servers, and the markers that were asked for.

    :param answers: ids, or the reason of a refusal.
    """
    url = 'http://nova.example/v2.1'
    requests_mock.get(
        f'{url}/servers/detail',
        [
            {'json': {'badRequest': {'message': each}}, 'status_code': 400}
            if isinstance(each, str)
            else {'json': {'servers': [{'id': str(n)} for n in each]}}
            for each in answers
        ],
    )
    client = compute.Compute(session_of(compute=url))
    try:
        found = [each['id'] for each in client.servers('x')]
    except exception.ImageBuildError as error:
        found = str(error)
    asked = [
        each.qs.get('marker', [''])[0]
        for each in requests_mock.request_history
    ]
    return found, asked


def test_a_list_of_pages(requests_mock):
    found, asked = listed(requests_mock, [1, 2], [3], [])
    assert (found, asked) == (['1', '2', '3'], ['', '2', '3'])


def test_a_server_that_moves_is_there_once(requests_mock):
    """Nova shows it before its cell has it, and then again."""
    assert listed(requests_mock, [1], [1]) == (['1'], ['', '1'])
    assert listed(requests_mock, [1, 2], [2, 3], [])[0] == ['1', '2', '3']


def test_a_marker_that_was_deleted(requests_mock):
    gone = 'marker [2] not found'
    found, asked = listed(requests_mock, [1, 2], gone, [3], [])
    assert (found, asked) == (['1', '2', '3'], ['', '2', '1', '3'])
    # All of them: from the beginning.
    found, asked = listed(requests_mock, [1], gone, [4], [])
    assert found == ['1', '4']
    assert asked[-4:] == ['', '1', '', '4']


def test_who_refuses_every_page(requests_mock):
    many = [*range(30)]
    found, asked = listed(requests_mock, many, *(['no'] * 20))
    assert found == 'The compute service refuses this: no (HTTP 400)'
    assert len(asked) == 12 and asked[-2:] == ['20', '']


def test_many_markers_that_were_deleted(requests_mock):
    """Read from the beginning, over a whole page that is known."""
    many = [*range(rest.PAGE)]
    gone = ['marker not found'] * 10
    found, asked = listed(requests_mock, many, *gone, many, [1000], [])
    assert found == [*map(str, many), '1000']
    assert asked[-3:] == ['', '499', '1000']


def test_who_knows_no_markers(requests_mock):
    many = [*range(rest.PAGE)]
    found, asked = listed(requests_mock, many, many, many)
    assert found.endswith('cannot be used: its answer cannot be understood.')
    assert len(asked) == 2
