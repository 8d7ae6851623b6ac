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
"""Compare our API with Glance's, on one cloud of this machine.

In turn, in one run, the same number of requests by the same number of
clients: ours (A), Glance's (B). See README.rst.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from benchmarks import processor  # noqa: E402
from benchmarks.api import clients  # noqa: E402
from tools.cloud import clouds  # noqa: E402
from tools.cloud.servers import process  # noqa: E402

API = 'imagebuild-api'
CONDUCTORS = tuple(
    f'imagebuild-conductor-{number}'
    for number in range(1, clouds.CONDUCTORS + 1)
)

_IMAGE = {'name': 'benchmark', 'disk_format': 'qcow2'}
_BUILD = {'name': 'benchmark', 'os': 'fake-1'}
_LIST = '?limit=20'

#: Ended without an image, so that no conductor ever builds them.
_EMPTY_QUEUE = (
    "UPDATE builds SET status = 'cancelled', finished_at = UTC_TIMESTAMP(6) "
    "WHERE status = 'queued'"
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is asked in a turn, of us and of Glance.

    :ivar name: as it is printed.
    :ivar ours: the request to our API.
    :ivar theirs: the request to Glance.
    """

    name: str
    ours: clients.Request
    theirs: clients.Request


@dataclasses.dataclass
class Turn:
    """What came of one turn.

    :ivar kind: name of the kind.
    :ivar who: ``A`` (ours) or ``B`` (Glance).
    :ivar rate: requests in a second.
    :ivar p50: milliseconds that half of the requests did not exceed.
    :ivar p95: milliseconds that 95 % of them did not exceed.
    :ivar server: milliseconds of processor time that the API server took
        for a request.
    :ivar cloud: the same of all programs of the cloud together.
    :ivar load: the machine's load average when it began.
    """

    kind: str
    who: str
    rate: float
    p50: float
    p95: float
    server: float
    cloud: float
    load: float


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = figures.make_parser(
        __doc__,
        (
            ('--clients', 4, 'requests that are under way at once'),
            ('--requests', 200, 'requests of a turn'),
            ('--rounds', 5, 'turns of each'),
            ('--threads', 4, 'threads of each API server; it is one process'),
        ),
    )
    figures.add_state(parser)
    return parser


def summary(turns: Sequence[Turn]) -> list[list[object]]:
    """Medians of each kind: a row for us, one for Glance, the ratios."""
    rows: list[list[object]] = []
    fields = ('rate', 'p50', 'p95', 'server', 'cloud')
    for kind in dict.fromkeys(turn.kind for turn in turns):
        found = {
            who: [t for t in turns if (t.kind, t.who) == (kind, who)]
            for who in 'AB'
        }
        for who in 'AB':
            rows.append(
                [kind, who]
                + [
                    figures.median(
                        [getattr(turn, field) for turn in found[who]]
                    )
                    for field in fields
                ]
            )
        rows.append(
            [kind, 'A/B']
            + [
                figures.median(
                    figures.ratios(
                        [getattr(turn, field) for turn in found['A']],
                        [getattr(turn, field) for turn in found['B']],
                    )
                )
                for field in fields
            ]
        )
    return rows


class Benchmark:
    """The turns, over a cloud that is up.

    :param say: told a line at a time.
    """

    def __init__(
        self,
        cloud: clouds.Cloud,
        options: argparse.Namespace,
        say: Callable[[str], None],
    ) -> None:
        self._cloud = cloud
        self._options = options
        self._say = say
        site = cloud.site
        self._ours = clients.Client(site, API)
        self._glance = clients.Client(site, 'glance')
        self._meters = {
            who: processor.Meter(site, name)
            for who, name in (('A', API), ('B', 'glance'))
        }

    def kinds(self) -> list[Kind]:
        """What is compared; rows to be shown are made here."""
        mine = self._ours.call(*self._create())['id']
        image = self._glance.call('POST', '/v2/images', _IMAGE)['id']
        create = clients.Request('POST', '/v2/images', _IMAGE, 201)
        return [
            Kind('create', clients.Request(*self._create(), 202), create),
            Kind('create, reused', self._reused(), create),
            Kind(
                'show',
                clients.Request('GET', f'/v1/builds/{mine}'),
                clients.Request('GET', f'/v2/images/{image}'),
            ),
            Kind(
                'list of 20',
                clients.Request('GET', f'/v1/builds{_LIST}'),
                clients.Request('GET', f'/v2/images{_LIST}'),
            ),
        ]

    def run(self) -> list[Turn]:
        """All turns: A B A B ..."""
        kinds = self.kinds()
        for kind in kinds:
            for who in 'AB':
                self._turn(kind, who, 2 * self._options.threads)
        turns = []
        for _ in range(self._options.rounds):
            for kind in kinds:
                for who in 'AB':
                    turn = self._turn(kind, who, self._options.requests)
                    turns.append(turn)
                    self._say(_line(turn))
        return turns

    def _create(self) -> tuple[str, str, dict[str, str]]:
        return 'POST', '/v1/builds', {**_BUILD, 'reuse': 'never'}

    def _reused(self) -> clients.Request:
        body = {**_BUILD, 'reuse': 'always'}
        return clients.Request('POST', '/v1/builds', body, 202)

    def _turn(self, kind: Kind, who: str, number: int) -> Turn:
        client, request = {
            'A': (self._ours, kind.ours),
            'B': (self._glance, kind.theirs),
        }[who]
        meter, load = self._meters[who], figures.load()
        before, start = meter.read(), time.monotonic()
        times = client.many(request, number, self._options.clients)
        seconds = time.monotonic() - start
        server, cloud = meter.since(before)
        return Turn(
            kind=kind.name,
            who=who,
            rate=number / seconds,
            p50=1000 * figures.percentile(times, 50),
            p95=1000 * figures.percentile(times, 95),
            server=1000 * server / number,
            cloud=1000 * cloud / number,
            load=load,
        )


def _line(turn: Turn) -> str:
    return (
        f'{turn.kind:16}{turn.who}{turn.rate:8.1f}/s{turn.p50:8.1f} ms'
        f'{turn.p95:8.1f} ms{turn.server:8.1f} ms{turn.cloud:8.1f} ms'
        f'{turn.load:7.1f}'
    )


# -- the cloud --------------------------------------------------------------


@contextlib.contextmanager
def _cloud(directory: pathlib.Path | None) -> Iterator[clouds.Cloud]:
    """A cloud with Glance and us; a temporary one goes at the end."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            name = tempfile.TemporaryDirectory(prefix='benchmark-')
            where = pathlib.Path(stack.enter_context(name))
        else:
            where = directory
        cloud = clouds.Cloud(where, level='glance')
        if directory is None:
            stack.callback(cloud.down)
        cloud.up(host_is_ready=True)
        yield cloud


def _make_equal(cloud: clouds.Cloud, threads: int) -> None:
    """Serve both in the same way, and take any number of builds."""
    _configure(cloud, '[quota]\nqueued = -1\n')
    for name in (API, 'glance'):
        service = cloud.service(name)
        service.threads = threads
        service.start()


def _configure(cloud: clouds.Cloud, text: str) -> None:
    cloud.service(API).extra.write_text(text)


def _build_one(cloud: clouds.Cloud) -> None:
    """Make the image that is found again by "create, reused"."""
    client = clients.Client(cloud.site, API)
    body = {**_BUILD, 'reuse': 'always'}
    build = client.call('POST', '/v1/builds', body)

    def is_over() -> bool:
        found = client.call('GET', f'/v1/builds/{build["id"]}')
        return found['status'] in ('active', 'error')

    if not process.until(is_over, 120):
        raise SystemExit('The first build did not end.')
    found = client.call('GET', f'/v1/builds/{build["id"]}')
    if found['status'] != 'active':
        raise SystemExit(f'The first build failed: {found["status_reason"]}')


def _rest(cloud: clouds.Cloud) -> None:
    """Have the conductors answer questions and build nothing."""
    _configure(cloud, '[quota]\nqueued = -1\n[conductor]\nmax_builds = 0\n')
    for name in (*CONDUCTORS, API):
        cloud.service(name).start()


def _busy(cloud: clouds.Cloud) -> None:
    """Have them build again, where there is nothing left to build."""
    cloud.site.mariadb.query(_EMPTY_QUEUE, database='imagebuild')
    _configure(cloud, '')


def _benchmark(
    options: argparse.Namespace, say: Callable[[str], None]
) -> None:
    about = figures.machine() | {
        'servers': f'uwsgi, 1 process of {options.threads} threads each',
        'clients': options.clients,
        'turn': f'{options.requests} requests',
    }
    say(figures.described(about))
    with _cloud(options.state) as cloud:
        _make_equal(cloud, options.threads)
        for name in CONDUCTORS:
            cloud.service(name).start()
        _build_one(cloud)
        _rest(cloud)
        say(
            '\nwhat            who   rate        p50        p95     server'
            '      cloud   load'
        )
        try:
            turns = Benchmark(cloud, options, say).run()
        finally:
            _busy(cloud)
    rows = summary(turns)
    titles = ['median', 'who', 'rate', 'p50', 'p95', 'server', 'cloud']
    say('\n' + figures.table(titles, rows))
    if options.json:
        document: dict[str, Any] = {
            'machine': about,
            'turns': [dataclasses.asdict(turn) for turn in turns],
            'summary': [dict(zip(titles, row, strict=True)) for row in rows],
        }
        options.json.write_text(json.dumps(document, indent=2) + '\n')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: exit code.
    """

    def say(text: str) -> None:
        print(text, flush=True)

    _benchmark(make_parser().parse_args(argv), say)
    return 0


if __name__ == '__main__':
    sys.exit(main())
