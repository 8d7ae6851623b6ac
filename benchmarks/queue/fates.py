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
"""What became of builds: counted, and judged."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

_CLAIM = re.compile(r'attempt (\d+) by conductor (\S+)\Z')


@dataclasses.dataclass(frozen=True)
class Claim:
    """A conductor took a build."""

    at: datetime.datetime
    attempt: int
    conductor: str


@dataclasses.dataclass(frozen=True)
class Fate:
    """What became of one build.

    :ivar claims: of the build, in the order in which they were noted.
    :ivar images: how many there are of it in the store.
    """

    id: str
    project: str
    status: str
    attempt: int
    created: datetime.datetime
    finished: datetime.datetime | None
    claims: Sequence[Claim]
    images: int


def claim(at: datetime.datetime, message: str) -> Claim | None:
    """Read an event of the kind ``conductor``; None if it is no claim."""
    found = _CLAIM.match(message)
    return Claim(at, int(found[1]), found[2]) if found else None


def lost(fates: Iterable[Fate]) -> list[str]:
    """Builds that did not end with an image."""
    return [f.id for f in fates if f.status != 'active' or not f.images]


def doubled(fates: Iterable[Fate], killed: str = '') -> list[str]:
    """Builds that were claimed twice, or of which there are two images.

    A second claim is right after one by the conductor that was killed.
    """
    return [
        fate.id
        for fate in fates
        if fate.images > 1
        or [claim.attempt for claim in fate.claims]
        != list(range(1, fate.attempt + 1))
        or any(claim.conductor != killed for claim in fate.claims[:-1])
    ]


def waits(fates: Iterable[Fate]) -> list[float]:
    """Seconds from creation to the first claim."""
    return [
        (fate.claims[0].at - fate.created).total_seconds()
        for fate in fates
        if fate.claims
    ]


def throughput(fates: Sequence[Fate]) -> float:
    """Builds ended in a second, from the first creation to the last end."""
    ends = [fate.finished for fate in fates if fate.finished]
    if not ends:
        return 0.0
    start = min(fate.created for fate in fates)
    return len(ends) / (max(ends) - start).total_seconds()


def occupancy(fates: Sequence[Fate], places: int) -> float:
    """The part of all places' time in which a build was in them.

    Only the last try of a build counts.
    """
    ended = [fate for fate in fates if fate.finished and fate.claims]
    if not ended:
        return 0.0
    start = min(fate.claims[0].at for fate in ended)
    end = max(fate.finished for fate in ended if fate.finished)
    used = sum(
        (fate.finished - fate.claims[-1].at).total_seconds()
        for fate in ended
        if fate.finished
    )
    return used / places / (end - start).total_seconds()


def shares(fates: Iterable[Fate]) -> Mapping[str, int]:
    """How many builds were claimed last by each conductor."""
    found = collections.Counter(
        fate.claims[-1].conductor for fate in fates if fate.claims
    )
    return dict(sorted(found.items()))


def halfway(fates: Sequence[Fate]) -> Mapping[str, int]:
    """Claimed builds of each project when half of all had been claimed.

    The same number of each is fair, when all have asked for as many.
    """
    claimed = sorted(
        (fate.claims[0].at, fate.project) for fate in fates if fate.claims
    )
    found = collections.Counter(
        project for _, project in claimed[: len(claimed) // 2]
    )
    return dict(sorted(found.items()))
