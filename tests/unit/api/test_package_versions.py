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
"""A version that stands where a map with it is wanted."""

from typing import Any

import pytest

from imagebuild.api.schemas import description
from imagebuild.common import json_schema
from imagebuild.manifest.validators import package

PLACES: dict[str, tuple[Any, str]] = {
    'request': (
        description.DESCRIPTION['properties']['packages'],
        'packages[1].nginx',
    ),
    'manifest': (package.PackageValidator.schema, 'packages[1].nginx'),
}


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('version', ['1.22', 1.22, ['1.22']])
def test_the_answer_shows_the_right_form(place: str, version: Any) -> None:
    known, path = PLACES[place]
    problems = json_schema.check(
        ['curl', {'nginx': version}], known, 'packages'
    )
    [problem] = problems
    assert problem.path == path
    assert problem.message.endswith('write {nginx: {version: ...}}')


@pytest.mark.parametrize('place', PLACES)
def test_the_right_form_is_taken(place: str) -> None:
    known, _ = PLACES[place]
    value = ['curl', {'nginx': {'version': '1.22'}}, {'vim': None}]
    assert not json_schema.check(value, known, 'packages')
