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
import flask
import pytest
from werkzeug import exceptions as werkzeug_exceptions

from imagebuild import exception
from imagebuild.api import validation
from imagebuild.api.schemas import base
from imagebuild.api.schemas import builds

app = flask.Flask(__name__)

PARAMETERS = (
    base.LIMIT,
    base.ALL_PROJECTS,
    base.Parameter('name', 'x', base.NAME),
)


def query(text, parameters=PARAMETERS):
    with app.test_request_context(f'/?{text}'):
        return validation.query(flask.request, parameters)


@pytest.mark.parametrize(
    'text, values',
    [
        ('', {}),
        ('limit=5', {'limit': 5}),
        ('all_projects=True&name=5', {'all_projects': True, 'name': '5'}),
        ('name=a%26b', {'name': 'a&b'}),
    ],
)
def test_values_are_converted(text, values):
    assert query(text) == values


@pytest.mark.parametrize(
    'text, path, message',
    [
        ('colour=red', 'colour', 'unknown query parameter; known are: limit'),
        ('limit=1&limit=1', 'limit', 'more than once'),
        ('limit=0', 'limit', 'minimum'),
        ('limit=-1', 'limit', 'minimum'),
        ('limit=1.0', 'limit', 'not of type'),
        ('limit=99999999999999', 'limit', 'not of type'),
        ('limit=%D9%A3', 'limit', 'not of type'),
        ('limit=', 'limit', 'not of type'),
        ('all_projects=1', 'all_projects', 'not of type'),
        ('name=', 'name', 'must not be empty'),
        ('name=%00', 'name', 'NUL'),
    ],
)
def test_bad_queries(text, path, message):
    with pytest.raises(exception.InvalidRequest) as caught:
        query(text)
    [problem] = caught.value.errors
    assert problem.path == path
    assert message in problem.message


@pytest.mark.parametrize(
    'text, is_good',
    [
        ('created_at', True),
        ('created_at:desc,name:asc', True),
        ('created_at:down', False),
        ('created_at,', False),
        ('finished_at:desc,driver', True),
        ('id', False),
        ('name:asc\n', False),
    ],
)
def test_sort(text, is_good):
    with app.test_request_context('/', query_string={'sort': text}):
        if is_good:
            assert validation.query(flask.request, builds.LIST_QUERY)
        else:
            with pytest.raises(exception.InvalidRequest):
                validation.query(flask.request, builds.LIST_QUERY)


def test_filters_may_be_repeated():
    text = 'status=error&status=queued&status=error&os=a&os=b&name=x'
    found = query(text, builds.LIST_QUERY)
    assert found == {
        'status': ['error', 'queued'],
        'os': ['a', 'b'],
        'name': 'x',
    }
    for text in (
        'status=error&status=asleep',
        '&'.join(f'os={number}' for number in range(21)),
    ):
        with pytest.raises(exception.InvalidRequest):
            query(text, builds.LIST_QUERY)


def body(data, content_type='application/json'):
    with app.test_request_context(
        '/', method='POST', data=data, content_type=content_type
    ):
        return validation.body(flask.request, builds.CREATE)


def test_body_comes_with_its_problems():
    value, problems = body('{"name": "", "min_ram": true}')
    assert value == {'name': '', 'min_ram': True}
    assert [problem.path for problem in problems] == ['min_ram', 'name']


def test_body_of_another_type():
    with pytest.raises(werkzeug_exceptions.UnsupportedMediaType):
        body('{}', 'text/plain')


def test_body_that_is_no_object():
    with pytest.raises(exception.InvalidRequest, match='not of type'):
        body('[1]')


def test_a_flood_of_problems_is_cut():
    packages = ','.join(['1'] * 20_000)
    _, problems = body(f'{{"name": "x", "packages": [{packages}]}}')
    assert len(problems) == validation.MAX_PROBLEMS


def test_refuse():
    validation.refuse([])
    same = exception.Problem('a', 'b')
    with pytest.raises(exception.InvalidRequest) as caught:
        validation.refuse([same, same])
    assert list(caught.value.errors) == [same]
    many = [exception.Problem(str(number), 'x') for number in range(500)]
    with pytest.raises(exception.InvalidRequest) as caught:
        validation.refuse(many)
    assert caught.value.errors[-1].message == 'and 400 more'
