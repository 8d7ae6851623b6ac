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
"""Editing the last of ten steps, as somebody who writes a manifest does.

With Docker, what is before the edited line is taken from its cache. Here the
steps before are layers (``--cache``), and what an edit costs is the step
itself and the opening, closing and writing of the disk.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from benchmarks import figures
from benchmarks.pack import ways

#: Seconds that each of the scripts works, besides what it writes.
_WORK = 4
#: Seconds that an edit may cost in addition to its own step.
MOST = 5.0


@dataclasses.dataclass
class Edit:
    """One turn.

    :ivar isolation: ``sandbox`` or ``appliance``.
    :ivar whole: seconds of the build with an empty cache.
    :ivar edited: seconds of the build after the edit.
    :ivar step: seconds of the edited step in it.
    :ivar cached: how many of the ten steps were taken from layers.
    """

    isolation: str
    whole: float
    edited: float
    step: float
    cached: int

    @property
    def extra(self) -> float:
        """Seconds that the edit cost in addition to its own step."""
        return self.edited - self.step


def manifest(last: str) -> dict[str, Any]:
    """Ten steps: a package and nine scripts.

    :param last: what the last script writes.
    """
    scripts = [
        f'sleep {_WORK}; head -c 20000000 /dev/urandom >/opt/step-{number}'
        for number in range(2, 10)
    ]
    scripts.append(f'sleep 1; echo {last} >/opt/step-10')
    return {
        'validators': [
            {'package': ['nginx']},
            *(
                {'script': {f'step-{number}': {'inline': text}}}
                for number, text in enumerate(scripts, 2)
            ),
        ]
    }


def _pack(
    base: pathlib.Path, cache: pathlib.Path, isolation: str, last: str
) -> tuple[float, list[dict[str, Any]]]:
    image = cache.with_name('edit.qcow2')
    file = cache.with_name('edit.yaml')
    file.write_text(json.dumps(manifest(last)))
    ways.copied(base, image)
    try:
        start = time.monotonic()
        output = ways.call(
            [
                ways.program('imagebuild-pack'), '--image', image,
                '--isolation', isolation,
                '--cache', cache,
                '--manifest', file, '--json',
            ]
        )  # fmt: skip
        return time.monotonic() - start, json.loads(output)['steps']
    finally:
        image.unlink(missing_ok=True)


def measure(
    base: pathlib.Path,
    directory: pathlib.Path,
    runs: int,
    say: Callable[..., None],
) -> list[Edit]:
    """Build, edit the last step, build again; each time from no layers."""
    say('\nisolation    whole s  edited s  its step s  cached')
    result = []
    for number in range(runs):
        # The appliance, which takes minutes, has one turn.
        for isolation in ('sandbox', 'appliance')[: 1 if number else 2]:
            cache = directory / f'layers-{isolation}-{number}'
            whole, _ = _pack(base, cache, isolation, 'first')
            edited, steps = _pack(base, cache, isolation, 'second')
            result.append(
                Edit(
                    isolation,
                    whole,
                    edited,
                    steps[-1]['seconds'],
                    sum(step['result'] == 'cached' for step in steps),
                )
            )
            each = result[-1]
            say(
                f'{isolation:11}{each.whole:9.1f}{each.edited:10.1f}'
                f'{each.step:12.1f}{each.cached:8}'
            )
    return result


def report(edits: Sequence[Edit]) -> str:
    """Medians as a table."""
    rows = []
    for isolation in dict.fromkeys(each.isolation for each in edits):
        mine = [each for each in edits if each.isolation == isolation]
        goal = f'at most {MOST:.0f}' if isolation == 'sandbox' else ''
        rows.append(
            [
                isolation,
                figures.median([each.whole for each in mine]),
                figures.median([each.edited for each in mine]),
                figures.median([each.extra for each in mine]),
                goal,
                min(each.cached for each in mine),
            ]
        )
    return figures.table(
        [
            'edit of the last of ten steps', 'whole s', 'edited s',
            'besides its step s', 'goal', 'cached steps',
        ],
        rows,
    )  # fmt: skip
