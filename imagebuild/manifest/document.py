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
"""A manifest's text or JSON as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.common import strict_yaml


def as_text(value: Any) -> str:
    """Return a scalar as the text that a script will see.

    :param value: str, int, float, bool or None.
    :returns: numbers as they were written, ``true`` or ``false``, '' for
        None.
    """
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, strict_yaml.WrittenInt | strict_yaml.WrittenFloat):
        return value.text
    return str(value)


def is_scalar(value: Any) -> bool:
    """Whether a value can be coerced to text."""
    return value is None or isinstance(value, str | int | float | bool)


def parse(text: str | bytes) -> Any:
    """Read one YAML document; see :mod:`imagebuild.common.strict_yaml`.

    :param text: the document; bytes are taken as UTF-8.
    :returns: dict, list, str, numbers, bool or None.
    :raises InvalidManifest: it is not YAML, or breaks a rule; the problem
        names line and column.
    """
    try:
        return strict_yaml.parse(text)
    except strict_yaml.InvalidYaml as error:
        raise _invalid(str(error)) from None


def plain(value: Any, depth: int = 0) -> Any:
    """Bring what was read elsewhere (JSON) to the form of :func:`parse`.

    :param value: mappings, lists and scalars.
    :returns: a copy of dict with text keys, list and scalars.
    :raises InvalidManifest: it is nested too deep or holds something else.
    """
    if depth > strict_yaml.MAX_DEPTH:
        raise _invalid(
            f'it is nested more than {strict_yaml.MAX_DEPTH} levels deep'
        )
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for key, item in value.items():
            if not is_scalar(key):
                raise _invalid('a key must be plain text')
            if not strict_yaml.is_text(as_text(key)):
                raise _invalid('a key must be plain text')
            if as_text(key) in result:
                raise _invalid(f'duplicate key "{as_text(key)}"')
            result[as_text(key)] = plain(item, depth + 1)
        return result
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) and not strict_yaml.is_text(value):
        raise _invalid('it holds invalid Unicode (a lone surrogate)')
    if is_scalar(value):
        return value
    raise _invalid(f'it holds a value of type {type(value).__name__}')


def _invalid(message: str) -> exception.InvalidManifest:
    return exception.InvalidManifest([exception.Problem('', message)])
