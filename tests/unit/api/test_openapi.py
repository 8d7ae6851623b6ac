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

import jsonschema
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


def objects(value, place=''):
    """Every schema of an object that says which keys it has."""
    if isinstance(value, dict):
        if isinstance(value.get('properties'), dict) and 'type' in value:
            yield place, value
        for key, below in value.items():
            yield from objects(below, f'{place}/{key}')
    if isinstance(value, list):
        for number, below in enumerate(value):
            yield from objects(below, f'{place}/{number}')


def test_every_field_is_described(document):
    silent = [
        f'{place}/{name}'
        for place, schema in objects(document)
        for name, field in schema['properties'].items()
        if not (field.get('description') or '$ref' in field)
    ]
    assert silent == []


def contents(document):
    for path, method, operation in operations(document):
        for answer in (
            operation.get('requestBody', {}),
            *operation['responses'].values(),
        ):
            content = answer.get('content', {}).get('application/json', {})
            if 'example' in content:
                yield f'{method} {path}', content


def test_samples_are_what_their_schemas_allow(document):
    seen = set()
    for place, content in contents(document):
        seen.add(place)
        jsonschema.Draft202012Validator(
            {**content['schema'], 'components': document['components']},
            format_checker=jsonschema.FormatChecker(),
        ).validate(content['example'])
    assert {'post /v1/builds', 'get /v1/builds', 'get /v1/uploads'} <= seen


def test_the_body_of_each_call_is_its_own(document):
    def body(method, path):
        request = document['paths'][path][method]['requestBody']
        return request['content']['application/json']['schema']['$ref']

    assert body('post', '/v1/builds').endswith('/Description')
    assert body('patch', '/v1/builds/{build_id}').endswith('/Changes')
