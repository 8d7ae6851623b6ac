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
"""Kill what builds, phase by phase, and look what is left.

    python -m tests.integration.kills [--rounds N] [--form FORM] [--phase ...]

As root, on a host that has a sandbox. A round kills one process (or three at
once) of a real build at the begin of a phase or within it (in turn), looks at
the user's file, starts the next build, and then looks for processes, mounts,
loop devices, control groups and files. It prints each round, and a table.
It exits with 1 when something was not as it should be, or never tried.
"""

import argparse
import itertools
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.integration.kills import build_rounds
from tests.integration.kills import installer_rounds
from tests.integration.kills import listener
from tests.integration.kills import pack_rounds
from tests.integration.kills import result

_MISSES = 5


def aims(form: str, phases: list[str]) -> list[tuple[str, str, float]]:
    """Every cell of a form: phase, victim, seconds."""
    table = {
        'pack': pack_rounds.PHASES,
        'appliance': pack_rounds.APPLIANCE,
        'conductor': build_rounds.PHASES,
        'installer': installer_rounds.PHASES,
    }[form]
    return [
        (phase, victim, seconds)
        for phase, (who, seconds) in table.items()
        for victim in who
        if not phases or phase in phases
    ]


def run(
    form: str, cells: list[tuple[str, str, float]], rounds: int, first: int = 1
) -> Iterator[result.Round]:
    """Run a number of rounds of each cell, in turn."""
    place = pathlib.Path(tempfile.mkdtemp(prefix='kills-', dir='/var/tmp'))
    numbers = itertools.count(first)
    made: pack_rounds.PackRounds | build_rounds.BuildRounds
    if form == 'conductor':
        made = build_rounds.BuildRounds(place / 'work')
    elif form == 'installer':
        kept = os.environ.get('IMAGEBUILD_TEST_CACHE')
        cache = pathlib.Path(kept) if kept else place / 'netboot'
        cache.mkdir(parents=True, exist_ok=True)
        made = installer_rounds.InstallerRounds(place / 'work', cache)
    else:
        isolation = 'sandbox' if form == 'pack' else form
        made = pack_rounds.PackRounds(place / 'work', isolation=isolation)
    try:
        for turn in range(rounds):
            for phase, victim, seconds in cells:
                for _ in range(_MISSES):
                    delay = _delay(turn, phase, victim, seconds)
                    aim = listener.Aim(phase, victim, delay)
                    done = made.run(aim, next(numbers))
                    yield done
                    if done.hit:
                        break
    finally:
        made.close()
        shutil.rmtree(place)


def _delay(turn: int, phase: str, victim: str, seconds: float) -> float:
    """At the begin in even turns, within the phase in odd ones.

    What is not there at the begin is waited for.
    """
    if victim == 'qemu-img':
        return 0.001
    waits = phase == 'opening' or victim == 'job, watch, supervisor'
    return seconds if turn % 2 or waits else 0.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--minutes', type=float, default=600.0)
    parser.add_argument(
        '--form',
        choices=('pack', 'appliance', 'conductor', 'installer'),
        default='pack',
    )
    parser.add_argument('--phase', action='append', default=[])
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    phases = {phase for phase, _, _ in aims(options.form, [])}
    unknown = set(options.phase) - phases
    if unknown:
        parser.error(
            f'no phase of "{options.form}": {", ".join(sorted(unknown))} '
            f'(there are {", ".join(sorted(phases))})'
        )
    cells = aims(options.form, options.phase)
    done: list[result.Round] = []
    end = time.monotonic() + options.minutes * 60
    try:
        for each in run(options.form, cells, options.rounds):
            done.append(each)
            print(each.told(), flush=True)
            if time.monotonic() > end:
                break
    finally:
        print(result.table(done), flush=True)
    missed = _missed(done)
    if missed:
        print(f'never hit, so nothing was tried: {", ".join(missed)}')
    return int(bool(missed) or any(each.faults for each in done))


def _missed(done: list[result.Round]) -> list[str]:
    """The cells whose victim was not there in any round."""
    hits = {f'{each.phase} / {each.victim}': False for each in done}
    for each in done:
        hits[f'{each.phase} / {each.victim}'] |= each.hit
    return [cell for cell, hit in hits.items() if not hit]


if __name__ == '__main__':
    sys.exit(main())
