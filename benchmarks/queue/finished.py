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
"""What calls of the database take, with nothing finished and with a lot.

Lists, counts, and what every conductor asks at each look and sweep. See
README.rst.
"""

from __future__ import annotations

import argparse
import datetime
import math
import pathlib
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from benchmarks import generated  # noqa: E402
from benchmarks.queue import dispatch  # noqa: E402
from benchmarks.queue import service  # noqa: E402
from imagebuild import db  # noqa: E402
from imagebuild import exception  # noqa: E402
from imagebuild.db import models  # noqa: E402
from imagebuild.db import transaction  # noqa: E402

_PROJECT = f'{1:032x}'
_PROJECTS = 10
_BATCH = 1000
_TIMES = 7
_ENOUGH = 5.0
_START = datetime.datetime(2026, 1, 1)
_LIMITS = {
    'queued': 100,
    'builds': 10**6,
    'request_bytes': 2**40,
    'stored_bytes': 2**60,
}
_NO_LIMITS = dict.fromkeys(_LIMITS, -1)


def _page(**filters: Any) -> Callable[[db.Database], object]:
    return lambda database: database.page_of_builds(
        project_id=_PROJECT,
        limit=50,
        max_bytes=4 * 2**20,
        filters=filters,
    )


def _create(limits: Mapping[str, int]) -> Callable[[db.Database], object]:
    def call(database: db.Database) -> None:
        values = service.build_values(_PROJECT, {})
        made: db.Build = database.create_build(values, quotas=limits)
        database.claim('c1', job=made.id)
        database.finish_build(
            made.id,
            db.Outcome('error', 'no', fault='service'),
            conductor='c1',
            attempt=1,
        )

    return call


def _earlier(database: db.Database) -> None:
    [build], _ = database.page_of_builds(
        project_id=_PROJECT, limit=1, max_bytes=2**20
    )
    database.earlier_builds(build, 5)


def _of_all(**filters: Any) -> Callable[[db.Database], object]:
    return lambda database: database.page_of_builds(
        limit=50, max_bytes=4 * 2**20, filters=filters
    )


#: What is measured: titles and calls.
CALLS: Mapping[str, Callable[[db.Database], object]] = {
    'list of a project': _page(),
    'of it, active': _page(status='active'),
    'of it, queued': _page(status='queued'),
    'of it, by name': _page(name='no such'),
    'list of all projects': _of_all(),
    'of all, queued': _of_all(status='queued'),
    'uploads of a project': lambda database: database.list_uploads(
        project_id=_PROJECT, limit=51
    ),
    'create, claim, end': _create(_NO_LIMITS),
    'the same with quotas': _create(_LIMITS),
    'stored_bytes': lambda database: database.stored_bytes(_PROJECT),
    'count_builds': lambda database: database.count_builds(),
    'earlier_builds': _earlier,
    'lanes': lambda database: database.lanes(['upload', 'build']),
    'release_waiting': lambda database: database.release_waiting(),
    'retire_unused_images': lambda database: database.retire_unused_images(),
    'retire_unused_images, all': lambda database: (
        database.retire_unused_images(thorough=True)
    ),
    'abandoned_uploads': lambda database: database.abandoned_uploads(),
    'uploads_without_file': lambda database: database.uploads_without_file(
        seconds=30, max_attempts=3
    ),
    'adopt_builds': lambda database: database.adopt_builds(),
    'builds_of': lambda database: database.builds_of('c1'),
    'orphans': lambda database: database.orphans(30),
    'jobs_of': lambda database: database.jobs_of('c1', 'upload'),
    'orphaned_jobs': lambda database: database.orphaned_jobs('upload', 30),
    'noted_as_waiting': lambda database: database.noted_as_waiting(),
    'conductors_for': lambda database: database.conductors_for(
        'no such', alive_within=30
    ),
    'files of deleted builds': (
        lambda database: database.artifacts_of_deleted_builds('r1')
    ),
    'pipelines_to_attend': lambda database: database.pipelines_to_attend(),
}


def _rows(number: int) -> Iterator[tuple[type[models.Base], dict[str, Any]]]:
    """Rows of builds that have ended: of ten, six are active."""
    lanes = set()
    for each in range(number):
        id = str(uuid.UUID(int=each + 1))
        image_id = str(uuid.UUID(int=10**9 + each))
        project = f'{each % _PROJECTS:032x}'
        at = _START + datetime.timedelta(seconds=each)
        status = ('active', 'error')[each % 10 > 5]
        is_active = status == 'active'
        needs = {'driver': 'fake', 'base': f'sha256:{each % 100}'}
        lane = f'{project}-{each % 100}'
        if lane not in lanes:
            lanes.add(lane)
            yield (
                models.Lane,
                {
                    'id': lane,
                    'kind': 'build',
                    'project_id': project,
                    'priority': 0,
                    'needs': needs,
                },
            )
        common = {'project_id': project, 'created_at': at}
        if is_active:
            yield (
                models.Image,
                {
                    **common,
                    'id': image_id,
                    'content_key': id,
                    'image_id': image_id,
                    'build_id': id,
                    'size': 4096,
                    'status': 'active',
                },
            )
        values = service.build_values(project, {})
        yield (
            models.Build,
            {
                **values,
                **common,
                'id': id,
                'status': status,
                'content_key': id,
                'request_size': 100,
                'image_row_id': image_id if is_active else None,
                'conductor': 'c1',
                'attempt': 1,
                'phases': {} if is_active else None,
                'finished_at': at,
                'updated_at': at,
                # Of each ten one was deleted, and is not purged yet.
                'deleted_at': at if each % 10 == 9 else None,
            },
        )
        yield (
            models.Job,
            {
                **common,
                'id': id,
                'build_id': id,
                'kind': 'build',
                'lane_id': None,
                'state': 'done' if is_active else 'error',
                'conductor': 'c1',
                'attempt': 1,
                'spec': {},
                'claimed_at': at,
                'finished_at': at,
                'updated_at': at,
            },
        )
        if is_active:
            yield (
                models.Upload,
                {
                    'id': image_id,
                    'build_id': id,
                    'project_id': project,
                    'disk_format': 'qcow2',
                    'status': 'active',
                    'image_id': image_id,
                    'created_at': at,
                    'updated_at': at,
                },
            )


def fill(database: db.Database, number: int) -> None:
    """Make builds that have ended."""
    waiting: dict[type[models.Base], list[dict[str, Any]]] = {}
    # What others point to goes first.
    order = (
        models.Lane, models.Image, models.Build, models.Job, models.Upload,
    )  # fmt: skip

    def write() -> None:
        def work(session: Any) -> None:
            for model in order:
                if found := waiting.pop(model, None):
                    session.execute(sa.insert(model), found)

        database._write(work)

    for count, (model, values) in enumerate(_rows(number), 1):
        waiting.setdefault(model, []).append(values)
        if count % _BATCH == 0:
            write()
    write()
    # As is done once an hour.
    database.purge(_START - datetime.timedelta(days=1))
    _analyze(database)


def _analyze(database: db.Database) -> None:
    """As the servers do by themselves after a while."""
    name = database._engine.dialect.name
    with database._engine.connect() as connection:
        if name == 'mysql':
            for table in models.Base.metadata.tables:
                connection.exec_driver_sql(f'ANALYZE TABLE {table}').fetchall()
        elif name == 'postgresql':
            connection.exec_driver_sql('ANALYZE')
            connection.commit()


def measure(database: db.Database, names: Sequence[str]) -> dict[str, float]:
    """Median seconds of each call."""
    found = {}
    for name in names:
        times: list[float] = []
        while len(times) < _TIMES and sum(times) < _ENOUGH:
            begun = time.perf_counter()
            try:
                CALLS[name](database)
            except exception.DatabaseUnavailable:
                # Longer than a call may take.
                times = [math.inf]
                break
            times.append(time.perf_counter() - begun)
        found[name] = statistics.median(times)
    return found


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        '--builds',
        nargs='+',
        type=int,
        default=[1000, 100_000],
        metavar='N',
        help='builds that have ended (default: 1000 100000)',
    )
    add(
        '--database',
        nargs='+',
        choices=dispatch.DATABASES,
        default=list(dispatch.DATABASES),
    )
    add('--call', nargs='+', choices=CALLS, default=list(CALLS))
    add(
        '--readme',
        action='store_true',
        help='write the table into benchmarks/README.rst',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: exit code.
    """
    options = make_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results: dict[tuple[str, int], dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix='benchmark-') as directory:
        for name in options.database:
            for number in options.builds:
                place = pathlib.Path(directory, f'{name}-{number}')
                with dispatch.running(name, place) as url:
                    database = db.Database(
                        url, retries=transaction.Retries(seconds=5)
                    )
                    fill(database, number)
                    results[name, number] = measure(database, options.call)
                    database.close()
                print(f'{name}, {number}: measured', flush=True)
    text = _report(results, options.call)
    print(text)
    if options.readme:
        generated.write(ROOT / 'benchmarks' / 'README.rst', 'finished', text)
    return 0


def _report(
    results: Mapping[tuple[str, int], Mapping[str, float]],
    calls: Sequence[str],
) -> str:
    about = {**figures.machine(), 'load': f'{figures.load():.1f}'}
    titles = ['ms', *(f'{name} {number}' for name, number in results)]
    cells = [
        [call, *(f'{each[call] * 1000:.1f}' for each in results.values())]
        for call in calls
    ]
    return f'{figures.described(about)}\n\n{figures.table(titles, cells)}'


if __name__ == '__main__':
    sys.exit(main())
