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
"""A conductor with real jobs over SQLite, killed."""

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import time

import yaml

from imagebuild import db
from imagebuild.common import checksums
from tests.functional import conductors
from tests.integration.kills import guest
from tests.integration.kills import listener
from tests.integration.kills import result
from tests.integration.kills import traces

_ALL = (
    'job', 'conductor', 'watch', 'supervisor', 'job, watch, supervisor',
    'storage daemon', 'its keeper', 'nbdfuse', "nbdfuse's keeper",
    'slirp4netns',
)  # fmt: skip
#: Phase -> what can be killed in it, and how long it takes.
PHASES: dict[str, tuple[tuple[str, ...], float]] = {
    # Whether this host has a sandbox.
    'trial': (('job', 'conductor', 'job, watch, supervisor'), 0.5),
    'base image': (('job', 'conductor'), 0.1),
    'opening': (_ALL, 0.4),
    **dict.fromkeys(
        ('mounting', 'mounted', 'layer', 'storing', 'closing'), (_ALL, 0.1)
    ),
    # Its disk becomes larger.
    'growing': (('job', 'supervisor', 'storage daemon', 'nbdfuse'), 0.2),
    'step': ((*_ALL, 'command'), 0.3),
    'unmounted': (
        ('job', 'conductor', 'storage daemon', 'its keeper', 'nbdfuse',
         "nbdfuse's keeper"),
        0.05,
    ),
    'converting': (('job', 'conductor', 'qemu-img'), 0.1),
    'uploading': (('job', 'conductor'), 0.1),
    'placing': (('job', 'conductor'), 0.05),
}  # fmt: skip
_ROOT = pathlib.Path(__file__).parents[3]
#: Whose end ends the attempt, by the user's fault.
_USERS = ('command',)


class BuildRounds:
    """Builds of one conductor, which is started again when it was killed.

    :param directory: its ``state_path``.
    """

    form = 'conductor'
    #: Those that are offered.
    drivers = 'guestfs'
    #: Seconds until a build must have ended.
    longest = 400

    def __init__(self, directory: pathlib.Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._socket = directory / 'hooks'
        self._database = conductors.make_database(directory)
        self._conf = conductors.write_conf(
            directory,
            'c1',
            drivers=self.drivers,
            max_attempts=3,
            max_builds=1,
        )
        sections = self._prepared()
        with self._conf.open('a') as conf:
            conf.write(
                '[guestfs]\nisolation = sandbox\n'
                '[layers]\nenabled = true\nmin_seconds = 0\nmax_size = 1\n'
                f'[file_store]\nfolder = {directory}/images\n{sections}'
            )
        self._starts = itertools.count(1)
        self._conductor: subprocess.Popen[bytes] | None = None
        self._begin()

    def _prepared(self) -> str:
        """Make what builds start from.

        :returns: more sections of the configuration.
        """
        self._base = guest.make(self._directory / 'base.img')
        digest = checksums.compute(self._base, ['sha256'])['sha256']
        self._identity = f'sha256:{digest}'
        return ''

    def _begin(self) -> None:
        """Start the conductor; returns when it is up."""
        log = self._directory / f'conductor-{next(self._starts)}.log'
        with log.open('wb') as stream:
            self._conductor = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-m']
                + ['tests.integration.kills.conductor', str(self._socket)]
                + ['--config-file', str(self._conf)],
                cwd=_ROOT,
                stdout=stream,
                stderr=stream,
                env={**os.environ, 'TMPDIR': str(self._temporary())},
            )
        self._log = log
        conductors.wait_until(
            lambda: b'is up' in log.read_bytes(), 180, what=str(log)
        )

    def _temporary(self) -> pathlib.Path:
        made = self._directory / 'tmp'
        made.mkdir(exist_ok=True)
        return made

    def close(self) -> None:
        """End the conductor."""
        if self._conductor is not None:
            self._conductor.kill()
            self._conductor.wait()

    def run(self, aim: listener.Aim, number: int) -> result.Round:
        """Build, kill, wait until the image is there."""
        assert self._conductor is not None
        made = result.Round(self.form, aim.phase, aim.victim)
        pid = self._conductor.pid
        with listener.Listener(self._socket, aim, pid) as heard:
            build_id = self._queue(aim.phase, number)
            self._wait(build_id, heard)
        made.hit = bool(heard.known)
        made.reason = self._build(build_id).status_reason
        if made.hit:
            if 'conductor' in aim.victim:
                self._conductor.wait()
                self._begin()
            self._judge(made, self._ended(made, build_id), number)
            made.faults += self._left(heard)
        else:
            self._ended(made, build_id)
        self._forget(build_id)
        return made

    def _queue(self, phase: str, number: int) -> str:
        text = guest.manifest(number, 0.4 if phase == 'step' else 0.0)
        size = {'size': 1} if phase == 'growing' else {}
        return conductors.add_build(
            self._database,
            driver='guestfs',
            tags=[],
            timeout=self.longest,
            request={
                'name': 'an image',
                'os': 'debian-12',
                'driver': 'guestfs',
                'driver_options': size,
                'disk_format': 'raw',
                'container_format': 'bare',
                'manifest': yaml.safe_load(text),
            },
            base={
                'driver': 'guestfs',
                'kind': 'path',
                'os': 'debian-12',
                'disk_format': 'raw',
                'location': str(self._base),
                'identity': self._identity,
                'driver_options': size,
            },
        )

    def _wait(self, build_id: str, heard: listener.Listener) -> None:
        """Wait until something was killed or the build has ended."""
        end = time.monotonic() + self.longest
        while not heard.hit.wait(0.1) and time.monotonic() < end:
            if self._build(build_id).status in ('active', 'error'):
                return

    def _build(self, build_id: str) -> db.Build:
        return self._database.get_build(build_id)

    def _ended(self, made: result.Round, build_id: str) -> db.Build:
        end = time.monotonic() + self.longest
        build = self._build(build_id)
        while build.status not in ('active', 'error'):
            if time.monotonic() > end:
                made.faults.append(f'still {build.status}')
                break
            time.sleep(0.05)
            build = self._build(build_id)
        return build

    def _judge(self, made: result.Round, build: db.Build, number: int) -> None:
        made.ended, made.attempts = build.status, build.attempt
        text = self._database.read_log(build.id)[0]
        lines = [line for line in text.splitlines() if 'attempt' in line]
        made.reason = build.status_reason or (lines or [''])[-1]
        wanted = 'error' if made.victim in _USERS else 'active'
        if build.status != wanted:
            made.faults.append(
                f'{build.status} by {build.fault}: {build.status_reason}'
            )
        if 'Traceback' in text or 'Unexpected' in text:
            made.faults.append(f'in the log: {text[-500:]}')
        if build.attempt > 2:
            made.faults.append(f'{build.attempt} attempts')
        self._judge_image(made, build, number)

    def _judge_image(
        self, made: result.Round, build: db.Build, number: int
    ) -> None:
        wanted = [build.image_id] if build.status == 'active' else []
        # A build's row is written before its files are removed.
        found = [each['id'] for each in conductors.images_in(self._directory)]
        if found != wanted:
            made.faults.append(f'images: {found}, not {wanted}')
        if build.status == 'active':
            image = self._directory / 'images' / str(build.image_id) / 'image'
            wrong = self._wrong(image, number)
            made.kept = not wrong
            if wrong:
                made.faults.append(f'the image: {wrong}')

    def _wrong(self, image: pathlib.Path, number: int) -> str:
        """What is wrong with the image of a round; '' for nothing."""
        return guest.problem(image, number)

    def _left(self, heard: listener.Listener) -> list[str]:
        assert self._conductor is not None
        end = time.monotonic() + 90
        while conductors.workspaces_in(self._directory):
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        images = {each['id'] for each in conductors.images_in(self._directory)}
        return [
            *traces.left(
                self._directory,
                heard.known,
                allowed=[self._conductor.pid],
                networks=heard.networks,
            ),
            *traces.unfinished(self._directory / 'base-images'),
            *traces.files(self._directory / 'work', ['.c1.lock']),
            *traces.files(self._directory / 'tmp', ()),
            *traces.files(self._directory / 'images', images),
            *traces.half_layers(self._directory / 'layers'),
            *traces.sync_hangs(),
        ]

    def _forget(self, build_id: str) -> None:
        """Remove the image of a build; the next one counts from one again."""
        store = conductors.store(self._directory)
        for each in conductors.images_in(self._directory):
            with contextlib.suppress(Exception):
                store.delete(each['id'])
