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
"""The phases of a build: where it is, how far, and how long it may take.

The job says which phase begins, the conductor keeps the times with the build,
the API makes figures of them. What earlier builds took is only ever that of
the same project.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

#: Getting the base image: download, cache, or making it of packages.
BASE_IMAGE = 'base_image'
#: Opening the disk: the appliance starts, or the sandbox mounts it.
APPLIANCE = 'appliance'
#: The steps of the description, tidying up after them included.
STEPS = 'steps'
#: Closing the disk and writing the image's file.
CONVERT = 'convert'
#: Booting the finished image, where that is asked for.
BOOT_TEST = 'boot_test'
#: Of conductors of an earlier release: the upload computes the checksum.
CHECKSUM = 'checksum'
UPLOAD = 'upload'

#: In the order in which a build goes through them.
ORDER = (
    BASE_IMAGE, APPLIANCE, STEPS, CONVERT, BOOT_TEST, CHECKSUM, UPLOAD,
)  # fmt: skip

#: Parts of the whole where no earlier build is known.
_SHARES: Mapping[str, float] = {
    BASE_IMAGE: 20.0,
    APPLIANCE: 15.0,
    STEPS: 40.0,
    CONVERT: 15.0,
    # Most builds have none.
    BOOT_TEST: 0.0,
    CHECKSUM: 0.0,
    UPLOAD: 10.0,
}
#: Earlier builds whose median counts.
_SAMPLE = 5
#: A phase that takes longer than expected by this factor and these seconds
#: is like no phase before: how long it will take is not known.
_OVERRUN, _SLACK = 1.5, 15.0
#: What is left of a phase is never nothing before it has ended.
_ALMOST = 0.95


@dataclasses.dataclass(frozen=True)
class Earlier:
    """A build of the same project, operating system and driver.

    :ivar spent: seconds by phase.
    """

    content_key: str
    name: str
    spent: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Phases:
    """The phases of one attempt, as they are kept with the build.

    :ivar current: the phase, '' before the first and after the last.
    :ivar since: when it began, in seconds since 1970.
    :ivar spent: seconds by phase, of those that have ended.
    :ivar expected: seconds by phase, as earlier builds took; empty when
        none is known.
    :ivar bytes_done: what was moved of a download or an upload.
    :ivar bytes_total: of it, 0 while that is not known.
    :ivar part: which of several uploads, from 1.
    :ivar parts: how many uploads there are.
    """

    current: str = ''
    since: float = 0.0
    spent: Mapping[str, float] = dataclasses.field(default_factory=dict)
    expected: Mapping[str, float] = dataclasses.field(default_factory=dict)
    bytes_done: int = 0
    bytes_total: int = 0
    part: int = 1
    parts: int = 1

    @classmethod
    def from_dict(cls, found: Mapping[str, Any] | None) -> Self:
        """Read what :meth:`to_dict` made; what a later release added is
        passed over.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in (found or {}).items() if k in known})

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)

    def begun(self, phase: str, now: float) -> Self:
        """As they are when a phase begins; one that goes on goes on.

        :param phase: of :data:`ORDER`, or '' after the last.
        :param now: seconds since 1970.
        """
        if phase == self.current:
            return dataclasses.replace(self, bytes_done=0, bytes_total=0)
        spent = dict(self.spent)
        if self.current:
            before = spent.get(self.current, 0.0)
            spent[self.current] = round(before + self.running(now), 1)
        return dataclasses.replace(
            self,
            current=phase,
            since=now,
            spent=spent,
            bytes_done=0,
            bytes_total=0,
            part=1,
            parts=1,
        )

    def running(self, now: float) -> float:
        """Seconds since the current phase began; clocks may differ."""
        return max(now - self.since, 0.0) if self.current else 0.0

    def share(self, done: int, total: int, now: float) -> float:
        """How much of the whole is done, from 0 to less than 1.

        :param done: steps that have ended.
        :param total: steps in all, 0 while that is not known.
        :param now: seconds since 1970.
        """
        if self.current not in ORDER:
            return 0.0
        here = ORDER.index(self.current)
        if sum(map(self._expected, ORDER)):
            # By time, as remaining() has it. What is over took what it took:
            # a base image that was in the cache is no part of the whole.
            before = sum(self.spent.values())
            shares: Mapping[str, float] = self.expected
            expected = self._expected(self.current)
            within = min(self.running(now), expected * _ALMOST)
        else:
            before = sum(_SHARES[name] for name in ORDER[:here])
            shares = _SHARES
            within = _SHARES[self.current] * self._within(done, total)
        whole = before + sum(shares.get(name, 0.0) for name in ORDER[here:])
        return min((before + within) / whole, 0.99) if whole else 0.0

    def _within(self, done: int, total: int) -> float:
        """How much of the current phase is done."""
        found = 0.0
        if self.current == STEPS:
            found = done / total if total > 0 else 0.0
        elif self.bytes_total > 0:
            found = self.bytes_done / self.bytes_total
        found = min(max(found, 0.0), _ALMOST)
        parts = max(self.parts, 1)
        return (min(max(self.part, 1), parts) - 1 + found) / parts

    def remaining(self, now: float) -> float | None:
        """Seconds that are left, as earlier builds went.

        :param now: seconds since 1970.
        :returns: None when it is not known: there was no such build before,
            or this one is slower than they were.
        """
        if self.current not in ORDER or not self.expected:
            return None
        expected, running = self._expected(self.current), self.running(now)
        if running > expected * _OVERRUN + _SLACK:
            return None
        later = ORDER[ORDER.index(self.current) + 1 :]
        left = max(expected - running, 0.0) + sum(map(self._expected, later))
        return left if left >= 1 else None

    def _expected(self, phase: str) -> float:
        return max(float(self.expected.get(phase, 0.0)), 0.0)


def expected(
    earlier: Sequence[Earlier], content_key: str, name: str, *, similar: bool
) -> dict[str, float]:
    """How long each phase may take: the median of earlier builds.

    Of those with the same content, else of those with the same name, else
    of all.

    :param earlier: the newest first.
    :param similar: whether builds with another content and another name
        are like this one.
    :returns: seconds by phase; empty when there is no such build.
    """
    chosen = (
        [each for each in earlier if each.content_key == content_key]
        or [each for each in earlier if each.name == name]
        or (list(earlier) if similar else [])
    )[:_SAMPLE]
    if not chosen:
        return {}
    return {
        phase: round(
            statistics.median(each.spent.get(phase, 0.0) for each in chosen),
            1,
        )
        for phase in ORDER
    }
