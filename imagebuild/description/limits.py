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
"""How much of a request is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import strict_yaml
from imagebuild.common.counts import counted
from imagebuild.exception import Problem
from imagebuild.manifest import document

#: Problems that are reported at once.
MAX_PROBLEMS = 100
#: Bytes of one argument's value; a command of the guest takes 128 KiB.
MAX_VALUE = 100 * 1024
#: Bytes of one field, as JSON.
MAX_FIELDS: Mapping[str, int] = {
    'packages': 1024**2,
    'pip_packages': 1024**2,
    'files': 32 * 1024**2,
    'manifest': strict_yaml.MAX_BYTES,
    'resources': 8 * 1024**2,
    'arguments': 1024**2,
    'elements': 64 * 1024,
    'recipe': 1024,
    'recipe_version': 1024,
}


def plain(
    request: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    """Copy the fields that describe content as plain values.

    :param request: the body of a request.
    :param problems: what is too large, nested too deep or not JSON is
        noted here and left out.
    :returns: field to value, without those that are None.
    """
    result = {}
    for name, limit in MAX_FIELDS.items():
        if request.get(name) is None:
            continue
        try:
            value = document.plain(request[name])
        except exception.InvalidManifest as error:
            problems.extend(
                Problem(name, problem.message) for problem in error.errors
            )
            continue
        wrong = _too_large(value, limit)
        if wrong:
            problems.append(Problem(name, wrong))
        else:
            result[name] = value
    return result


def _too_large(value: Any, limit: int) -> str:
    if len(json.dumps(value, ensure_ascii=False).encode()) > limit:
        mib = limit // 1024**2
        shown = f'{mib} MiB' if mib else f'{limit // 1024} KiB'
        return f'it is larger than {shown}'
    count = 0
    pending = [value]
    while pending:
        item = pending.pop()
        count += 1
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    if count > strict_yaml.MAX_NODES:
        return f'it has more than {strict_yaml.MAX_NODES} values'
    return ''


def shortened(problems: Sequence[Problem]) -> list[Problem]:
    """The problems that are reported, each once."""
    once = list(dict.fromkeys(problems))
    more = len(once) - MAX_PROBLEMS
    if more <= 0:
        return once
    return [
        *once[:MAX_PROBLEMS],
        Problem('', f'{counted(more, "more problem")} not shown'),
    ]
