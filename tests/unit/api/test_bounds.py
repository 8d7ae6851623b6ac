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
"""Every value that a request may hold has a bound."""

import contextlib
import json
import time

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.api import openapi
from imagebuild.api import routes
from imagebuild.api import schemas
from imagebuild.api import strict_json
from imagebuild.common import json_schema
from imagebuild.drivers import registry
from imagebuild.manifest import arguments
from imagebuild.manifest import loader
from imagebuild.manifest import validators
from imagebuild.sbom import versions


def _types(schema):
    kind = schema.get('type', ())
    return {kind} if isinstance(kind, str) else set(kind)


def _missing(schema):
    """The keywords that one level of a schema lacks."""
    if 'enum' in schema or 'const' in schema:
        return
    types = _types(schema)
    if not types and not {'anyOf', 'oneOf'} & schema.keys():
        yield 'type'
    if 'string' in types and 'maxLength' not in schema:
        yield 'maxLength'
    if types & {'integer', 'number'}:
        yield from {'minimum', 'maximum'} - schema.keys()
    if 'array' in types:
        yield from {'maxItems', 'items'} - schema.keys()
    if 'object' in types and schema.get('additionalProperties') is not False:
        wanted = {'maxProperties'}
        if 'x-bounded-by' not in schema:
            wanted |= {'propertyNames', 'additionalProperties'}
        yield from wanted - schema.keys()


def unbounded(schema, place):
    """Every place of a schema that lacks a bound, and which."""
    for keyword in _missing(schema):
        yield f'{place}: {keyword}'
    for name, inner in schema.get('properties', {}).items():
        yield from unbounded(inner, f'{place}.{name}')
    names = schema.get('propertyNames')
    if names is not None and 'maxLength' not in names:
        yield f'{place} (names): maxLength'
    for keyword in ('items', 'additionalProperties'):
        if isinstance(schema.get(keyword), dict):
            yield from unbounded(schema[keyword], f'{place}.{keyword}')
    for keyword in ('anyOf', 'oneOf', 'allOf'):
        for index, inner in enumerate(schema.get(keyword, ())):
            yield from unbounded(inner, f'{place}.{keyword}[{index}]')


@pytest.mark.parametrize(
    'route', routes.ROUTES, ids=lambda route: f'{route.method} {route.path}'
)
def test_everything_in_a_request_has_a_bound(route):
    found = [] if route.body is None else [*unbounded(route.body, 'body')]
    for parameter in openapi.document([route], '')['paths'].values():
        for operation in parameter.values():
            for each in operation['parameters']:
                found += unbounded(each['schema'], each['name'])
    assert found == []


@pytest.mark.parametrize(
    'schema',
    [
        {'type': 'string'},
        {'type': ['integer', 'null'], 'minimum': 0},
        {'type': 'array', 'items': {'enum': [1]}},
        {'type': 'array', 'maxItems': 1, 'items': {'type': 'string'}},
        {'type': 'object'},
        {},
    ],
)
def test_the_walk_finds_what_has_none(schema):
    assert [*unbounded(schema, 'x')]


def unbounded_lists(schema, place):
    """Every list of a schema that may have any number of entries."""
    if isinstance(schema, dict):
        if 'array' in _types(schema) and 'maxItems' not in schema:
            yield place
        for name, inner in schema.items():
            yield from unbounded_lists(inner, f'{place}.{name}')
    elif isinstance(schema, list | tuple):
        for index, inner in enumerate(schema):
            yield from unbounded_lists(inner, f'{place}[{index}]')


def test_every_list_of_a_manifest_has_a_bound():
    """What is done for an entry is more than reading it.

    Texts and mappings are bounded by the size of a body alone.
    """
    found = [*unbounded_lists(loader._ROOT, 'manifest')]
    found += unbounded_lists(arguments._ONE, 'arguments')
    known = validators.types()
    assert 'package' in known
    for name, kind in known.items():
        found += unbounded_lists(dict(kind.schema), name)
    assert found == []


def test_every_list_of_driver_options_has_a_bound():
    known = registry.drivers()
    assert 'guestfs' in known
    found = []
    for name, driver in known.items():
        found += unbounded_lists(driver.options.schema(), name)
    assert found == []


def test_a_list_that_is_too_long():
    text = 'validators:\n- pip: [' + 'a, ' * 10_001 + ']\n'
    with pytest.raises(exception.InvalidManifest) as caught:
        manifest.load(text)
    [problem] = caught.value.errors
    assert (problem.path, problem.message) == (
        'validators[0].pip',
        'it has more than 10000 entries',
    )


def test_a_path_of_a_problem_is_short():
    key = 'k' * strict_json.MAX_KEY
    with pytest.raises(exception.InvalidRequest) as caught:
        strict_json.parse(json.dumps({key: '\0'}).encode())
    assert len(caught.value.errors[0].path) < 200
    assert json_schema.join('', 'a', 'plain') == 'a.plain'


@pytest.mark.parametrize('end', ['', ' ', '\u00fc', ',', '<'])
def test_blanks_in_conditions_take_no_time(end):
    """They could be read in so many ways that one request never ended."""
    text = '1' + (',' + ' ' * 30 + '1') * 5 + end
    [version] = (
        each for each in schemas.packages.LIST_QUERY if each.name == 'version'
    )
    begun = time.process_time()
    found = json_schema.check(text, version.schema, 'version')
    assert time.process_time() - begun < 2
    assert bool(found) is (end.strip() != '')
    with contextlib.suppress(versions.InvalidCondition):
        versions.Conditions.parse(text)
    assert time.process_time() - begun < 2
