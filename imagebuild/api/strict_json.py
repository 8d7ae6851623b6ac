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
"""Parses the body of a request.

JSON, made strict: errors are duplicate keys, numbers that are none (NaN,
1e999) or too large for a database, invalid Unicode (lone surrogates), NUL
characters (which PostgreSQL does not store), and nesting, keys or numbers of
values that could only be meant to keep the service busy.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import NoReturn

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.exception import Problem

#: Levels of nesting; a manifest may have 64 and is one level deep in a body.
MAX_DEPTH = 65
#: Values in one body.
MAX_NODES = 50_000
#: Characters of one key; a path of the guest may be one.
MAX_KEY = 4096
#: What every database and every JSON library keeps exactly.
MAX_INT = 2**63 - 1
#: Characters of a number with a fraction; a double has 17 digits.
MAX_DIGITS = 400


def parse(data: bytes) -> Any:
    """Read a JSON document.

    :returns: dict, list, str, numbers, bool or None.
    :raises InvalidRequest: it is not JSON or breaks a rule above.
    """
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        _refuse(f'the body is not UTF-8 text (byte {error.start})')
    try:
        value = json.loads(
            text,
            parse_constant=lambda name: _refuse(f'{name} is not a number'),
            parse_float=_float,
            parse_int=_int,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        _refuse(
            f'the body is not JSON: line {error.lineno}, column '
            f'{error.colno}: {error.msg}'
        )
    except RecursionError:
        _refuse(f'it is nested more than {MAX_DEPTH} levels deep')
    # Enough to find them; a hostile body could have thousands.
    problems = list(itertools.islice(text_problems(value), 100))
    if problems:
        raise exception.InvalidRequest(problems)
    return value


def text_problems(value: Any) -> Iterator[Problem]:
    """Find texts that cannot be stored.

    :raises InvalidRequest: the value is too deep or has too many parts.
    """
    # A list: the inner generator counts down what its recursions share.
    left = [MAX_NODES]
    # Joined only for a problem: many values below a long key would each
    # copy it.
    place: list[str | int] = []

    def walk(value: Any) -> Iterator[Problem]:
        left[0] -= 1
        if left[0] < 0:
            _refuse(f'it has more than {MAX_NODES} values')
        if len(place) > MAX_DEPTH:
            _refuse(f'it is nested more than {MAX_DEPTH} levels deep')
        if isinstance(value, str):
            wrong = text_error(value)
            if wrong:
                yield Problem(json_schema.join('', *place), wrong)
            return
        for key, item in _inner(value):
            place.append(key)
            wrong = text_error(key) if isinstance(key, str) else None
            if wrong:
                where = json_schema.join('', *place)
                yield Problem(where, f'in the key, {wrong}')
            yield from walk(item)
            place.pop()

    return walk(value)


def _inner(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, list):
        return enumerate(value)
    return value.items() if isinstance(value, dict) else ()


def text_error(text: str) -> str | None:
    """Return why a text cannot be stored, None when it can."""
    if '\0' in text:
        return 'it holds a NUL character'
    try:
        text.encode()
    except UnicodeEncodeError:
        return 'it holds invalid Unicode (a lone surrogate)'
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, _ in pairs:
        if len(key) > MAX_KEY:
            _refuse(f'the key "{key[:64]}..." is longer than {MAX_KEY}')
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _refuse(f'duplicate key "{key[:64]}"')
            seen.add(key)
    return result


def _int(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_INT:
        _refuse(f'the number {text[:24]} is too large')
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_DIGITS:
        _refuse(f'the number {text[:24]} has too many digits')
    number = float(text)
    if not math.isfinite(number):
        _refuse(f'the number {text[:24]} is too large')
    return number


def _refuse(message: str) -> NoReturn:
    raise exception.InvalidRequest([Problem('', message)])
