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
"""Driver options, checked all at once."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.drivers import base


class Checked:
    """Options of a driver while they are looked at.

    :param options: as they came.
    :param names: those that there are.
    """

    def __init__(
        self, options: Mapping[str, Any], names: Collection[str]
    ) -> None:
        self._options = options
        self._problems = [
            exception.Problem(str(name), 'there is no such option')
            for name in options
            if name not in names
        ]

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number."""
        value = self._options.get(name)
        if value is None:
            return default
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and least <= value <= most
        ):
            return value
        self.problem(name, f'must be a whole number from {least} to {most}')
        return default

    def number(self, name: str, default: float, most: float) -> float:
        """A number that is not negative."""
        value = self._options.get(name)
        if value is None:
            return default
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and 0 <= value <= most
        ):
            return float(value)
        self.problem(name, f'must be a number from 0 to {most:g}')
        return default

    def switch(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._options.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.problem(name, 'must be true or false')
        return default

    def text(
        self, name: str, default: str = '', choices: Collection[str] = ()
    ) -> str:
        """A text."""
        value = self._options.get(name)
        if value is None:
            return default
        if isinstance(value, str) and (not choices or value in choices):
            return value
        self.problem(
            name,
            f'must be one of {", ".join(choices)}'
            if choices
            else 'must be text',
        )
        return default

    def problem(self, name: str, message: str) -> None:
        """Note something that is wrong."""
        self._problems.append(exception.Problem(name, message))

    def finish(self) -> None:
        """To be called when everything has been looked at.

        :raises InvalidDriverOptions: with every problem.
        """
        if self._problems:
            raise base.InvalidDriverOptions(self._problems)
