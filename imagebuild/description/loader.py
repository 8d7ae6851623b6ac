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
"""From a request to a :class:`Description`, or to every reason why not."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild import manifest
from imagebuild.common import json_schema
from imagebuild.description import description
from imagebuild.description import elements
from imagebuild.description import fields
from imagebuild.description import limits
from imagebuild.description import origin
from imagebuild.exception import Problem
from imagebuild.manifest import document


def load(
    request: Mapping[str, Any],
    *,
    recipe_paths: Sequence[str | pathlib.Path] = (),
) -> description.Description:
    """Read what a request wants of the inside of its image.

    Nothing of the request but its own texts is read: a manifest's scripts
    are looked up in ``resources`` and nowhere else.

    :param request: the body of the request with the real values of
        hidden arguments. Only ``packages``, ``pip_packages``, ``files``,
        ``recipe``, ``recipe_version``, ``manifest``, ``resources``,
        ``arguments`` and ``elements`` are looked at; None is as good as
        left out.
    :param recipe_paths: directories with recipes, searched before the shipped
        ones.
    :raises InvalidRequest: every problem at once, in ``.errors``, each with
        its path in the request. Values of hidden arguments are not
        repeated.
    :raises EnvironmentFault: a recipe path of this host cannot be read.
    """
    problems: list[Problem] = []
    given = limits.plain(request, problems)
    steps = fields.steps(given, problems)
    source = origin.read(
        given, [pathlib.Path(path) for path in recipe_paths], problems
    )
    named = elements.read(given, source, problems)
    values = _values(given.get('arguments', {}), source.arguments, problems)
    if problems:
        raise exception.InvalidRequest(limits.shortened(problems))
    return description.Description(steps, source, values, named)


def _values(
    given: Any,
    declared: Sequence[manifest.Argument] | None,
    problems: list[Problem],
) -> dict[str, str]:
    if not isinstance(given, dict):
        problems.append(
            Problem('arguments', 'it is not a mapping of names to values')
        )
        return {}
    problems.extend(
        Problem(
            json_schema.join('arguments', name),
            f'the value is longer than {limits.MAX_VALUE // 1024} KiB',
        )
        for name, value in given.items()
        if len(document.as_text(value).encode()) > limits.MAX_VALUE
    )
    if declared is None:
        return {}
    try:
        return manifest.resolve(declared, given)
    except exception.InvalidArguments as error:
        problems.extend(error.errors)
        return {}
