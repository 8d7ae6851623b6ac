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
"""The elements of this host: where they are, and what users may name."""

from __future__ import annotations

import hashlib
import os
import pathlib
import stat
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.drivers.diskimage_builder import options as dib_options
from imagebuild.drivers.diskimage_builder import settings as dib_settings
from imagebuild.exception import Problem

#: What the element of an operating system provides.
SYSTEM = 'operating-system'
_SHOWN = 30


class Elements:
    """Elements by name; those of an earlier directory go before.

    :param directories: where they are, the operator's first.
    """

    def __init__(self, directories: Sequence[pathlib.Path]) -> None:
        self.directories = tuple(directories)

    @classmethod
    def of(cls, settings: dib_settings.DibSettings) -> Elements:
        """Those that this host has."""
        shipped = dib_settings.shipped_elements()
        own = [] if shipped is None else [shipped]
        return cls([*settings.elements_path, *own])

    def find(self, name: str) -> pathlib.Path | None:
        """The directory of an element, None when there is none."""
        for directory in self.directories:
            path = directory / name
            if path.is_dir():
                return path
        return None

    def expanded(self, names: Iterable[str]) -> dict[str, pathlib.Path]:
        """Elements with all that they depend on; unknown ones are left out.

        What one of them provides is not looked for, as diskimage-builder
        does it.
        """
        found: dict[str, pathlib.Path] = {}
        left = list(names)
        while left:
            name = left.pop(0)
            path = self.find(name)
            if name in found or path is None:
                continue
            found[name] = path
            left.extend(_lines(path / 'element-deps'))
        return found

    def systems(self, names: Iterable[str]) -> list[str]:
        """Those that make the root of an operating system."""
        return [
            name
            for name, path in self.expanded(names).items()
            if SYSTEM in _lines(path / 'element-provides')
        ]

    def digest(self, names: Iterable[str]) -> str:
        """Of the files of elements and of all that they depend on.

        :returns: 16 hexadecimal digits; others when one was changed.
        """
        state = hashlib.sha256()
        for name, top in sorted(self.expanded(names).items()):
            for directory, directories, files in os.walk(top):
                directories.sort()
                for file in sorted(files):
                    path = pathlib.Path(directory, file)
                    _add(state, f'{name}/{path.relative_to(top)}', path)
        return state.hexdigest()[:16]


def _add(state: hashlib._Hash, name: str, path: pathlib.Path) -> None:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else b''
    except OSError:
        mode, content = 0, b''
    for part in (name.encode(errors='surrogateescape'), content):
        state.update(b'%d %d ' % (mode & 0o111, len(part)))
        state.update(part)


def _lines(path: pathlib.Path) -> list[str]:
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def asked_problems(
    asked: Sequence[str],
    known: Elements,
    settings: dib_settings.DibSettings,
) -> list[Problem]:
    """What is wrong with the elements that a user names.

    :param asked: names.
    :returns: problems with paths such as ``elements[1]``.
    """
    allowed = settings.allowed_elements
    problems = []
    for number, name in enumerate(asked):
        path = f'elements[{number}]'
        if dib_settings.EVERYTHING not in allowed and name not in allowed:
            offered = sorted(each for each in allowed if known.find(each))
            problems.append(
                Problem(
                    path,
                    f'the element "{name}" is not among those that users of '
                    f'this service may name: {_listed(offered)}',
                )
            )
        elif known.directories and known.find(name) is None:
            problems.append(Problem(path, f'there is no element "{name}"'))
    return problems


def environment_problems(
    asked: Mapping[str, str], settings: dib_settings.DibSettings
) -> list[Problem]:
    """What is wrong with the variables that a user sets.

    :param asked: values by name.
    :returns: problems with paths such as ``environment.DIB_X``.
    """
    allowed = settings.allowed_environment
    problems = []
    for name, value in asked.items():
        path = f'environment.{name}'
        if dib_settings.EVERYTHING not in allowed and name not in allowed:
            problems.append(
                Problem(
                    path,
                    'it is not among the variables that users of this '
                    f'service may set: {_listed(sorted(allowed))}',
                )
            )
        elif not dib_options.is_word(value):
            problems.append(
                Problem(
                    path,
                    'the value of a variable is one word of letters, digits '
                    'and "_.,:/@+=-" that begins with none of "-="',
                )
            )
    return problems


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    text = ', '.join(names[:_SHOWN]) or 'none'
    return f'{text} and {more} more' if more > 0 else text
