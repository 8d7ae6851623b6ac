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
"""Rounds over a whole service: build, kill, restart, judge, delete."""

import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from tests.functional import conductors as kit
from tests.integration.kills import world

#: What a build is doing when something is killed. In those of uploads it has
#: two: one waits for the only place, runs, waits for its next attempt as the
#: destination refuses it, or has ended before the other.
MOMENTS = (
    'queued', 'claimed', 'repository put', 'upload queued', 'upload running',
    'upload waiting', 'one of two', 'finishing', 'deleting',
)  # fmt: skip
_OF_UPLOADS = (
    'upload queued', 'upload running', 'upload waiting', 'one of two',
)  # fmt: skip
VICTIMS = ('api', 'conductor', 'job', 'database', 'conductors and api', 'all')
#: There is no job then.
_WITHOUT_JOB = ('queued', 'upload waiting', 'deleting')
#: More than can run at once: the last ones wait.
_BUILDS = 4
_ENDED = ('active', 'error', 'cancelled')
#: Seconds.
_LONGEST = 120.0
_SETTLE = 20.0
#: With dead_after of 4: others have taken over.
_LATE = 6.0
_JOB = 2.0


@dataclasses.dataclass
class Round:
    """What came of one round.

    :ivar hit: something was killed at its moment.
    :ivar attempts: of the build that was aimed at.
    :ivar lost: builds that were accepted and have no image, or not in each
        of their destinations; files that are not registered.
    :ivar doubled: builds with two images in one destination, or two files of
        one format.
    :ivar leaked: what is there and nobody's.
    :ivar wrong: other things that are not as they should be.
    """

    moment: str
    victim: str
    hit: bool = False
    attempts: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    doubled: list[str] = dataclasses.field(default_factory=list)
    leaked: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.leaked or self.wrong)


def cells() -> list[tuple[str, str]]:
    """Every moment with every victim."""
    return [
        (moment, victim)
        for moment in MOMENTS
        for victim in VICTIMS
        if victim != 'job' or moment not in _WITHOUT_JOB
    ]


class Rounds:
    """Rounds over one service."""

    def __init__(self, service: world.World) -> None:
        self._world = service
        self._number = 0
        self._two = False

    def run(self, moment: str, victim: str, *, late: bool) -> Round:
        """Build, kill, restart, judge, delete.

        :param late: others have to take over before it is started again.
        """
        self._number += 1
        made = Round(moment, victim)
        self._two = moment in _OF_UPLOADS
        with contextlib.ExitStack() as stack:
            if moment == 'upload waiting':
                stack.enter_context(self._world.second_full())
            accepted = [self._create(made) for _ in range(_BUILDS)]
            ids = [each for each in accepted if each]
            # The last ones wait; the first ones are built at once.
            target = ids[-1] if moment in ('queued', 'deleting') else ids[0]
            if moment != 'deleting' and self._reached(moment, target):
                made.hit = self._kill(victim, target, late=late)
        if moment != 'deleting':
            self._judge(made, ids, target)
            self._delete(ids)
        else:
            self._judge(made, ids, target)
            threads = [
                threading.Thread(target=self._ask_to_delete, args=(each,))
                for each in ids
            ]
            for each in threads:
                each.start()
            time.sleep(random.uniform(0, 0.15))
            made.hit = self._kill(victim, target, late=late)
            for each in threads:
                each.join()
            self._delete(ids)
        self._judge_rest(made)
        return made

    # -- builds -------------------------------------------------------------

    def _create(self, made: Round) -> str:
        body = {
            'name': f'round-{self._number}',
            'os': 'fake-1',
            'driver_options': {'seconds': 0.3, 'size': 48},
            'disk_format': 'raw',
            'reuse': 'never',
        }
        if self._two:
            body['destinations'] = ['', world.SECOND]
        try:
            found: str = self._world.ask('POST', '/v1/builds', body)['id']
        except world.Refused as error:
            made.wrong.append(f'not accepted: {error}')
            return ''
        return found

    def _ask_to_delete(self, build_id: str) -> bool:
        try:
            self._world.ask('DELETE', f'/v1/builds/{build_id}')
        except world.Refused as error:
            return error.code == 404
        return True

    def _delete(self, ids: Iterable[str]) -> None:
        for each in ids:
            kit.wait_until(
                lambda each=each: self._ask_to_delete(each),
                _LONGEST,
                f'deletion of {each}',
            )

    def _build(self, build_id: str) -> db.Build:
        return self._world.database.get_build(build_id)

    # -- the moment ---------------------------------------------------------

    def _reached(self, moment: str, target: str) -> bool:
        """Wait for a moment; False when it has passed unseen."""
        is_so: dict[str, Callable[[], object]] = {
            'queued': lambda: self._build(target).status == 'queued',
            'claimed': lambda: self._build(target).status == 'building',
            'repository put': lambda: self._is_put(target),
            'upload queued': lambda: self._upload(target, 'queued'),
            'upload running': lambda: self._upload(target, 'running'),
            'upload waiting': lambda: self._upload(target, 'waiting'),
            'one of two': lambda: self._upload(target, 'done'),
            'finishing': lambda: self._is_stored(target),
        }
        reached = is_so[moment]
        deadline = time.monotonic() + _LONGEST
        while not reached():
            if time.monotonic() > deadline:
                return False
            if self._build(target).status in _ENDED:
                return False
            time.sleep(0.002)
        # Somewhere within it: its length is not known, and is short.
        time.sleep(random.choice((0, 0, 0.01, 0.05, 0.2)))
        return True

    def _upload(self, target: str, state: str) -> db.Job | None:
        """An upload of a build that is in some state."""
        for each in self._world.database.list_uploads(build_id=target):
            job = self._world.database.get_job(each.id)
            if job.state == state:
                return job
        return None

    def _is_put(self, target: str) -> bool:
        place = self._world.directory / 'repository'
        incoming = place / 'incoming'
        if incoming.is_dir() and any(incoming.iterdir()):
            return True
        return any(
            each['facts']['build_id'] == target
            for each in self._world.artifacts()
        )

    def _is_stored(self, target: str) -> bool:
        return any(
            each.get('imagebuild_build_id') == target
            for each in self._world.images()
        )

    # -- killing ------------------------------------------------------------

    def _kill(self, victim: str, target: str, *, late: bool) -> bool:
        """Kill, and start again; False when there was nothing to kill."""
        if victim == 'job':
            return self._kill_job(target)
        names = self._names(victim, target)
        for name in names:
            self._world.kill(name)
        if late and victim == 'conductor':
            time.sleep(_LATE)
        for name in sorted(names, key=lambda name: name != 'database'):
            self._world.restart(name)
        self._world.until_up()
        return True

    def _kill_job(self, target: str) -> bool:
        deadline = time.monotonic() + _JOB
        while not (found := self._jobs(target)):
            # Between two jobs of a build there is none for a moment.
            if time.monotonic() > deadline:
                return False
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def _jobs(self, target: str) -> list[int]:
        """The processes of a build and of its uploads."""
        uploads = self._world.database.list_uploads(build_id=target)
        ids = [target, *(each.id for each in uploads)]
        return [pid for id in ids for pid in self._world.jobs(id)]

    def _names(self, victim: str, target: str) -> list[str]:
        everyone = self._world.conductors
        if victim == 'conductor':
            holder = None
            with contextlib.suppress(exception.NotFound):
                upload = self._upload(target, 'running')
                holder = (upload or self._build(target)).conductor
            return [holder or random.choice(everyone)]
        if victim == 'conductors and api':
            return ['api', *everyone]
        if victim == 'all':
            return ['api', *everyone, 'database']
        return [victim]

    # -- judging ------------------------------------------------------------

    def _judge(self, made: Round, ids: Iterable[str], target: str) -> None:
        """All that were accepted have one image each."""
        for each in ids:
            try:
                build = kit.wait_for(
                    self._world.database, each, *_ENDED, seconds=_LONGEST
                )
            except AssertionError as error:
                made.lost.append(f'{each}: {error}')
                continue
            if build.status != 'active':
                made.lost.append(
                    f'{each}: {build.status} {build.status_reason}'
                )
            if each == target:
                made.attempts = build.attempt
        self._judge_images(made, ids, self._world.images(), 'the store')
        self._judge_images(
            made,
            ids if self._two else (),
            self._world.second_images(),
            'the second destination',
        )
        self._judge_files(made)

    def _judge_images(
        self,
        made: Round,
        ids: Iterable[str],
        images: Iterable[Mapping[str, Any]],
        where: str,
    ) -> None:
        stored = [each['imagebuild_build_id'] for each in images]
        made.doubled += [
            f'{each} has {stored.count(each)} images in {where}'
            for each in sorted(set(stored))
            if stored.count(each) > 1
        ]
        made.lost += [
            f'{each} has no image in {where}'
            for each in ids
            if each not in stored
        ]

    def _judge_files(self, made: Round) -> None:
        """No build has two files, and all are registered."""

        def look() -> tuple[list[str], list[str]]:
            files = [
                (each['facts']['build_id'], each['facts']['disk_format'])
                for each in self._world.artifacts()
            ]
            doubled = [
                f'{each} has {files.count(each)} files'
                for each in sorted(set(files))
                if files.count(each) > 1
            ]
            return doubled, [
                f'{each} is not registered'
                for each in self._world.unregistered()
            ]

        # Who was started again looks through the repository meanwhile.
        deadline = time.monotonic() + _SETTLE
        while any(found := look()) and time.monotonic() < deadline:
            time.sleep(0.2)
        made.doubled += found[0]
        made.lost += found[1]

    def _judge_rest(self, made: Round) -> None:
        """Nothing is there of builds that were deleted."""

        def look() -> list[str]:
            images = [
                each['id']
                for each in (
                    *self._world.images(),
                    *self._world.second_images(),
                )
            ]
            return [
                *(f'image {each}' for each in images),
                *self._world.left(),
            ]

        deadline = time.monotonic() + _SETTLE
        while (found := look()) and time.monotonic() < deadline:
            time.sleep(0.2)
        made.leaked += found


def unexpected(directory: pathlib.Path) -> list[str]:
    """Tracebacks in the logs, by the last line of each."""
    found = []
    for path in sorted(directory.glob('*.log')):
        lines = path.read_text(errors='replace').splitlines()
        for number, line in enumerate(lines):
            before, is_one, _ = line.partition('Traceback (most recent')
            if is_one:
                last = _last_of(lines[number + 1 :], before)
                found.append(f'{path.name}: {last[:150]}')
    return found


def _last_of(lines: Iterable[str], before: str) -> str:
    """The message of an exception: the first line that is not indented."""
    for line in lines:
        text = line[len(before) :] if line.startswith(before) else line
        if text and not text.startswith(' '):
            return text
    return ''


def table(rounds: Iterable[Round]) -> str:
    """A line for each moment and victim, and a sum."""
    found = [each for each in rounds if each.hit]
    lines = [
        f'{"moment":15} {"killed":19} {"rounds":>6} {"lost":>5} '
        f'{"doubled":>7} {"leaked":>6} {"wrong":>5}  attempts'
    ]
    for moment, victim in [*cells(), ('all', '')]:
        chosen = [
            each
            for each in found
            if moment == 'all'
            or (each.moment, each.victim) == (moment, victim)
        ]
        if not chosen:
            continue
        numbers = sorted({each.attempts for each in chosen if each.attempts})
        lines.append(
            f'{moment:15} {victim:19} {len(chosen):6} '
            f'{sum(len(each.lost) for each in chosen):5} '
            f'{sum(len(each.doubled) for each in chosen):7} '
            f'{sum(len(each.leaked) for each in chosen):6} '
            f'{sum(len(each.wrong) for each in chosen):5}  '
            f'{", ".join(map(str, numbers))}'
        )
    return '\n'.join(lines)
