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
"""Options of drivers: each declared once, as a field with a JSON schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import json_schema


class InvalidDriverOptions(exception.InvalidManifest):
    """The options given to a driver are not acceptable.

    Raised with every problem at once; paths are names of options.
    """

    subject = 'The driver options are not valid'


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a driver that are known to be good.

    A driver's own are a frozen dataclass that inherits from this one. The
    ``metadata`` of each field are the JSON schema of its value, with a
    ``description`` for users; a field without a default must be given.

    :cvar conditions: more keywords of the schema, for what concerns several
        options.
    """

    conditions: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The JSON schema of the options, draft 2020-12."""
        return {
            'type': 'object',
            'additionalProperties': False,
            'properties': {
                field.name: dict(field.metadata)
                for field in dataclasses.fields(cls)
            },
            **cls.conditions,
        }

    @classmethod
    def published(cls) -> dict[str, Any]:
        """The same schema for users: with defaults, without our messages."""
        schema = cls.schema()
        fields = dataclasses.fields(cls)
        for field in fields:
            # 0 and '' stand for what depends on other things.
            if field.default is False or field.default not in (
                dataclasses.MISSING,
                None,
                '',
                0,
            ):
                schema['properties'][field.name]['default'] = (
                    list(field.default)
                    if isinstance(field.default, tuple)
                    else field.default
                )
        required = [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING
        ]
        return {
            '$schema': 'https://json-schema.org/draft/2020-12/schema',
            **_without_messages(schema),
            **({'required': required} if required else {}),
        }

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Check options as they came; None is the default.

        :raises InvalidDriverOptions: with every problem.
        """
        given = {
            name: value for name, value in options.items() if value is not None
        }
        # What must be given and is not is checked as null, so that the
        # problem has the path of the option and lists what is accepted.
        for field in dataclasses.fields(cls):
            if field.default is dataclasses.MISSING:
                given.setdefault(field.name, None)
        problems = json_schema.check(given, cls.schema(), '')
        if problems:
            raise InvalidDriverOptions(problems)
        return cls(**{name: _plain(value) for name, value in given.items()})


def described(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of an option with what users are told of it."""
    return {**schema, 'description': text}


def integer(least: int, most: int, unit: str = '') -> dict[str, Any]:
    """The JSON schema of an integer within bounds.

    :param unit: for messages, such as ``GiB``.
    """
    what = f'an integer ({unit})' if unit else 'an integer'
    return {
        'type': 'integer',
        'minimum': least,
        'maximum': most,
        'x-message': f'is not {what} from {least} to {most}',
    }


#: The JSON schemas of a switch and of a text.
BOOLEAN = {'type': 'boolean', 'x-message': 'is neither true nor false'}
TEXT = {'type': 'string'}


def _without_messages(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return [_without_messages(each) for each in schema]
    if isinstance(schema, Mapping):
        return {
            name: _without_messages(each)
            for name, each in schema.items()
            if name != 'x-message'
        }
    return schema


def _plain(value: Any) -> Any:
    """4.0, which is an integer for JSON schema, as 4."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
