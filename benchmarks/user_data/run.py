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
"""User data, compared with an image: when does the server serve?

Stacks of templates/heat on a cloud with real servers. See README.rst.
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
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import yaml
from heatclient import client as heatclient
from heatclient import exc
from keystoneauth1 import loading
from keystoneauth1 import session as ksa_session

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from benchmarks import processor  # noqa: E402
from benchmarks.user_data import guests  # noqa: E402
from imagebuild.client import client as clients  # noqa: E402
from tools.cloud import clouds  # noqa: E402
from tools.cloud import credentials  # noqa: E402
from tools.cloud import ini  # noqa: E402

TEMPLATES = ROOT / 'templates' / 'heat'
USER = 'demo'

#: way: its template. ``built`` and ``reused`` come in this order: the image
#: that is reused is the one that was built.
WAYS = {
    'user data': 'user-data-before.yaml',
    'built': 'user-data-after.yaml',
    'reused': 'user-data-after.yaml',
}

#: The plain image: with DHCP on its first network card.
_PLAIN = {
    'name': 'benchmark-plain',
    'os': 'debian-12',
    'files': [
        {
            'path': '/etc/systemd/network/90-benchmark.network',
            'content': '[Match]\nType=ether\n[Network]\nDHCP=yes\n',
        }
    ],
}
_POLL = 1.0


@dataclasses.dataclass
class Turn:
    """What came of one stack.

    :ivar way: one of WAYS.
    :ivar complete: seconds from the request until Heat says that the stack
        is complete.
    :ivar serves: seconds from the request until the page is there.
    :ivar guest: seconds of processor time that the server's guest took.
    :ivar build: seconds of processor time that building took.
    :ivar load: the machine's load average when it began.
    """

    way: str
    complete: float
    serves: float
    guest: float
    build: float
    load: float


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = figures.make_parser(
        __doc__,
        (
            ('--runs', 1, 'turns of each way'),
            ('--within', 1800, 'seconds after which a turn has failed'),
        ),
    )
    figures.add_state(parser)
    return parser


def summary(turns: Sequence[Turn]) -> list[list[object]]:
    """Medians of each way: a row each."""
    rows: list[list[object]] = []
    for way in WAYS:
        found = [turn for turn in turns if turn.way == way]
        rows.append(
            [way]
            + [
                figures.median([getattr(turn, field) for turn in found])
                for field in ('complete', 'serves', 'guest', 'build')
            ]
        )
    return rows


def saved(turns: Sequence[Turn]) -> dict[str, float]:
    """Seconds by which servers serve earlier than with user data."""
    serves = {str(row[0]): float(str(row[2])) for row in summary(turns)}
    before = serves.pop('user data')
    return {way: before - seconds for way, seconds in serves.items()}


class Benchmark:
    """The turns, over a cloud that is up.

    :param within: seconds that a turn may take.
    """

    def __init__(self, cloud: clouds.Cloud, within: float) -> None:
        self._state = cloud.site.state
        self._within = within
        session = _session(cloud)
        self._ours = clients.Client(session)
        self._heat = heatclient.Client('1', session=session)
        records = self._state.section('processes')
        self._conductors = [
            record['pid']
            for name, record in records.items()
            if name.startswith('imagebuild-conductor')
        ]
        self._image = ''

    def prepare(self, catalogue: pathlib.Path) -> bool:
        """Make the plain image, outside of the timing, and offer it.

        :param catalogue: the file of operating systems.
        :returns: whether the services must read it again.
        """
        build = self._ours.builds.create(**_PLAIN)
        while build.status not in ('active', 'error'):
            time.sleep(_POLL)
            build = self._ours.builds.get(build.id)
        if build.status != 'active':
            raise SystemExit(f'The plain image: {build.status_reason}')
        self._image = build.image_id
        offered = yaml.safe_load(catalogue.read_text())
        entry = {'description': 'plain', 'image': {'id': build.image_id}}
        if offered.get(_PLAIN['name']) == entry:
            return False
        offered[_PLAIN['name']] = entry
        ini.write(catalogue, yaml.safe_dump(offered))
        return True

    def turns(self) -> Iterator[Turn]:
        """One turn of each way."""
        title = f'benchmark {uuid.uuid4().hex}'
        with contextlib.ExitStack() as stack:
            for way in WAYS:
                name = f'{way.replace(" ", "-")}-{uuid.uuid4().hex[:8]}'
                stack.callback(self._delete, name)
                yield self._turn(way, name, title)
                if way != 'built':
                    # The other one is why the image is there.
                    self._delete(name)

    def _turn(self, way: str, name: str, title: str) -> Turn:
        parameters = {'title': title}
        if way == 'user data':
            parameters['image'] = self._image
        else:
            parameters['os'] = str(_PLAIN['name'])
        load, building, start = figures.load(), self._building(), _now()
        self._heat.stacks.create(
            stack_name=name,
            template=(TEMPLATES / WAYS[way]).read_text(),
            parameters=parameters,
            timeout_mins=self._within // 60 + 1,
        )
        deadline = start + self._within
        guest = self._guest(name, deadline)
        complete = 0.0
        while not (complete and title in guest.page()):
            if not complete and self._is_complete(name):
                complete = _now() - start
            _wait(deadline, name)
        return Turn(
            way=way,
            complete=complete,
            serves=_now() - start,
            guest=guest.processor(),
            build=self._building() - building,
            load=load,
        )

    def _guest(self, name: str, deadline: float) -> guests.Guest:
        """The guest, with a network card as soon as it is there."""
        while not (server_id := self._server(name)):
            self._is_complete(name)
            _wait(deadline, name)
        guest = guests.Guest(self._state, server_id)
        while not guest.is_there():
            _wait(deadline, name)
        guest.plug_in()
        return guest

    def _server(self, name: str) -> str:
        try:
            resource = self._heat.resources.get(name, 'server')
        except exc.HTTPNotFound:
            return ''
        return str(resource.physical_resource_id or '')

    def _is_complete(self, name: str) -> bool:
        status = self._status(name)
        if status == 'CREATE_FAILED':
            reason = self._heat.stacks.get(name).stack_status_reason
            raise SystemExit(f'{name}: {reason}')
        return status == 'CREATE_COMPLETE'

    def _delete(self, name: str) -> None:
        """Delete a stack, if it is there."""
        deadline = _now() + self._within
        with contextlib.suppress(exc.HTTPNotFound):
            self._heat.stacks.delete(name)
            while self._status(name) != 'DELETE_COMPLETE':
                _wait(deadline, name)

    def _status(self, name: str) -> str:
        return str(self._heat.stacks.get(name).stack_status)

    def _building(self) -> float:
        """Processor time of the conductors and of what they started."""
        return sum(sum(processor.times(pid)) for pid in self._conductors)


def _now() -> float:
    return time.monotonic()


def _wait(deadline: float, name: str) -> None:
    if _now() > deadline:
        raise SystemExit(f'{name} took too long.')
    time.sleep(_POLL)


def _session(cloud: clouds.Cloud) -> ksa_session.Session:
    auth = cloud.site.credentials(USER, credentials.PEOPLE[USER])
    loader = loading.get_plugin_loader(auth.pop('auth_type'))
    return ksa_session.Session(auth=loader.load_from_options(**auth))


@contextlib.contextmanager
def _cloud(directory: pathlib.Path | None) -> Iterator[clouds.Cloud]:
    """A cloud with real servers; a temporary one goes at the end."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            name = tempfile.TemporaryDirectory(prefix='benchmark-')
            where = pathlib.Path(stack.enter_context(name))
        else:
            where = directory
        cloud = clouds.Cloud(where, level='nova', virt='libvirt')
        if directory is None:
            stack.callback(cloud.down)
        cloud.up(host_is_ready=True)
        yield cloud


def _benchmark(
    options: argparse.Namespace, say: Callable[[str], None]
) -> None:
    about = figures.machine() | {'guests': 'emulated, 1 processor, 1 GiB'}
    say(figures.described(about))
    turns = []
    with _cloud(options.state) as cloud:
        benchmark = Benchmark(cloud, options.within)
        if benchmark.prepare(cloud.service('imagebuild-api').catalogue):
            cloud.up(host_is_ready=True)
            benchmark = Benchmark(cloud, options.within)
            benchmark.prepare(cloud.service('imagebuild-api').catalogue)
        say('\nway        complete   serves    guest    build   load')
        for _ in range(options.runs):
            for turn in benchmark.turns():
                turns.append(turn)
                say(_line(turn))
    titles = ['median', 'complete', 'serves', 'guest', 'build']
    say('\n' + figures.table(titles, summary(turns)))
    for way, seconds in saved(turns).items():
        say(f'saved, {way}: {seconds:.0f} s')
    if options.json:
        document: dict[str, Any] = {
            'machine': about,
            'turns': [dataclasses.asdict(turn) for turn in turns],
            'saved': saved(turns),
        }
        options.json.write_text(json.dumps(document, indent=2) + '\n')


def _line(turn: Turn) -> str:
    return (
        f'{turn.way:9}{turn.complete:8.0f} s{turn.serves:7.0f} s'
        f'{turn.guest:7.0f} s{turn.build:7.0f} s{turn.load:7.1f}'
    )


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
