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
"""The page of the REST API has a row for each route, and no other."""

import pathlib
import re

import pytest

from imagebuild.api import routes
from imagebuild.api.schemas import builds
from imagebuild.api.schemas import description
from imagebuild.common import statuses
from imagebuild.db import records

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / 'doc' / 'source' / 'api' / 'rest.rst').read_text()

_ROW = re.compile(
    r'^(?P<method>[A-Z]+) +``(?P<path>/[^`]*)`` +(?P<status>\d{3}) '
    r'(?P<text>.*\n(?: {8,}.*\n)*)',
    re.MULTILINE,
)

ROWS = {
    (row['method'], row['path']): (
        int(row['status']),
        ' '.join(row['text'].split()),
    )
    for row in _ROW.finditer(PAGE)
}


def key(route):
    return route.method, re.sub(r'<(\w+)>', r'{\1}', route.path)


@pytest.mark.parametrize(
    'route', routes.ROUTES, ids=lambda r: ' '.join(key(r))
)
def test_route_has_its_row(route):
    status, text = ROWS[key(route)]
    assert status == route.status
    assert ('Public.' in text) == route.public


def test_every_row_is_a_route():
    assert ROWS.keys() == {key(route) for route in routes.ROUTES}


def test_every_field_is_told():
    told = set(re.findall(r'``(\w+)``', PAGE))
    assert description.FIELDS <= told
    assert set(statuses.ALL) <= told
    examples = set(re.findall(r'(\w+)=', PAGE))
    assert {item.name for item in builds.LIST_QUERY} <= told | examples


def test_the_sort_keys_are_told():
    [sentence] = re.findall(r'; the keys are ([^.]*)\.', PAGE)
    assert re.findall(r'``(\w+)``', sentence) == list(records.SORT_KEYS)


def test_every_status_of_an_error_is_told():
    told = {
        int(code) for code in re.findall(r'^(\d{3})  ', PAGE, re.MULTILINE)
    }
    codes = {code for route in routes.ROUTES for code in route.errors}
    assert codes | {400, 401, 403, 406, 413, 415, 500, 503} <= told
