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
import json
import re

import openapi_spec_validator
import pytest

from imagebuild.api import openapi
from imagebuild.api import routes


@pytest.fixture(scope='module')
def document():
    return openapi.document(routes.ROUTES, 'http://api.example:9797')


def operations(document):
    for path, methods in document['paths'].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_linter(document):
    openapi_spec_validator.validate(document)


def test_it_is_json(document):
    assert json.loads(json.dumps(document)) == document


def test_every_route_is_in_it(document):
    found = {
        (method.upper(), re.sub(r'\{(\w+)\}', r'<\1>', path))
        for path, method, _ in operations(document)
    }
    assert found == {(route.method, route.path) for route in routes.ROUTES}


def test_operations_have_names_of_their_own(document):
    names = [each['operationId'] for *_, each in operations(document)]
    assert len(set(names)) == len(names)


def test_parameters_of_paths_are_described(document):
    for path, _, operation in operations(document):
        described = {
            each['name']
            for each in operation['parameters']
            if each['in'] == 'path'
        }
        assert described == set(re.findall(r'\{(\w+)\}', path))


def test_errors_are_of_one_shape(document):
    for path, _, operation in operations(document):
        for code, answer in operation['responses'].items():
            if int(code) < 400 or path == '/healthcheck':
                continue
            [content] = answer['content'].values()
            assert content['schema'] == {'$ref': '#/components/schemas/Error'}


def test_all_components_are_used(document):
    text = json.dumps(document)
    for name in document['components']['schemas']:
        assert f'"#/components/schemas/{name}"' in text, name
