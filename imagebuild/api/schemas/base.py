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
"""What the schemas of several resources share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from imagebuild.api import strict_json
from imagebuild.common import control_characters

Schema = Mapping[str, Any]

#: The largest number of a database's integer column.
MAX_INT = 2**31 - 1

UUID_PATTERN = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'

TEXT: Schema = {'type': 'string'}
MAYBE_TEXT: Schema = {'type': ['string', 'null']}
#: A short text that others see, too: on their terminals and in their logs.
LABEL: Schema = {
    'type': 'string',
    'maxLength': 255,
    'pattern': control_characters.PATTERN,
    'x-pattern-message': 'holds a control character',
}
NAME: Schema = {**LABEL, 'minLength': 1}
BOOLEAN: Schema = {'type': 'boolean'}
COUNT: Schema = {'type': 'integer', 'minimum': 0}
MAYBE_COUNT: Schema = {'type': ['integer', 'null'], 'minimum': 0}
UUID: Schema = {
    'type': 'string',
    'pattern': UUID_PATTERN,
    # To Python, "$" also matches before a newline at the end: the length
    # refuses it.
    'maxLength': 36,
    'x-message': 'is not an id',
}
MAYBE_UUID: Schema = {**UUID, 'type': ['string', 'null']}
TIME: Schema = {'type': 'string', 'format': 'date-time'}
MAYBE_TIME: Schema = {'type': ['string', 'null'], 'format': 'date-time'}


#: Values of a parameter that may be given several times.
MAX_REPEATED = 20


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A query parameter, path parameter or header.

    :ivar name: as users type it.
    :ivar description: for the OpenAPI document.
    :ivar schema: of the value; its type is string, integer or boolean.
    :ivar repeatable: it may be given several times; its value is a list.
    :ivar required: of the query: it must be given.
    """

    name: str
    description: str
    schema: Schema = dataclasses.field(default_factory=lambda: LABEL)
    repeatable: bool = False
    required: bool = False


def closed(
    properties: Mapping[str, Schema], *optional: str, **more: Any
) -> Schema:
    """An object of exactly these keys.

    :param optional: the keys that may be missing.
    :param more: further keywords of the schema.
    """
    return {
        'type': 'object',
        'additionalProperties': False,
        'required': [name for name in properties if name not in optional],
        'properties': dict(properties),
        **more,
    }


def field(schema: Schema, description: str, *examples: Any) -> Schema:
    """A field of an object, for people who read the OpenAPI document.

    :param schema: of its value.
    :param description: for the OpenAPI document.
    :param examples: values; the first is part of the reference's samples.
    """
    field = {**schema, 'description': description}
    if examples:
        field['examples'] = list(examples)
    return field


#: Fields of the usual kinds, each called as :func:`field` without the schema.
text = functools.partial(field, TEXT)
maybe_text = functools.partial(field, MAYBE_TEXT)
count = functools.partial(field, COUNT)
maybe_count = functools.partial(field, MAYBE_COUNT)
time = functools.partial(field, TIME)
maybe_time = functools.partial(field, MAYBE_TIME)


def array(items: Schema, description: str, **more: Any) -> Schema:
    """A field that is a list.

    :param items: schema of each item.
    :param more: further keywords of the schema.
    """
    # The bounds first: keywords are checked in this order, and the errors of
    # ten thousand items would hide that they are too many.
    return {
        'type': 'array', **more, 'items': items, 'description': description,
    }  # fmt: skip


def integer(description: str, *, minimum: int = 0) -> Schema:
    """A field that is an integer which the database can hold."""
    limits = {'minimum': minimum, 'maximum': MAX_INT}
    return {'type': 'integer', 'description': description, **limits}


def mapping(keys: int, values: Schema, **more: Any) -> Schema:
    """An object of any keys.

    :param keys: at most so many.
    :param values: schema of each value.
    :param more: further keywords of the schema.
    """
    return {
        'type': 'object',
        'maxProperties': keys,
        'propertyNames': {'maxLength': strict_json.MAX_KEY},
        'additionalProperties': values,
        **more,
    }


def listing(name: str, component: str) -> Schema:
    """A page of a list.

    :param name: the key of the items.
    :param component: name of the items' schema in the OpenAPI document.
    """
    return closed(
        {
            name: array(ref(component), 'The items of this page.'),
            'next': text('Where the next page is, when there is one.'),
        },
        'next',
    )


def ref(component: str) -> Schema:
    """A schema that the OpenAPI document holds under a name."""
    return {'$ref': f'#/components/schemas/{component}'}


LINKS: Schema = array(
    closed(
        {
            'rel': text('What is there.', 'self'),
            'href': text('Its URL.', 'http://controller:9797/v1/...'),
        }
    ),
    'Where more is found.',
)

CHECKSUM: Schema = closed(
    {
        'os_hash_algo': maybe_text('Name of the hash.', 'sha512'),
        'os_hash_value': maybe_text(
            'The hash, in hexadecimal digits.', '5f1a9c...'
        ),
    },
    description='Of the image, as the image service has it.',
)

LIMIT = Parameter(
    'limit',
    'At most so many items; the operator sets a maximum.',
    {'type': 'integer', 'minimum': 1, 'maximum': MAX_INT},
)
MARKER = Parameter(
    'marker', 'The id of the last item of the page before.', UUID
)
ALL_PROJECTS = Parameter(
    'all_projects', 'Those of every project (operators only).', BOOLEAN
)
PROJECT_ID = Parameter(
    'project_id',
    'Those of this project (operators only, unless it is their own).',
    NAME,
)

ERROR: Schema = {
    'type': 'object',
    'required': ['error'],
    'properties': {
        'error': {
            'type': 'object',
            'description': 'What went wrong.',
            'required': ['code', 'title', 'message', 'errors'],
            'properties': {
                'code': {'type': 'integer', 'description': 'HTTP status.'},
                'title': text('The phrase of the HTTP status.'),
                'message': text('For people.'),
                'errors': array(
                    closed(
                        {
                            'path': text(
                                'Place in the request.', 'packages[1]'
                            ),
                            'message': text('What is wrong there.'),
                        }
                    ),
                    'Everything that is wrong with the '
                    'request, each with its place in it.',
                ),
                'min_version': text('With 406: the first microversion.'),
                'max_version': text('With 406: the last microversion.'),
            },
        }
    },
}
