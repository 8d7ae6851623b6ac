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
"""Where a run may be taken up again.

The manifest engine knows what a step is and nothing of disks; whoever keeps
layers of disks knows nothing of steps. Between them are plain JSON values,
so neither imports the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Reached:
    """A run has come to the end of a step, or of several run together.

    :ivar key: of everything that led here.
    :ivar seconds: wall time since the last of these.
    :ivar boundary: worth keeping, however fast it was.
    :ivar needed: it set values that only a run can tell: without what is
        kept here, nobody can look further without running it.
    :ivar changed: the system may differ from what it was before.
    :ivar lasting: a run of these steps at any other time would do the same.
    :ivar operators: nothing up to here comes from a user.
    :ivar state: what has to be put back, besides the disk, to go on from
        here; plain JSON. No value of a hidden argument is in it.
    """

    key: str
    seconds: float
    boundary: bool
    needed: bool
    changed: bool
    lasting: bool
    operators: bool
    state: Mapping[str, Any]


class Checkpoint(Protocol):
    """Keeps the states that runs come to, for one run."""

    @property
    def identity(self) -> str:
        """What decides the content of the disk before the first step."""

    @property
    def from_operator(self) -> bool:
        """Whether the disk before the first step is none of a user's."""

    def facts(self) -> Mapping[str, Any] | None:
        """What an earlier run learned of this disk, as it was.

        :returns: None when there was none.
        """

    def learn(self, facts: Mapping[str, Any]) -> None:
        """Remember facts of the disk as it is before the first step."""

    def digest(self, content: str) -> str:
        """A digest that nobody without the store's secret can make.

        :param content: hidden values may be in it.
        """

    def find(self, key: str, *, operators: bool) -> Mapping[str, Any] | None:
        """Look for what was kept at a key.

        Called for each step in order, before the disk is opened: it has to
        be opened over the last one that was found.

        :param operators: as in :class:`Reached`.
        :returns: the state; None when there is nothing to be used.
        """

    def opened(self) -> bool:
        """Whether the disk was opened over the last one that was found."""

    def reached(self, reached: Reached) -> None:
        """Keep the disk as it is now, if that is worth while.

        Nothing runs in the system meanwhile. Never fails the run.
        """
