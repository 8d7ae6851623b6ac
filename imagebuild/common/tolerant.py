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
"""Values of JSON of another release: what is not as expected is empty."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TypeGuard


def text(value: object) -> str:
    """The value, or '' where it is no text."""
    return value if isinstance(value, str) else ''


def number(value: object) -> int | None:
    """The value, or None where it is no integer; a boolean is none."""
    return value if type(value) is int else None


def are_names(value: object) -> TypeGuard[Sequence[str]]:
    """Whether the value is a list of texts."""
    return isinstance(value, list | tuple) and all(
        isinstance(each, str) for each in value
    )


def names(value: object) -> tuple[str, ...]:
    """The texts among the values of a list; a text is a list of one."""
    if isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, Iterable):
        return ()
    return tuple(each for each in value if isinstance(each, str))


def items(value: object) -> Iterable[tuple[str, Any]]:
    """The items of a mapping; none where the value is no mapping."""
    return value.items() if isinstance(value, Mapping) else ()


def documents(value: object) -> dict[str, Mapping[str, Any]]:
    """The items of a mapping whose values are mappings, too."""
    return {
        name: document
        for name, document in items(value)
        if isinstance(document, Mapping)
    }


def plain(value: Any) -> Any:
    """The value as JSON has it, tuples as lists."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return value
