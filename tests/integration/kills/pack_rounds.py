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
"""imagebuild-pack on a user's file, killed."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping

from tests.integration.kills import guest
from tests.integration.kills import hooks
from tests.integration.kills import listener
from tests.integration.kills import result
from tests.integration.kills import traces
from tests.integration.kills import victims

_PACK = 'import sys; from imagebuild.cmd import pack; sys.exit(pack.main())'
_STAGES = ('committing', 'copied', 'merged', 'on the disk', 'renamed', 'done')
#: Phase -> what can be killed in it, and how long it takes.
PHASES: dict[str, tuple[tuple[str, ...], float]] = {
    # Whether this host has a sandbox.
    'trial': (('job', 'job, watch, supervisor'), 0.5),
    'base image': (('job',), 0.2),
    'opening': (
        ('job', 'watch', 'supervisor', 'job, watch, supervisor',
         'storage daemon', 'its keeper', 'nbdfuse', "nbdfuse's keeper",
         'slirp4netns'),
        0.4,
    ),
    **dict.fromkeys(
        ('mounting', 'mounted', 'layer', 'storing', 'closing'),
        (
            ('job', 'watch', 'supervisor', 'job, watch, supervisor',
             'storage daemon', 'its keeper', 'nbdfuse', "nbdfuse's keeper",
             'slirp4netns'),
            0.1,
        ),
    ),
    'step': (
        ('job', 'watch', 'supervisor', 'job, watch, supervisor',
         'storage daemon', 'its keeper', 'nbdfuse', "nbdfuse's keeper",
         'slirp4netns', 'command'),
        0.3,
    ),
    'unmounted': (
        ('job', 'storage daemon', 'its keeper', 'nbdfuse',
         "nbdfuse's keeper"),
        0.05,
    ),
    **dict.fromkeys(_STAGES, (('job',), 0.05)),
    'copied': (('job', 'qemu-img'), 0.05),
}  # fmt: skip
#: The same for an appliance, which starts slowly.
APPLIANCE: dict[str, tuple[tuple[str, ...], float]] = {
    'opening': (('job', 'storage daemon', 'qemu', 'slirp4netns'), 5.0),
    'mounted': (('job', 'storage daemon', 'its keeper', 'qemu'), 0.5),
    'step': (('job', 'storage daemon', 'qemu', 'slirp4netns'), 0.5),
    'layer': (('job', 'storage daemon', 'qemu'), 0.3),
    'closing': (('job', 'storage daemon', 'qemu'), 0.3),
}
#: The environment's fault, and no other.
_ENVIRONMENT = 3
_LONGEST = 300


class PackRounds:
    """Packs copies of one image, with layers in one directory.

    :param directory: for everything.
    """

    def __init__(
        self, directory: pathlib.Path, *, isolation: str = 'sandbox'
    ) -> None:
        self._form = 'pack' if isolation == 'sandbox' else isolation
        self._isolation = isolation
        self._directory = directory
        directory.mkdir()
        for name in ('images', 'tmp'):
            (directory / name).mkdir()
        self._base = guest.make(directory / 'base.img')
        self._image = directory / 'images' / 'disk.img'
        self._store = directory / 'layers'
        self._conf = directory / 'pack.conf'
        self._conf.write_text('[layers]\nmin_seconds = 0\n')

    def run(
        self, aim: listener.Aim, number: int, *, again: bool = True
    ) -> result.Round:
        """Pack, kill, pack again, and look what is left.

        :param number: of the round, no two have the same.
        :param again: False: the next round is the next start.
        """
        made = result.Round(self._form, aim.phase, aim.victim)
        shutil.copyfile(self._base, self._image)
        seconds = 0.4 if aim.phase == 'step' else 0.0
        manifest = self._directory / 'manifest.yaml'
        manifest.write_text(guest.manifest(number, seconds))
        before = _digest(self._image)
        socket = self._directory / 'hooks'
        with listener.Listener(socket, aim) as heard:
            how = [hooks.__file__, str(socket), 'pack']
            done = self._start(how, self._isolation)
        made.hit = bool(heard.known)
        if not made.hit:
            made.reason = _last(done.stderr)
            return made
        self._judge(made, done, number, before)
        if again:
            made.faults += self.finish(number, heard.known)
        else:
            made.faults += traces.running(self._directory, heard.known)
        return made

    def finish(
        self, number: int, known: Mapping[int, int] | None = None
    ) -> list[str]:
        """The next start; nothing may be left after it.

        What was killed in an appliance is cleaned up by whichever comes
        next: in most rounds by a sandbox, which is faster.

        :param known: processes that may not be there any more.
        :returns: what is not as it should be.
        """
        faults = []
        isolation = self._isolation if number % 5 == 0 else 'sandbox'
        done = self._start(['-c', _PACK], isolation)
        if done.returncode or 'Traceback' in done.stderr:
            faults.append(
                f'the next start: {done.returncode} {done.stderr[-500:]}'
            )
        wrong = guest.problem(self._image, number)
        if wrong:
            faults.append(f'after the next start: {wrong}')
        return faults + self._left(known or {})

    def close(self) -> None:
        """Nothing of it runs between rounds."""

    def _start(
        self, how: list[str], isolation: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *how]
            + ['--image', str(self._image)]
            + ['--manifest', str(self._directory / 'manifest.yaml')]
            + ['--config-file', str(self._conf)]
            + ['--cache', str(self._store)]
            + ['--isolation', isolation],
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            env={**os.environ, 'TMPDIR': str(self._directory / 'tmp')},
        )

    def _judge(
        self,
        made: result.Round,
        done: subprocess.CompletedProcess[str],
        number: int,
        before: str,
    ) -> None:
        code = done.returncode
        made.ended = {0: 'packed', -9: 'killed'}.get(code, f'exit {code}')
        made.reason = _last(done.stderr)
        changed = _digest(self._image) != before
        wrong = guest.problem(self._image, number) if changed else ''
        made.kept = not wrong
        if wrong:
            made.faults.append(f'the file: {wrong}')
        if not code and not changed:
            made.faults.append('it says packed, and the file is as before')
        if code > 0 and changed:
            made.faults.append(f'exit {code}, and the file has changed')
        if 'Traceback' in done.stderr:
            made.faults.append(f'a traceback: {done.stderr[-600:]}')
        wanted = {0, _ENVIRONMENT}
        if 'job' in victims.VICTIMS[made.victim]:
            # Nothing is left to be done then: it may be faster.
            wanted = {-9, 0} if made.phase == 'done' else {-9}
        elif made.victim == 'command':
            wanted = {1}
        if code not in wanted:
            made.faults.append(f'exit {code}: {made.reason}')

    def _left(self, known: Mapping[int, int]) -> list[str]:
        return [
            *traces.left(self._directory, known),
            *traces.files(self._image.parent, ['disk.img']),
            *traces.files(self._directory / 'tmp', ['.guestfs-0']),
            *traces.half_layers(self._store),
            *traces.sync_hangs(),
        ]


def _digest(path: pathlib.Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _last(text: str) -> str:
    return (text.strip().splitlines() or [''])[-1]
