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
"""From the bytes of a request's body to plain values.

JSON, made strict: a key that stands twice is an error, as are numbers that
are none (NaN, 1e999) or too large for anyone to keep, half characters (lone
surrogates), NUL characters (which PostgreSQL does not keep), and nesting or
numbers of values that could only be meant to keep the service busy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any
from typing import NoReturn

from imagebuild import exception
from imagebuild.manifest import schema

#: Levels of nesting; a manifest may have 64 and lies one deep.
MAX_DEPTH = 65
#: Values in one body.
MAX_NODES = 50_000
#: What every database and every JSON library keeps exactly.
MAX_INT = 2**63 - 1


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
    problems = list(text_problems(value))
    if problems:
        raise exception.InvalidRequest(problems)
    return value


def text_problems(value: Any) -> Iterator[exception.Problem]:
    """Find texts that cannot be kept.

    :raises InvalidRequest: the value is too deep or has too many parts.
    """
    left = [MAX_NODES]

    def walk(value: Any, path: str, depth: int) -> Iterator[exception.Problem]:
        left[0] -= 1
        if left[0] < 0:
            _refuse(f'it has more than {MAX_NODES} values')
        if depth > MAX_DEPTH:
            _refuse(f'it is nested more than {MAX_DEPTH} levels deep')
        if isinstance(value, str):
            wrong = text_complaint(value)
            if wrong:
                yield exception.Problem(path, wrong)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, f'{path}[{index}]', depth + 1)
        elif isinstance(value, dict):
            for key, item in value.items():
                where = schema.join(path, key)
                wrong = text_complaint(key)
                if wrong:
                    yield exception.Problem(where, f'in the key, {wrong}')
                yield from walk(item, where, depth + 1)

    return walk(value, '', 0)


def text_complaint(text: str) -> str | None:
    """Say why a text cannot be kept, None when it can."""
    if '\0' in text:
        return 'it holds a NUL character'
    try:
        text.encode()
    except UnicodeEncodeError:
        return 'it holds half a character (a lone surrogate)'
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _refuse(f'the key "{key[:64]}" stands twice')
            seen.add(key)
    return result


def _int(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_INT:
        _refuse(f'the number {text[:24]} is too large')
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(f'the number {text[:24]} is too large')
    return number


def _refuse(message: str) -> NoReturn:
    raise exception.InvalidRequest([exception.Problem('', message)])
