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
"""Kill each process of a whole service at each state of a build.

    python -m tests.integration.kills.service [--rounds N] [--moment M] ...

Three conductors, the API, MariaDB and RabbitMQ, with the driver ``fake`` and
real jobs. A round asks the API for builds, kills something when one of them is
in the wanted state, starts it again (a conductor in every other turn so late
that others have taken over), and waits. Then all must have one image each; and
when they were deleted, nothing may be left of them. It prints each round and a
table, and exits with 1 when anything was lost, doubled or leaked.
"""

import argparse
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from tests.integration.kills import service_rounds
from tests.integration.kills import world


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add('--rounds', type=int, default=102)
    add('--minutes', type=float, default=600.0)
    add('--conductors', type=int, default=3)
    add('--moment', action='append', choices=service_rounds.MOMENTS)
    add('--victim', action='append', choices=service_rounds.VICTIMS)
    add('--seed', type=int, default=1)
    add('--keep', action='store_true', help='keep logs and files')
    return parser


def run(
    options: argparse.Namespace,
    place: pathlib.Path,
    done: list[service_rounds.Round],
) -> None:
    """Run rounds, and print each."""
    chosen = [
        (moment, victim)
        for moment, victim in service_rounds.cells()
        if moment in (options.moment or service_rounds.MOMENTS)
        and victim in (options.victim or service_rounds.VICTIMS)
    ]
    end = time.monotonic() + options.minutes * 60
    with world.running(place, options.conductors) as service:
        rounds = service_rounds.Rounds(service)
        for number in range(options.rounds):
            turn, cell = divmod(number, len(chosen))
            begun = time.monotonic()
            each = rounds.run(*chosen[cell], late=turn % 2 == 1)
            done.append(each)
            faults = [*each.lost, *each.doubled, *each.leaked, *each.wrong]
            print(
                f'{number + 1}: {each.moment} / {each.victim}: '
                f'{"" if each.hit else "not hit, "}'
                f'{"; ".join(faults)[:900] or "clean"} '
                f'({each.attempts} attempts, '
                f'{time.monotonic() - begun:.0f} s)',
                flush=True,
            )
            if time.monotonic() > end:
                break


def main() -> int:
    """Run the program.

    :returns: exit code.
    """
    options = make_parser().parse_args()
    random.seed(options.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = pathlib.Path(tempfile.mkdtemp(prefix='kills-', dir='/var/tmp'))
    done: list[service_rounds.Round] = []
    try:
        run(options, place, done)
    finally:
        print(service_rounds.table(done), flush=True)
        for line in sorted(set(service_rounds.unexpected(place))):
            print(f'in a log: {line}', flush=True)
        if options.keep:
            print(place)
        else:
            shutil.rmtree(place, ignore_errors=True)
    return int(any(not each.is_clean for each in done))


if __name__ == '__main__':
    sys.exit(main())
