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
"""Check values against JSON schemas; problems have messages and paths."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import cast

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError

from imagebuild import exception
from imagebuild.common.counts import counted

_PLAIN_KEY = re.compile(r'^[A-Za-z_][A-Za-z0-9_+-]*$')
_LONGEST_VALUE = 120

#: Entries of a list that nothing else bounds: more than anybody writes.
MANY = 10_000


def join(path: str, *parts: str | int) -> str:
    """Add keys and indices to a manifest path.

    >>> join('validators', 2, 'package', 0, '/etc/motd')
    'validators[2].package[0]["/etc/motd"]'

    :param path: '' for the root of the document.
    :param parts: int for an index, str for a key.
    """
    for part in parts:
        if isinstance(part, int):
            path += f'[{part}]'
        elif _PLAIN_KEY.match(part):
            part = _one_line(part)
            path += f'.{part}' if path else part
        else:
            escaped = part.replace('\\', '\\\\').replace('"', '\\"')
            path += f'["{_one_line(escaped)}"]'
    return path


def check(
    value: Any,
    schema: Mapping[str, Any],
    path: str,
    *,
    limit: int | None = None,
) -> list[exception.Problem]:
    """Return everything that is wrong with a value.

    :param value: of JSON's types, as from JSON or YAML.
    :param schema: JSON schema, draft 2020-12. ``x-message`` describes a
        value that it refuses; ``<key>`` stands for the value's own key.
    :param path: where the value stands.
    :param limit: look no further after so many; None for all.
    :returns: problems in the order of their places, empty when all is well.
    """
    errors = _Validator(schema).iter_errors(value)
    found = itertools.chain.from_iterable(
        _problems(error, path) for error in errors
    )
    return sorted(set(itertools.islice(found, limit)))


def _unique_items(
    _validator: object, wanted: bool, instance: Any, _schema: object
) -> Iterable[ValidationError]:
    """``uniqueItems`` of lists of texts, in linear time.

    jsonschema compares each item with each other one where they cannot be
    sorted. What is no text is left to the schema of the items.
    """
    if not wanted or not isinstance(instance, list):
        return
    seen: set[str] = set()
    for item in instance:
        if isinstance(item, str) and item in seen:
            yield ValidationError(f'{_shown(item)} is listed more than once')
            return
        if isinstance(item, str):
            seen.add(item)


_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {'uniqueItems': _unique_items}
)


def _problems(
    error: ValidationError, path: str
) -> Iterable[exception.Problem]:
    error = _most_telling(error)
    schema: Any = error.schema
    value: Any = error.validator_value
    where = join(path, *error.absolute_path)
    if error.validator == 'additionalProperties':
        known = sorted(schema.get('properties', {}))
        for key in cast('Any', error.instance):
            if key not in known:
                yield exception.Problem(
                    join(where, key),
                    f'unknown key; known are: {", ".join(known)}',
                )
        return
    if error.validator == 'required':
        instance = cast('Any', error.instance)
        missing = [key for key in value if key not in instance]
        for key in missing:
            yield exception.Problem(where, f'"{key}" is missing')
        return
    yield exception.Problem(where, _message(error))


def _most_telling(
    error: ValidationError,
) -> ValidationError:
    """Of the alternatives of anyOf, the one the author meant."""
    while error.validator in ('anyOf', 'oneOf') and error.context:
        # An alternative whose type already differs was not meant.
        meant = [
            child
            for child in error.context
            if not (child.validator == 'type' and not child.relative_path)
        ]
        if not meant:
            return error
        error = max(meant, key=lambda child: len(child.absolute_path))
    return error


def _message(error: ValidationError) -> str:
    schema: Any = error.schema
    value: Any = error.validator_value
    if schema.get('writeOnly'):
        # A password in the place of its hash is not repeated.
        return f'it {schema.get("x-message", "is not of the accepted form")}'
    message = schema.get('x-message')
    if error.validator == 'pattern':
        message = schema.get('x-pattern-message', message)
    if message:
        key = str(error.absolute_path[-1]) if error.absolute_path else ''
        message = message.replace('<key>', _one_line(key))
        return f'{_shown(error.instance)} {message}'
    if error.validator in ('anyOf', 'oneOf'):
        kinds = ', '.join(_kinds(value))
        return f'{_shown(error.instance)} is none of: {kinds}'
    if error.validator == 'type':
        return f"{_shown(error.instance)} is not of type '{value}'"
    if error.validator == 'enum':
        choices = ', '.join(str(choice) for choice in value)
        return f'{_shown(error.instance)} is not one of: {choices}'
    if error.validator in ('minItems', 'minProperties', 'minLength'):
        return 'it must not be empty'
    if error.validator == 'maxProperties' and value == 1:
        return f'{_shown(error.instance)} must have exactly one key'
    if error.validator in ('maxItems', 'maxProperties'):
        return f'it has more than {counted(value, "entry", "entries")}'
    if error.validator == 'maxLength':
        return (
            f'{_shown(error.instance)} is longer than '
            f'{counted(value, "character")}'
        )
    if error.validator == 'pattern':
        return f'{_shown(error.instance)} is not of the accepted form'
    return _one_line(error.message)


def _kinds(alternatives: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        str(item.get('title') or item.get('type')) for item in alternatives
    ]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        # repr() may be ten times as long.
        value = value[: 2 * _LONGEST_VALUE]
    return _one_line(repr(value))


def _one_line(text: str) -> str:
    text = ' '.join(text[: 8 * _LONGEST_VALUE].split())
    if len(text) > _LONGEST_VALUE:
        return text[:_LONGEST_VALUE] + '...'
    return text


#: Scalars are coerced to text by :func:`document.as_text`.
SCALAR: Mapping[str, Any] = {
    'title': 'a text or number',
    'type': ['string', 'number', 'boolean', 'null'],
}
#: A name that can be exported to a script, with ``-`` accepted.
VARIABLE: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z_][A-Za-z0-9_.-]*$(?!\n)',
    'x-message': 'is not a name (letters, digits, "_", "-" and ".")',
}
