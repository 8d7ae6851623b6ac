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
"""A description as a program that the guest itself runs.

For systems that nobody can reach from outside: the engine makes it, a driver
hands it to a guest and hears what came of it. The two meet here, and neither
imports the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal

#: How a step ends in a guest; ``skipped``: it is for other systems.
Result = Literal['ok', 'changed', 'ran', 'skipped', 'failed']


@dataclasses.dataclass(frozen=True)
class GuestStep:
    """One step.

    :ivar path: manifest path.
    :ivar validator: type name.
    :ivar description: the step in a few words.
    :ivar script: POSIX shell text; it exits with 0, or it has failed. It may
        write ``changed`` or ``ok`` to the file ``$imagebuild_result``, put
        scripts into the empty directory ``$imagebuild_scripts`` and append
        the paths of files that go at the end to ``$imagebuild_temporary``.
    :ivar condition: shell text that is true where the step is to be run.
    :ivar seconds: that it may take, None for the limit of every command.
    """

    path: str
    validator: str
    description: str
    script: str
    condition: str = 'true'
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class GuestProgram:
    """All of it.

    :ivar prelude: shell text that steps rely on: functions and variables.
    :ivar steps: in order.
    :ivar cleanup: shell text that removes what must not be in an image; run
        when all steps were good.
    :ivar listing: shell text that prints what is in the image, run before the
        clean-up; '' for nobody who asks. An image is one without it.
    """

    prelude: str
    steps: Sequence[GuestStep]
    cleanup: str
    listing: str = ''


@dataclasses.dataclass(frozen=True)
class StepStarted:
    """The guest begins with a step.

    :ivar number: index in :attr:`GuestProgram.steps`.
    """

    number: int


@dataclasses.dataclass(frozen=True)
class StepEnded:
    """The guest has done with a step.

    :ivar number: index in :attr:`GuestProgram.steps`.
    :ivar exit_code: of the script, if it failed.
    :ivar output: the last of what it printed, if it failed; from a guest,
        without control characters.
    """

    number: int
    result: Result
    exit_code: int = 0
    output: str = ''


@dataclasses.dataclass(frozen=True)
class Listed:
    """The guest has said what is in the image.

    :ivar text: what :attr:`GuestProgram.listing` has printed, as it is.
    """

    text: str


Event = StepStarted | StepEnded | Listed
#: Told about each event, in order.
Listener = Callable[[Event], None]
