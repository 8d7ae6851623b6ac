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
"""Reports progress. The engine itself never prints."""

from __future__ import annotations

import dataclasses

from imagebuild.manifest import reports
from imagebuild.remotes.base import Stream


@dataclasses.dataclass(frozen=True)
class RunningStep:
    """A step that is about to run.

    :ivar path: manifest path.
    :ivar validator: type name.
    :ivar description: a few words, such as ``install redis-server``.
    :ivar number: 1, 2, ... in the order of starting.
    :ivar total: how many steps the run is expected to have.
    :ivar trial: an alternative of ``any`` is only being tried; a failure
        here is no failure of the run.
    """

    path: str
    validator: str
    description: str
    number: int
    total: int
    trial: bool = False


class Monitor:
    """Follows a run; does nothing. Subclasses print, log or send."""

    def run_started(self, total: int) -> None:
        """Called once, when the system is known.

        :param total: steps expected; branches taken later may differ.
        """

    def step_started(self, step: RunningStep) -> None:
        """Called before each step."""

    def output(self, step: RunningStep, stream: Stream, line: str) -> None:
        """Called with each line a command printed, hidden values masked.

        :param line: without its newline.
        """

    def step_finished(
        self, step: RunningStep, result: reports.StepReport
    ) -> None:
        """Called after each step, whether it failed or not."""

    def notice(self, message: str) -> None:
        """Called with a message that the user should see."""

    def run_finished(self, report: reports.Report) -> None:
        """Called once at the end, also after a failure."""
