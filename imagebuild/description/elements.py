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
"""``elements`` of a request and of its recipe or manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild.common import element_names
from imagebuild.common import json_schema
from imagebuild.description import origin
from imagebuild.exception import Problem


def read(
    request: Mapping[str, Any],
    source: origin.Origin,
    problems: list[Problem],
) -> dict[str, str]:
    """Collect them: those of the recipe or manifest come first.

    :param request: plain values.
    :param problems: what is wrong is added here.
    :returns: each once, with its place in the request.
    """
    found: dict[str, str] = {}
    if source.manifest is not None:
        for number, name in enumerate(source.manifest.elements):
            found[name] = (
                'recipe' if source.recipe else f'manifest.elements[{number}]'
            )
    given = request.get('elements')
    if given is None:
        return found
    wrong = json_schema.check(given, element_names.SCHEMA, 'elements')
    problems.extend(wrong)
    if not wrong:
        for number, name in enumerate(given):
            found.setdefault(name, f'elements[{number}]')
    return found
