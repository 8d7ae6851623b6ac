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
"""Checks bodies and queries against schemas; reports all problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import flask

from imagebuild import exception
from imagebuild.api import strict_json
from imagebuild.api.schemas import base
from imagebuild.common import json_schema
from imagebuild.exception import Problem

#: Problems in one answer.
MAX_PROBLEMS = 100

_INTEGER = re.compile(r'-?[0-9]{1,10}', re.ASCII)
_BOOLEANS = {'true': True, 'false': False}


def body(
    request: flask.Request, expected: base.Schema
) -> tuple[dict[str, Any], list[Problem]]:
    """Read and check the body of a request.

    :returns: an object, and what the schema finds wrong with it; handlers
        add what they find, so that all is answered at once.
    :raises InvalidRequest: it is not JSON, or not an object.
    :raises werkzeug.exceptions.HTTPException: its content type is not JSON
        (415), or it is too large (413).
    """
    if request.mimetype != 'application/json':
        flask.abort(415)
    value = strict_json.parse(request.get_data(cache=False))
    problems = json_schema.check(value, expected, '', limit=MAX_PROBLEMS)
    if not isinstance(value, dict):
        raise exception.InvalidRequest(problems)
    return value, problems


def query(
    request: flask.Request, parameters: Sequence[base.Parameter]
) -> dict[str, Any]:
    """Read and check the query of a request.

    :returns: name to value, of the parameters that were given.
    :raises InvalidRequest: unknown, repeated, missing or bad parameters.
    """
    problems: list[Problem] = []
    result: dict[str, Any] = {}
    known = {parameter.name: parameter for parameter in parameters}
    for name, values in request.args.lists():
        if name not in known:
            names = ', '.join(known) or 'none'
            message = f'unknown query parameter; known are: {names}'
        elif known[name].repeatable and len(values) <= base.MAX_REPEATED:
            result[name] = list(dict.fromkeys(values))
            for value in result[name]:
                problems.extend(_wrong(name, value, known[name].schema))
            continue
        elif known[name].repeatable:
            message = f'it is given more than {base.MAX_REPEATED} times'
        elif len(values) > 1:
            message = 'it is given more than once'
        else:
            result[name] = value = _convert(values[0], known[name].schema)
            problems.extend(_wrong(name, value, known[name].schema))
            continue
        problems.append(Problem(json_schema.join('', name), message))
    problems += [
        Problem(each.name, 'is missing')
        for each in parameters
        if each.required and each.name not in request.args
    ]
    refuse(problems)
    return result


def _convert(text: str, expected: base.Schema) -> Any:
    match expected.get('type'):
        case 'integer' if _INTEGER.fullmatch(text):
            return int(text)
        case 'boolean':
            return _BOOLEANS.get(text.lower(), text)
    return text


def _wrong(name: str, value: Any, expected: base.Schema) -> Iterator[Problem]:
    error = isinstance(value, str) and strict_json.text_error(value)
    if error:
        yield Problem(name, error)
    else:
        yield from json_schema.check(value, expected, name)


def refuse(problems: Iterable[Problem]) -> None:
    """Raise when there is a problem.

    :raises InvalidRequest: with the problems, each once.
    """
    found = list(dict.fromkeys(problems))
    if not found:
        return
    if len(found) > MAX_PROBLEMS:
        more = f'and {len(found) - MAX_PROBLEMS} more'
        found = [*found[:MAX_PROBLEMS], Problem('', more)]
    raise exception.InvalidRequest(found)
