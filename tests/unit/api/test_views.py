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
import datetime
import json

import jsonschema
import pytest

from imagebuild import manifest
from imagebuild.api import views


def test_time():
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    assert views.time(moment) == '2026-01-02T03:04:05.678Z'
    assert views.time(None) is None


ARGUMENTS = [
    manifest.Argument('plain', description='Words.', default='x'),
    manifest.Argument('port', default='80', type='integer'),
    manifest.Argument('ratio', default='0.5', type='number'),
    manifest.Argument('odd', default='nan', type='number'),
    manifest.Argument('on', default='true', type='boolean'),
    manifest.Argument('size', required=True, choices=('s', 'm')),
    manifest.Argument('password', default='geheim', hidden=True),
]


@pytest.fixture
def schema():
    return views.arguments_schema(ARGUMENTS)


def test_arguments_are_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema, allow_nan=False)
    assert schema['required'] == ['size']
    assert schema['properties']['port'] == {'type': 'integer', 'default': 80}
    assert schema['properties']['on']['default'] is True
    assert schema['properties']['size']['enum'] == ['s', 'm']


def test_hidden_defaults_are_not_shown(schema):
    assert schema['properties']['password'] == {
        'type': 'string',
        'writeOnly': True,
    }
