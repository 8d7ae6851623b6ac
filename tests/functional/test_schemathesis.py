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
"""Requests that nobody would think of, made from /openapi.json.

No answer may be a 500 or one that the document does not promise.
"""

import tempfile

import hypothesis
import pytest
import schemathesis
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from imagebuild.api import openapi
from imagebuild.api import routes
from tests.functional import api_service

#: Half of the requests are for things that exist; the others are left as
#: they were made up.
REAL_OS = 'debian-12'


_current = None


def application(environ, start_response):
    """The application of the moment: schemathesis wants one at import."""
    return _current.wsgi(environ, start_response)


@pytest.fixture(scope='module')
def service():
    global _current
    with (
        tempfile.TemporaryDirectory() as directory,
        api_service.running(directory) as _current,
    ):
        yield _current


@pytest.fixture(scope='module')
def builds(service):
    """Ids of builds in different states."""
    ids = []
    for number in range(4):
        values = {
            'project_id': 'default',
            'user_id': 'default',
            'name': f'build {number}',
            'os': REAL_OS,
            'driver': 'fake',
            'architecture': 'x86_64',
            'request': {'name': 'x'},
            'content_key': f'{number:064}',
            'base': api_service.BASE,
            'timeout': 60,
        }
        ids.append(service.database.create_build(values).id)
    service.finish(ids[0])
    service.finish(ids[1], status='error', reason='it failed', fault='user')
    service.database.append_log(ids[0], 'a line für dich\n' * 100)
    service.database.request_cancel(ids[2])
    return ids


schema = schemathesis.openapi.from_dict(
    openapi.document(routes.ROUTES, 'http://localhost')
)
schema.app = application


@schema.parametrize()
@hypothesis.settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
@pytest.mark.timeout(300)
def test_every_answer_is_promised(case, builds):
    number = len(repr(case.query)) + len(repr(case.body))
    if 'build_id' in (case.path_parameters or {}) and number % 3:
        case.path_parameters['build_id'] = builds[number % len(builds)]
    if isinstance(case.body, dict) and number % 2:
        case.body.pop('base_image', None)
        case.body.pop('driver', None)
        case.body['os'] = REAL_OS
    case.call_and_validate(
        checks=[
            checks.not_a_server_error,
            openapi_checks.status_code_conformance,
            openapi_checks.content_type_conformance,
            openapi_checks.response_headers_conformance,
            openapi_checks.response_schema_conformance,
        ]
    )
