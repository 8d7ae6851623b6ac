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
import pytest

from imagebuild import context
from imagebuild import exception
from imagebuild.api import build_request
from imagebuild.api.schemas import description
from imagebuild.common import image_properties
from imagebuild.policies import builds as policies


class Who(context.RequestContext):
    """Someone who may do everything but a few things."""

    def __init__(self, *forbidden):
        super().__init__(project_id='p', overwrite=False)
        self.forbidden = forbidden

    def may(self, rule, target=None):
        return rule not in self.forbidden


@pytest.mark.parametrize(
    'body, rule',
    [
        ({'manifest': {}}, policies.CREATE_MANIFEST),
        ({'driver': 'fake'}, policies.CREATE_DRIVER),
        ({'driver_options': {}}, policies.CREATE_DRIVER),
        ({'elements': ['vm']}, policies.CREATE_DRIVER),
        ({'destinations': ['x']}, policies.CREATE_DESTINATIONS),
        ({'visibility': 'public'}, policies.CREATE_PUBLIC),
        ({'visibility': 'community'}, policies.CREATE_COMMUNITY),
    ],
)
def test_fields_have_rules(body, rule):
    build_request.authorize(Who(), body)
    build_request.authorize(Who(rule), {'name': 'x', 'visibility': 'shared'})
    with pytest.raises(exception.Forbidden, match=rule):
        build_request.authorize(Who(rule), body)


def test_defaults_are_spelled_out():
    request = description.with_defaults({'name': 'x', 'min_disk': 2.0})
    # A destination may have another.
    assert 'disk_format' not in request
    assert 'container_format' not in request
    assert request['visibility'] == 'shared'
    assert request['tags'] == []
    assert isinstance(request['min_disk'], int)
    assert 'max_age' not in request


def test_defaults_are_not_shared():
    description.with_defaults({'name': 'x'})['tags'].append('y')
    assert description.with_defaults({'name': 'x'})['tags'] == []


def paths(request):
    found = description.problems(
        description.with_defaults(request),
        given=request,
        max_timeout=10,
        rules=image_properties.Rules(),
    )
    return [problem.path for problem in found]


@pytest.mark.parametrize(
    'request_, where',
    [
        ({'os': 'x'}, []),
        ({'base_image': 'x'}, []),
        ({}, ['os']),
        ({'os': 'x', 'timeout': 10}, []),
        ({'os': 'x', 'timeout': 11}, ['timeout']),
        ({'os': 'x', 'members': ['p']}, []),
        ({'os': 'x', 'members': ['p'], 'visibility': 'private'}, ['members']),
        ({'os': 'x', 'properties': {'os_distro': 'debian'}}, []),
        ({'os': 'x', 'properties': {'owner': 'p'}}, ['properties.owner']),
        (
            {'os': 'x', 'properties': {'imagebuild_build_id': 'p'}},
            ['properties.imagebuild_build_id'],
        ),
    ],
)
def test_what_no_schema_says(request_, where):
    assert paths(request_) == where
