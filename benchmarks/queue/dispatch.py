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
"""What it costs to hand builds to a hundred conductors.

The schedulers are the product's, over real databases; builds do nothing. See
README.rst.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from benchmarks import generated  # noqa: E402
from benchmarks.queue import crowd  # noqa: E402
from benchmarks.queue import service  # noqa: E402
from imagebuild import db  # noqa: E402
from imagebuild.db import migration  # noqa: E402
from tools.cloud.servers import mariadb  # noqa: E402
from tools.cloud.servers import postgresql  # noqa: E402

Say = Callable[[str], None]

DATABASES = ('sqlite', 'mariadb', 'postgresql')
_SENDERS = 4
_POLL = 0.5
_WITHIN = 1800
TITLES = (
    'database', 'builds', 'builds/s', 'idle p95', 'claim', 'end', 'lost',
    'failed', 'dispatch p50', 'p95', 'p99', 'cast', 'lost',
)  # fmt: skip
_LEGEND = """\
builds/s      claimed and ended in a second, from a queue of that length
idle p95      ms for which a free slot waits for its next build
claim, end    database statements of a build: to claim it, to end it
lost          claims of a build that came too late: another conductor won
failed        calls that the database refused for 20 seconds
dispatch      ms from a build's creation to its claim, while slots are free
cast          statements of all conductors for such a build
lost          the same as above, of such builds"""


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured with one length of the queue.

    :ivar dispatch: seconds, each of a build that was asked for by itself.
    :ivar paced: what was counted meanwhile.
    """

    database: str
    builds: int
    seconds: float
    counts: crowd.Counts
    dispatch: Sequence[float]
    paced: crowd.Counts

    def cells(self) -> tuple[object, ...]:
        """As they are printed."""
        counts, number = self.counts, self.builds
        return (
            self.database,
            number,
            f'{number / self.seconds:.1f}',
            _ms(counts.idle, 95),
            f'{counts.claiming / number:.1f}',
            f'{counts.ending / number:.1f}',
            f'{counts.lost / number:.2f}',
            counts.failures,
            *(_ms(self.dispatch, percent) for percent in (50, 95, 99)),
            f'{self.paced.claiming / max(1, len(self.dispatch)):.0f}',
            f'{self.paced.lost / max(1, len(self.dispatch)):.2f}',
        )


def _ms(seconds: Sequence[float], percent: float) -> str:
    if not seconds:
        return '-'
    return f'{figures.percentile(seconds, percent) * 1000:.0f}'


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = figures.make_parser(
        __doc__,
        (
            ('--conductors', 100, 'conductors'),
            ('--processes', 4, 'processes that they are threads of'),
            ('--places', 2, 'builds that run at once on each'),
            ('--projects', 20, 'projects that ask'),
            ('--paced', 200, 'builds that are asked for one by one'),
        ),
    )
    add = parser.add_argument
    add(
        '--builds',
        nargs='+',
        type=figures.positive,
        default=[1000, 10_000],
        metavar='N',
        help='lengths of the queue (default: 1000 10000)',
    )
    add(
        '--database',
        nargs='+',
        choices=DATABASES,
        default=list(DATABASES),
        help='which databases (default: all)',
    )
    add(
        '--seconds',
        type=float,
        default=0.0,
        metavar='S',
        help='how long each build runs (default: 0)',
    )
    add(
        '--readme',
        action='store_true',
        help='write the table into benchmarks/README.rst',
    )
    return parser


class Crowds:
    """The processes."""

    def __init__(
        self,
        connection: str,
        directory: pathlib.Path,
        options: argparse.Namespace,
    ) -> None:
        spawn = multiprocessing.get_context('spawn')
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(options.processes):
            names = [
                f'c{each}'
                for each in range(options.conductors)
                if each % options.processes == number
            ]
            mine, its = spawn.Pipe()
            made = spawn.Process(
                target=crowd.main,
                args=(
                    its,
                    connection,
                    str(directory),
                    names,
                    options.places,
                    options.seconds,
                ),
            )
            made.start()
            its.close()
            self._pipes.append(mine)
            self._processes.append(made)
        for pipe in self._pipes:
            pipe.recv()

    def ask(self, what: str | tuple[str, list[str]]) -> None:
        """Tell all of them."""
        for pipe in self._pipes:
            pipe.send(what)

    def counts(self) -> crowd.Counts:
        """What they have counted since the last call."""
        self.ask('counts')
        total = crowd.Counts()
        for pipe in self._pipes:
            found = pipe.recv()
            for field in dataclasses.fields(crowd.Counts):
                now = getattr(total, field.name) + getattr(found, field.name)
                setattr(total, field.name, now)
        return total

    def check(self) -> None:
        """See that all still run.

        :raises SystemExit: one has failed.
        """
        if not all(process.is_alive() for process in self._processes):
            raise SystemExit('a process of conductors has failed')

    def close(self) -> None:
        """End them."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            process.kill()


def measure(
    name: str, connection: str, directory: pathlib.Path, number: int,
    options: argparse.Namespace, say: Say,
) -> Row:  # fmt: skip
    """Fill a queue, have it emptied, then ask one by one.

    :param number: builds in the queue.
    """
    database = db.Database(connection)
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(_SENDERS) as pool:
        list(
            pool.map(
                lambda each: _create(database, each % options.projects),
                range(number),
            )
        )
    say(f'{name}: {number} are queued, {time.monotonic() - begun:.0f} s')
    crowds = Crowds(connection, directory, options)
    try:
        begun = time.monotonic()
        crowds.ask('start')
        _wait(database, crowds, number)
        seconds = time.monotonic() - begun
        counts = crowds.counts()
        rate = min(10.0, number / seconds / 4)
        dispatch = _paced(database, crowds, options.paced, rate)
        _wait(database, crowds, number + options.paced)
        paced = crowds.counts()
    finally:
        crowds.close()
    database.close()
    return Row(name, number, seconds, counts, dispatch, paced)


def _create(database: db.Database, project: int) -> str:
    values = service.build_values(f'{project:032x}', {})
    made: db.Build = database.create_build(values, quotas={})
    return made.id


def _paced(
    database: db.Database, crowds: Crowds, number: int, rate: float
) -> list[float]:
    """Ask for builds one after the other.

    :param rate: builds in a second.
    :returns: seconds from the creation to the claim of each.
    """
    ids, begun = [], time.monotonic()
    for each in range(number):
        time.sleep(max(0.0, begun + each / rate - time.monotonic()))
        ids.append(_create(database, 0))
        # As the API does.
        names = database.conductors_for(ids[-1], alive_within=_WITHIN)
        crowds.ask((ids[-1], names))
    deadline = time.monotonic() + _WITHIN
    waited = []
    for id in ids:
        build = database.get_build(id)
        while build.claimed_at is None and time.monotonic() < deadline:
            time.sleep(_POLL)
            build = database.get_build(id)
        if build.claimed_at is not None:
            waited.append(
                (build.claimed_at - build.created_at).total_seconds()
            )
    return waited


def _wait(database: db.Database, crowds: Crowds, number: int) -> None:
    """Wait until so many have ended.

    :raises SystemExit: that takes too long.
    """
    deadline = time.monotonic() + _WITHIN
    while True:
        crowds.check()
        counts = database.count_builds()
        done = sum(
            found
            for (status, _), found in counts.items()
            if status == 'active'
        )
        if done >= number:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f'only {done} of {number} have ended')
        time.sleep(_POLL)


@contextlib.contextmanager
def running(name: str, directory: pathlib.Path) -> Iterator[str]:
    """A database with the tables and no rows; gives its URL."""
    directory.mkdir()
    if name == 'sqlite':
        url = f'sqlite:///{directory}/imagebuild.sqlite'
        migration.upgrade(url)
        yield url
        return
    servers = {'mariadb': mariadb, 'postgresql': postgresql}
    with servers[name].running(directory / 'server') as server:
        url = server.url('imagebuild')
        migration.upgrade(url)
        yield url


def report(rows: Sequence[Row]) -> str:
    """The table, and what grew with the queue."""
    lines = [figures.table(TITLES, [row.cells() for row in rows]), '', _LEGEND]
    for name in dict.fromkeys(row.database for row in rows):
        found = [row for row in rows if row.database == name]
        first, last = found[0], found[-1]
        if first.builds != last.builds:
            growth = (last.seconds / last.builds) / (
                first.seconds / first.builds
            )
            lines.append(
                f'{name}: a build takes {growth:.2f} times as long with '
                f'{last.builds} queued as with {first.builds}'
            )
    return '\n'.join(lines)


def _benchmark(
    options: argparse.Namespace, directory: pathlib.Path, say: Say
) -> None:
    about = {**figures.machine(), 'load': f'{figures.load():.1f}'}
    asked = {
        'conductors': f'{options.conductors} in {options.processes} processes',
        'slots': options.places,
        'a build runs': f'{options.seconds} s',
    }
    say(figures.described({**about, **asked}))
    rows = []
    for name in options.database:
        for number in options.builds:
            place = directory / f'{name}-{number}'
            with running(name, place) as url:
                row = measure(name, url, place, number, options, say)
            rows.append(row)
            say(figures.table(TITLES, [row.cells()]))
    text = report(rows)
    say(f'\n{text}')
    if options.json:
        document = {
            'machine': about,
            'rows': [dataclasses.asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(document, indent=2) + '\n')
    if options.readme:
        generated.write(
            ROOT / 'benchmarks' / 'README.rst',
            'dispatch',
            f'{figures.described({**about, **asked})}\n\n{text}',
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: exit code.
    """

    def say(text: str) -> None:
        print(text, flush=True)

    options = make_parser().parse_args(argv)
    # The servers are stopped, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix='benchmark-') as directory:
        _benchmark(options, pathlib.Path(directory), say)
    return 0


if __name__ == '__main__':
    sys.exit(main())
