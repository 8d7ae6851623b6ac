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
"""What who asks a conductor is told of faults that are not theirs."""

from unittest import mock

import pytest

from imagebuild import catalogue
from imagebuild import exception
from imagebuild.conductor import client_cache
from imagebuild.conductor import conductor_context
from imagebuild.conductor import manager
from imagebuild.conductor import request_validation


def _answer_to(error):
    """What a caller of a conductor reads when a call raises."""
    endpoint = mock.create_autospec(manager.Manager, instance=True)
    endpoint._validator = mock.Mock()
    endpoint._validator.verify_image.side_effect = error
    return manager.Manager.verify_image(endpoint, {}, 'row')


@pytest.mark.parametrize(
    'error',
    [
        exception.EnvironmentFault(
            'The base image /srv/images/a.qcow2 cannot be read.'
        ),
        exception.InvalidInput('[keystone] of /etc/imagebuild is wrong'),
        OSError(2, 'No such file', '/srv/images/a.qcow2'),
    ],
)
def test_no_path_of_the_host_is_told(error):
    answer = _answer_to(error)
    assert answer['error']['kind'] == 'unavailable'
    for word in ('/srv', '/etc', 'keystone'):
        assert word not in answer['error']['message']


def test_what_is_away_is_named():
    error = exception.ServiceUnavailable(service='image', reason='HTTP 503')
    answer = _answer_to(error)
    assert answer['error']['message'] == str(error)


@pytest.mark.parametrize('section', [{}, {'auth_type': 'password'}])
def test_without_an_image_service_there_is_no_base_image(section):
    with pytest.raises(exception.InvalidInput, match='no Image service'):
        client_cache.needs_glance({'keystone': section})


@pytest.mark.parametrize(
    'section', [{'auth_url': 'http://h'}, {'auth_type': 'none'}]
)
def test_with_one_it_is_asked(section):
    client_cache.needs_glance({'keystone': section})


@pytest.mark.parametrize(
    'request_, path',
    [
        ({'base_image': 'mine', 'driver': 'wants'}, 'base_image'),
        ({'os': 'by-name'}, 'os'),
    ],
)
def test_a_request_for_one_is_refused(request_, path):
    """A 400 of that field, not a 503 that asks to try again."""
    driver = mock.Mock(
        wants_base=True, takes_elements=False, base_kinds=('glance',)
    )
    driver.combined.side_effect = lambda entry, asked: {**entry, **asked}
    driver.name = 'wants'
    provider = mock.Mock()
    provider.driver.return_value = driver
    entry = catalogue.OperatingSystem(
        request_.get('os', ''), driver='wants', image={'name': 'debian'}
    )
    with mock.patch.object(
        conductor_context, 'job_config', autospec=True, return_value={}
    ):
        answer = request_validation.RequestValidator(
            mock.Mock(),
            provider,
            open_store=mock.Mock(),
            open_glance=client_cache.ClientCache(mock.Mock()).glance,
        ).check_request('p1', request_, entry.to_dict())
    (problem,) = answer['problems']
    assert problem['path'] == path
    assert 'no Image service' in problem['message']


@pytest.mark.parametrize(
    'error, kind',
    [
        (exception.NotFound(what='build', id='b'), 'not_found'),
        (exception.DatabaseUnavailable(reason='away'), 'unavailable'),
        (RuntimeError('secret'), 'unavailable'),
    ],
)
def test_errors_travel_by_name(error, kind):
    answer = _answer_to(error)
    assert answer['error']['kind'] == kind
    assert 'secret' not in answer['error']['message']
