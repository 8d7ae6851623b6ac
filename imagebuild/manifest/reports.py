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
"""What a run did, step by step."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any
from typing import Self

#: Characters of a step's output that a report keeps.
TAIL = 4000


class Result(enum.StrEnum):
    """How a step ended.

    ``OK``: what it asks for held already (or holds, in test-only).
    ``CHANGED``: it was applied. ``RAN``: a script ran and succeeded; what it
    changed is not known. ``CACHED``: it was not run, since an earlier run
    had done the same and the disk was taken over from there. ``FAILED``.
    ``SKIPPED``: not reached.
    """

    OK = 'ok'
    CHANGED = 'changed'
    RAN = 'ran'
    CACHED = 'cached'
    FAILED = 'failed'
    SKIPPED = 'skipped'


@dataclasses.dataclass(frozen=True)
class StepReport:
    """One step.

    :ivar path: manifest path, such as ``validators[2].package``.
    :ivar validator: type name.
    :ivar description: the step in a few words.
    :ivar result: how it ended.
    :ivar seconds: wall time.
    :ivar message: what changed, or why it failed; '' for neither.
    :ivar output: tail of what its commands printed.
    """

    path: str
    validator: str
    description: str
    result: Result
    seconds: float
    message: str = ''
    output: str = ''

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        :raises KeyError: it is something else.
        :raises ValueError: likewise.
        """
        return cls(
            path=str(values['path']),
            validator=str(values['validator']),
            description=str(values['description']),
            result=Result(values['result']),
            seconds=float(values['seconds']),
            message=str(values['message']),
            output=str(values['output']),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; seconds rounded to milliseconds."""
        return {
            'path': self.path,
            'validator': self.validator,
            'description': self.description,
            'result': str(self.result),
            'seconds': round(self.seconds, 3),
            'message': self.message,
            'output': self.output,
        }


@dataclasses.dataclass
class Report:
    """A whole run.

    :ivar distro: os-release ID of the system.
    :ivar release: its VERSION_ID, '' for rolling releases.
    :ivar reconcile: False for test-only.
    :ivar steps: in the order they ended.
    :ivar seconds: wall time.
    """

    distro: str = ''
    release: str = ''
    reconcile: bool = True
    steps: list[StepReport] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether the system may differ from what it was before."""
        return any(
            step.result in (Result.CHANGED, Result.RAN, Result.CACHED)
            or (step.result is Result.FAILED and self.reconcile)
            for step in self.steps
        )

    def count(self, result: Result) -> int:
        """How many steps ended like this."""
        return sum(1 for step in self.steps if step.result is result)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            'distro': self.distro,
            'release': self.release,
            'mode': 'reconcile' if self.reconcile else 'test-only',
            'changed': self.changed if self.reconcile else False,
            'seconds': round(self.seconds, 3),
            'steps': [step.to_dict() for step in self.steps],
        }
