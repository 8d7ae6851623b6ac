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
"""Send thousands of builds through several conductors; none may be lost.

Real conductor processes, a real RabbitMQ and MariaDB. See README.rst.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from benchmarks.queue import fates as fate_kit  # noqa: E402
from benchmarks.queue import service  # noqa: E402

Say = Callable[[str], None]

_POLL = 0.5


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = figures.make_parser(
        __doc__,
        (
            ('--builds', 2000, 'builds that are asked for at once'),
            ('--paced', 100, 'builds that are then asked for one by one'),
            ('--conductors', 8, 'conductor processes'),
            ('--places', 2, 'builds that run at once on each'),
            ('--projects', 5, 'projects that ask'),
            ('--within', 900, 'seconds after which the rest counts as lost'),
        ),
    )
    add = parser.add_argument
    add(
        '--seconds',
        metavar='S',
        type=float,
        default=0.0,
        help='how long each build sleeps (default: 0)',
    )
    add(
        '--job',
        choices=('scripted', 'real'),
        default='scripted',
        help='what a conductor starts for each build: a stand-in that only '
        'speaks the protocol, or the real job (default: scripted)',
    )
    add(
        '--kill',
        action='store_true',
        help='kill -9 one of the conductors when a third is done',
    )
    return parser


class Benchmark:
    """The phases, over a service that is up."""

    def __init__(
        self, served: service.Service, options: argparse.Namespace, say: Say
    ) -> None:
        self._served = served
        self._options = options
        self._say = say
        self.killed = ''

    def burst(self) -> list[fate_kit.Fate]:
        """Ask for all at once, and wait until all have ended."""
        start, number = time.monotonic(), self._options.builds
        ids = self._submit(number, self._options.projects)
        seconds = time.monotonic() - start
        self._say(f'{number} builds are queued after {seconds:.1f} s')
        self._wait(number, self._kill if self._options.kill else None)
        return self._served.fates(ids)

    def paced(self, rate: float) -> list[fate_kit.Fate]:
        """Ask for one after the other, so that there always is a place.

        :param rate: builds in a second.
        """
        before, ids = self._done(), []
        start = time.monotonic()
        for number in range(self._options.paced):
            pause = start + number / rate - time.monotonic()
            time.sleep(max(0.0, pause))
            ids += self._submit(1, 1)
        self._wait(before + self._options.paced)
        return self._served.fates(ids)

    def _submit(self, number: int, projects: int) -> list[str]:
        return self._served.submit(number, projects, self._options.seconds)

    def _wait(
        self, number: int, kill: Callable[[], None] | None = None
    ) -> None:
        deadline = time.monotonic() + self._options.within
        while (done := self._done()) < number:
            if kill and done >= number // 3:
                kill()
                kill = None
            if time.monotonic() > deadline:
                self._say(f'only {done} of {number} have ended')
                return
            time.sleep(_POLL)

    def _done(self) -> int:
        counts = self._served.database.count_builds()
        return sum(
            number
            for (status, _), number in counts.items()
            if status in ('active', 'error', 'cancelled')
        )

    def _kill(self) -> None:
        self.killed, pid = next(iter(self._served.conductors().items()))
        os.kill(pid, signal.SIGKILL)
        self._say(f'{self.killed} is killed after {self._done()} builds')


def judged(
    found: Sequence[fate_kit.Fate], killed: str = ''
) -> dict[str, object]:
    """What is printed of a phase; ``wait`` in seconds."""
    again = sum(fate.attempt > 1 for fate in found)
    return {
        'builds': len(found),
        'lost': len(fate_kit.lost(found)),
        'doubled': len(fate_kit.doubled(found, killed)),
        'retried': again,
        'builds/s': round(fate_kit.throughput(found), 2),
        'wait': figures.distribution(fate_kit.waits(found)),
    }


def _report(
    options: argparse.Namespace,
    burst: Sequence[fate_kit.Fate],
    paced: Sequence[fate_kit.Fate],
    killed: str,
) -> dict[str, dict[str, object]]:
    """Both phases, as they are printed and written."""
    places = options.places * options.conductors
    return {
        'all at once': {
            **judged(burst, killed),
            'places used': round(fate_kit.occupancy(burst, places), 2),
            'by conductor': fate_kit.shares(burst),
            'at half time': fate_kit.halfway(burst),
        },
        'one by one': judged(paced, killed),
    }


def _text(value: object) -> str:
    """One value for people."""
    if not isinstance(value, dict):
        return str(value)
    if all(isinstance(each, int) for each in value.values()):
        return ' '.join(str(each) for each in value.values())
    return '  '.join(f'{name} {each:.3f} s' for name, each in value.items())


def _processor(
    before: Mapping[str, float], after: Mapping[str, float], number: int
) -> dict[str, float]:
    """Seconds of processor time for a build."""
    return {name: (after[name] - before[name]) / number for name in after}


def _benchmark(
    options: argparse.Namespace, directory: pathlib.Path, say: Say
) -> bool:
    about = figures.machine() | {
        'load before': f'{figures.load():.1f}',
        'conductors': f'{options.conductors} of {options.places} places',
        'projects': options.projects,
        'job': options.job,
    }
    say(figures.described(about) + '\n')
    with service.running(directory, options) as served:
        say('all conductors are up')
        benchmark = Benchmark(served, options, say)
        before = served.processor()
        burst = benchmark.burst()
        after = served.processor()
        paced = benchmark.paced(max(fate_kit.throughput(burst) / 4, 0.1))
        left = served.left()
    report = _report(options, burst, paced, benchmark.killed)
    if not options.kill:
        # The killed one would take its share of the numbers with it.
        cost = _processor(before, after, len(burst))
        report['all at once']['processor'] = cost
    report['at the end'] = {
        'left behind': len(left),
        'load': f'{figures.load():.1f}',
    }
    for title, values in report.items():
        shown = {name: _text(value) for name, value in values.items()}
        say(f'\n{title}\n{figures.described(shown)}')
    if options.json:
        document: dict[str, Any] = {'machine': about, **report}
        options.json.write_text(json.dumps(document, indent=2) + '\n')
    everything = [*burst, *paced]
    return not (
        left
        or fate_kit.lost(everything)
        or fate_kit.doubled(everything, benchmark.killed)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: exit code: 1 when a build was lost or doubled, or a workspace
        was left behind.
    """

    def say(text: str) -> None:
        print(text, flush=True)

    options = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix='benchmark-') as directory:
        return 0 if _benchmark(options, pathlib.Path(directory), say) else 1


if __name__ == '__main__':
    sys.exit(main())
