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
"""What a run would do, without doing it."""

from __future__ import annotations

import dataclasses
from typing import Any

CACHED = 'cached'


@dataclasses.dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    :ivar path: manifest path.
    :ivar validator: type name.
    :ivar description: the step in a few words.
    :ivar state: ``holds``, ``missing``, ``unknown`` (only a run can show)
        or ``cached`` (an earlier run has done it, and need not be
        repeated).
    :ivar commands: what would be run in the system, as people read it.
    :ivar message: why the state is unknown, where something is in the way
        that an earlier step has to repair; else ''.
    """

    path: str
    validator: str
    description: str
    state: str = 'unknown'
    commands: tuple[str, ...] = ()
    message: str = ''

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self) | {'commands': list(self.commands)}
