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
"""What a conversion has so far: steps, arguments, and what was left out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.common import control_characters

#: One item of a manifest's ``validators``.
Validator = Mapping[str, Any]

#: Interpreters in which a line of shell can be put before a script.
_SHELL = re.compile(
    r'#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(?:\S*/)?(?:ba|da|k|z|)sh(?:\s|$)'
)
#: A converted command does not look before it changes something.
GUARD = '[ "$test_only" -eq 0 ] || exit 0'


class Malformed(ValueError):
    """A value is not of the form that the other program takes."""


@dataclasses.dataclass(frozen=True)
class Note:
    """Something that the reader of a converted manifest has to know.

    :ivar where: place in what was converted, such as ``runcmd[2]``.
    :ivar text: the message; begins in lower case, without a period.
    :ivar lost: it was not carried over. Otherwise it was, but what comes of
        it can differ.
    """

    where: str
    text: str
    lost: bool

    def __str__(self) -> str:
        text = control_characters.escaped(f'{self.where}: {self.text}')
        # On a terminal and in the comments of a manifest.
        return text if len(text) <= 400 else f'{text[:397]}...'


@dataclasses.dataclass
class Step:
    """One validator and a remark about it."""

    validator: Validator
    comment: str = ''


@dataclasses.dataclass
class Draft:
    """A manifest on its way.

    :ivar name: what is converted, for people.
    :ivar form: ``sahara``, ``cloud-init``, ``dib`` or ``packer``.
    :ivar description: of the manifest.
    :ivar root: further keys of the manifest's root.
    :ivar arguments: declared arguments by name.
    :ivar steps: in order.
    :ivar resources: files that must stand beside the manifest, by the name
        that it gives them.
    :ivar boot: configuration of cloud-init for the first boot.
    :ivar notes: in the order in which they were found.
    """

    name: str
    form: str
    description: str = ''
    root: dict[str, Any] = dataclasses.field(default_factory=dict)
    arguments: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict
    )
    steps: list[Step] = dataclasses.field(default_factory=list)
    resources: dict[str, bytes] = dataclasses.field(default_factory=dict)
    boot: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[Note] = dataclasses.field(default_factory=list)

    def add(self, validator: Validator, comment: str = '') -> None:
        """Add a step."""
        self.steps.append(Step(validator, comment))

    def lose(self, where: str, text: str) -> None:
        """Note something that is not carried over."""
        self._note(Note(where, text, lost=True))

    def remark(self, where: str, text: str) -> None:
        """Note something that is carried over and may differ."""
        self._note(Note(where, text, lost=False))

    def _note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def script(
        self,
        label: str,
        text: str,
        *,
        env_vars: Sequence[str] = (),
        guard: bool = True,
        timeout: float | None = None,
        comment: str = '',
    ) -> None:
        """Add a script.

        :param label: short and for people; the last part is its ``$0``.
        :param text: with its interpreter in the first line.
        :param env_vars: names of arguments.
        :param guard: do nothing in test-only mode; for what would change
            the image whenever it is run.
        :param timeout: seconds, None for no limit of its own.
        """
        if guard:
            text = self._guarded(label, text)
        properties: dict[str, Any] = {'inline': text}
        if env_vars:
            properties['env_vars'] = list(env_vars)
        if timeout is not None:
            properties['timeout'] = timeout
        self.add({'script': {label: properties}}, comment)

    def _guarded(self, label: str, text: str) -> str:
        first, _, rest = text.partition('\n')
        if not first.startswith('#!'):
            return f'{GUARD}\n{text}'
        if _SHELL.match(first):
            return f'{first}\n{GUARD}\n{rest}'
        self.remark(
            label,
            'it is run in test-only mode as well, where it should only look: '
            'see the variable test_only',
        )
        return text
