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
"""Sample requests and answers, made of the examples in the schemas.

The reference of the API shows them. Nobody writes them by hand, so none can
name a field that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: By the format or the type of a value that has no example of its own.
_BY_FORMAT: Mapping[str, Any] = {'date-time': '2026-11-21T15:47:59Z'}
_BY_PATTERN = '6c1a3f52-0a0e-4d0c-8f2b-6e1d7c9b4a35'
_BY_TYPE: Mapping[str, Any] = {
    'string': '',
    'integer': 0,
    'number': 0.0,
    'boolean': False,
    'null': None,
}
_PREFIX = '#/components/schemas/'


def sample(
    schema: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]
) -> Any:
    """Return a value that a schema allows.

    :param schema: one of the OpenAPI document.
    :param components: what its references name.
    """
    if '$ref' in schema:
        name = schema['$ref'].removeprefix(_PREFIX)
        return sample(components[name], components)
    for key in ('examples', 'enum'):
        if key in schema:
            return schema[key][0]
    kind = _first(schema.get('type', 'object'))
    if kind == 'array':
        return [sample(schema.get('items', {}), components)]
    if kind == 'object':
        return {
            name: sample(value, components)
            for name, value in schema.get('properties', {}).items()
            # What may be left out, is.
            if name in schema.get('required', ())
        }
    return _of_text(schema) if kind == 'string' else _BY_TYPE[kind]


def _first(kind: Any) -> str:
    return str(kind if isinstance(kind, str) else kind[0])


def _of_text(schema: Mapping[str, Any]) -> Any:
    if schema.get('format') in _BY_FORMAT:
        return _BY_FORMAT[schema['format']]
    return _BY_PATTERN if 'pattern' in schema else _BY_TYPE['string']
