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
"""Many conductors in one process: real schedulers, builds that do nothing.

What a conductor does between a cast and a claim is the product's own
(``conductor.scheduler``), and so is the end of a build in the database. In
between there is nothing: no workspace, no job, no upload.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import queue
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from imagebuild import conf as imagebuild_conf
from imagebuild import db
from imagebuild import exception
from imagebuild.common import placement
from imagebuild.conductor import conductor_context
from imagebuild.conductor import retry_policy
from imagebuild.conductor import scheduler

_IMAGE = {
    'image_id': 'image',
    'disk_format': 'qcow2',
    'container_format': 'bare',
    'size': 4096,
    'os_hash_algo': 'sha512',
    'os_hash_value': '0' * 128,
}
_ENDERS = 4
#: Threads that claim have this in their names; see PeriodicTask.
_CLAIMER = 'scheduler'


@dataclasses.dataclass
class Counts:
    """What one process has counted.

    :ivar claiming: database statements of schedulers.
    :ivar ending: database statements of builds that end.
    :ivar taken: builds that were claimed.
    :ivar lost: claims that another conductor won.
    :ivar failures: calls that the database refused for long.
    :ivar idle: seconds between the end of a build and the next claim in its
        slot, while there was a queue.
    """

    claiming: int = 0
    ending: int = 0
    taken: int = 0
    lost: int = 0
    failures: int = 0
    idle: list[float] = dataclasses.field(default_factory=list)


class Counted(db.Database):
    """A database that counts its statements, and claims that were lost."""

    def __init__(self, connection: str) -> None:
        super().__init__(connection)
        self.counts = Counts()
        self._lock = threading.Lock()
        sa.event.listen(self._engine, 'before_cursor_execute', self._count)

    def _count(self, *_of_the_event: Any) -> None:
        with self._lock:
            if _CLAIMER in threading.current_thread().name:
                self.counts.claiming += 1
            else:
                self.counts.ending += 1

    def claim(self, *args: Any, **kwargs: Any) -> db.Job | None:  # type: ignore[override]
        """See :meth:`db.Database.claim`."""
        found: db.Job | None = super().claim(*args, **kwargs)  # type: ignore[misc]
        with self._lock:
            self.counts.lost += found is None
            self.counts.taken += found is not None
        return found


class _Build:
    def __init__(self, job: db.Job) -> None:
        self.job = job
        self.build_id = job.build_id
        self.driver = 'fake'

    def stop(self, reason: Any) -> None: ...

    def join(self, seconds: float) -> bool:
        return True


class FakeConductor:
    """A scheduler whose builds end after some time.

    :param ended: where its builds go to be ended.
    """

    def __init__(
        self, name: str, crowd: Crowd, slots: int, ended: queue.Queue[Any]
    ) -> None:
        self._crowd = crowd
        self._ended = ended
        self._freed: collections.deque[float] = collections.deque()
        self._running = scheduler.RunningJobs()
        self.name = name
        self.capability = capability = placement.Capability(
            name=name,
            drivers=('fake',),
            architectures=('x86_64',),
            slots=slots,
        )
        self._scheduler = scheduler.Scheduler(
            crowd.context(name),
            get_capability=lambda: capability,
            running={
                **{kind: scheduler.RunningJobs() for kind in scheduler.KINDS},
                'build': self._running,
            },
            begin=self._begin,
        )
        self.start = self._scheduler.start
        self.wake = self._scheduler.wake
        self.call = self._scheduler.call
        self.stop = self._scheduler.stop

    def _begin(self, job: db.Job) -> None:
        if self._freed:
            self._crowd.database.counts.idle.append(
                time.monotonic() - self._freed.popleft()
            )
        build = _Build(job)
        self._running.add(job.id, build)
        self._ended.put((time.monotonic() + self._crowd.seconds, self, build))

    def end(self, build: _Build) -> None:
        """End a build that has run for its time."""
        job = build.job
        while True:
            try:
                self._crowd.database.finish_build(
                    job.id,
                    db.Outcome('active', image=_IMAGE),
                    conductor=job.conductor or '',
                    attempt=job.attempt,
                )
                break
            except exception.DatabaseUnavailable:
                self._crowd.database.counts.failures += 1
        self._freed.append(time.monotonic())
        self._running.remove(job.id, build)
        self.wake()


class Crowd:
    """The conductors of one process.

    :param directory: of the benchmark.
    :param seconds: how long each build runs.
    """

    def __init__(
        self,
        connection: str,
        directory: pathlib.Path,
        names: Sequence[str],
        slots: int,
        seconds: float,
    ) -> None:
        self.database = Counted(connection)
        self.seconds = seconds
        self._directory = directory
        self._conf = cfg.ConfigOpts()
        imagebuild_conf.register(self._conf)
        self._conf([], project='imagebuild', default_config_files=[])
        self._ended: queue.Queue[Any] = queue.Queue()
        self._conductors = [
            FakeConductor(name, self, slots, self._ended) for name in names
        ]

    def context(self, name: str) -> Any:
        """What the conductor of a name works with."""
        never: Any = None
        return conductor_context.ConductorContext(
            conf=self._conf,
            name=name,
            database=self.database,
            retry=retry_policy.RetryPolicy(threading.Event()),
            notifier=never,
            open_store=never,
            job_command=(),
            job_config=never,
            work_dir=self._directory,
            repository=never,
        )

    def start(self) -> None:
        """Register, and begin to claim."""
        for each in self._conductors:
            self.database.register_conductor(each.capability.to_dict())
        for _ in range(_ENDERS):
            threading.Thread(target=self._end_all, daemon=True).start()
        for each in self._conductors:
            each.start()

    def _end_all(self) -> None:
        while True:
            due, conductor, build = self._ended.get()
            time.sleep(max(0.0, due - time.monotonic()))
            conductor.end(build)

    def call(self, id: str, names: Sequence[str]) -> None:
        """A cast, for all of them when there are no names."""
        for each in self._conductors:
            if not names:
                each.call(id, None)
            elif each.name in names:
                each.call(id, names.index(each.name))

    def reset(self) -> Counts:
        """What was counted since the last call."""
        counts, self.database.counts = self.database.counts, Counts()
        return counts


def _failed(args: threading.ExceptHookArgs) -> None:
    """End the process: without one of its threads it would never finish."""
    threading.__excepthook__(args)
    os._exit(1)


def main(
    pipe: Connection,
    connection: str,
    directory: str,
    names: Sequence[str],
    slots: int,
    seconds: float,
) -> None:
    """The child: does what the parent asks for, until that goes away.

    Asked for ``start`` or ``counts`` (is answered), or given a build and the
    names of conductors to cast to.
    """
    threading.excepthook = _failed
    crowd = Crowd(connection, pathlib.Path(directory), names, slots, seconds)
    pipe.send('ready')
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if asked == 'start':
            crowd.start()
        elif isinstance(asked, tuple):
            crowd.call(*asked)
        else:
            pipe.send(crowd.reset())
