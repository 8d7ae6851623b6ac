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
"""Values of other programs' files, taken as those programs take them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import draft

_TRUE = frozenset({'true', '1', 'on', 'yes'})


def text(value: Any) -> str:
    """A scalar as text.

    :raises Malformed: it is none.
    """
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors='replace')
    raise draft.Malformed('it is not a text')


def is_true(value: Any) -> bool:
    """Whether cloud-init takes a value for true."""
    return value is True or str(value).strip().lower() in _TRUE


def items(value: Any) -> list[Any]:
    """A list, also of one; nothing is none.

    :raises Malformed: it is a mapping.
    """
    if value is None:
        return []
    if isinstance(value, list | tuple | set):
        return list(value)
    if isinstance(value, dict):
        raise draft.Malformed('it is not a list')
    return [value]


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping whose keys are text.

    :raises Malformed: it is none.
    """
    if not isinstance(value, dict):
        raise draft.Malformed('it is not a mapping')
    return {text(key): item for key, item in value.items()}


def words(value: Any) -> list[str]:
    """A list of texts, or texts with commas between them.

    :raises Malformed: it is something else.
    """
    if isinstance(value, str):
        value = value.split(',')
    elif isinstance(value, dict):
        value = list(value)
    found = (text(item).strip() for item in items(value))
    return [word for word in found if word]


def each(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The items of a list with their places.

    :raises Malformed: it is a mapping.
    """
    for index, item in enumerate(items(value)):
        yield f'{where}[{index}]', item


def plain(value: Any) -> Any:
    """A value of what YAML of ours has: no dates, no sets, no bytes."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return text(value)


def quoted(value: str) -> str:
    """A text as one word of a shell, always in quotation marks."""
    escaped = value.replace("'", "'\\''")
    return f"'{escaped}'"
