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
"""Kill what makes images of servers, stage by stage, on a real Nova.

    python -m tests.cloud.nova_kills [--state DIR] [--rounds N]

As root. A round asks the API of a cloud (tools/cloud, which is started if it
does not run) for an image by the driver ``snapshot``, kills the conductor,
alone or with its job, at the begin of a stage or within it, starts it again,
and waits for the image. Then there must be that image, one, and nothing else
of the build in Nova or Glance, on this host, or after it is deleted.

The servers are guests of qemu with one sector, which says nothing that is
heard: see :mod:`tests.cloud.nova_hooks`.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from imagebuild import artifacts
from imagebuild.drivers import boot_sector
from tests.cloud import nova_hooks
from tests.cloud import people
from tests.integration.kills import listener
from tests.integration.kills import result
from tests.integration.kills import traces
from tools.cloud import cloud_state
from tools.cloud import clouds
from tools.cloud import ini
from tools.cloud import venv

#: At its begin there is nothing yet.
_ASKING = 'asking for a server'
#: Stage -> seconds that it takes.
STAGES = {
    'look for flavor and image': 0.0,
    _ASKING: 0.6,
    'server asked for': 3.0,
    'server active': 0.0,
    'console': 0.0,
    'stop the server': 0.0,
    'stopping': 1.0,
    'stopped': 0.0,
    'image asked for': 2.0,
    'image made': 0.0,
    'delete the server': 0.5,
    'server deleted': 0.0,
    'adopting': 0.0,
    'changing': 0.2,
    'adopted': 0.0,
}
VICTIMS = ('conductor', 'conductor, job')
_NAME = 'killed'
_WITHIN = 600.0
_MANIFEST = {'validators': [{'script': {'greet': {'inline': 'echo hello'}}}]}


@dataclasses.dataclass
class Rounds:
    """Builds of one conductor, which is started again when it was killed.

    :param cloud: has real servers; no other conductor of it offers the
        driver.
    :param directory: for its files.
    """

    cloud: clouds.Cloud
    directory: pathlib.Path

    def __post_init__(self) -> None:
        self._ours = people.client(self.cloud)
        self._nova = people.nova(self.cloud)
        self._glance = people.glance(self.cloud)
        self._socket = self.directory / 'hooks'
        self._work = self.directory / 'work'
        self._conf = self.directory / f'{_NAME}.conf'
        sections: ini.Sections = {
            'conductor': {
                'name': _NAME,
                'work_dir': self._work,
                'drivers': 'snapshot',
                'max_builds': 1,
                'max_attempts': 3,
                'retry_delay': 0,
                'sweep_interval': 1,
                'leak_grace': 20,
                'heartbeat_interval': 1,
            },
            'snapshot': {'flavor': 'm1.tiny', 'poll_interval': 0.5},
        }
        ini.write(self._conf, ini.text(sections))
        self._base = self._base_image()
        self._process: subprocess.Popen[bytes] | None = None
        self._begin()

    def _base_image(self) -> str:
        made = self._glance.images.create(
            name='one sector',
            disk_format='qcow2',
            container_format='bare',
            visibility='community',
            # It hears nothing: Nova would wait for a minute.
            os_shutdown_timeout='1',
        )
        raw, image = self.directory / 'raw', self.directory / 'image'
        sector = boot_sector.content('nobody listens\r\n')
        raw.write_bytes(sector.ljust(1024**2, b'\0'))
        # As raw ones Glance refuses disks without partitions.
        command = ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2']
        subprocess.run([*command, str(raw), str(image)], check=True)
        with image.open('rb') as stream:
            self._glance.images.upload(made['id'], stream)
        return str(made['id'])

    def _begin(self) -> None:
        """Start the conductor; returns when it is up."""
        log = self.directory / 'conductor.log'
        before = log.stat().st_size if log.exists() else 0
        shared = self.cloud.service('imagebuild-conductor-1').config_file
        with log.open('ab') as stream:
            self._process = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-m', nova_hooks.__name__]
                + [str(self._socket), 'conductor']
                + [f'--config-file={file}' for file in (shared, self._conf)],
                cwd=venv.ROOT,
                env={**os.environ, 'PYTHONPATH': str(venv.ROOT)},
                stdout=stream,
                stderr=stream,
            )
        end = time.monotonic() + 120
        while b'is up' not in log.read_bytes()[before:]:
            assert time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.1)

    def close(self) -> None:
        """End the conductor, and remove the image that servers had."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
            self._process.kill()
            self._process.wait()
        self._glance.images.delete(self._base)

    def run(self, aim: listener.Aim) -> result.Round:
        """Build, kill, wait until the image is there."""
        assert self._process is not None
        made = result.Round('nova', aim.phase, aim.victim)
        before = {image['id'] for image in self._glance.images.list()}
        pid = self._process.pid
        with listener.Listener(self._socket, aim, pid) as heard:
            build = self._ours.builds.create(
                name='killed',
                driver='snapshot',
                base_image=self._base,
                manifest=_MANIFEST,
                reuse='never',
            )
            end = time.monotonic() + _WITHIN
            while not heard.hit.wait(0.2) and time.monotonic() < end:
                if people.ended(self._ours.builds.get(build.id)):
                    break
        made.hit = bool(heard.known)
        if made.hit and 'conductor' in aim.victim:
            self._process.wait()
            self._begin()
        build = people.wait(self._ours, build.id, seconds=_WITHIN)
        self._judge(made, build, before)
        made.faults += traces.left(
            self._work, heard.known, allowed=[self._process.pid]
        )
        self._ours.builds.delete(build.id)
        self._until(made, lambda: self._strays(before), 'after it is deleted')
        return made

    def _judge(self, made: result.Round, build: Any, before: set[str]) -> None:
        made.ended, made.attempts = build.status, build.attempt
        text = self._ours.builds.log(build.id).text
        lines = [line for line in text.splitlines() if 'attempt' in line]
        made.reason = build.status_reason or (lines or [''])[-1]
        if build.status != 'active' or build.attempt > 2:
            made.faults.append(f'{build.status} after {build.attempt}')
        if 'Traceback' in text or 'Unexpected' in text:
            made.faults.append(f'in the log: {text[-500:]}')
        wanted = {build.image_id} if build.image_id else set()
        self._until(made, lambda: self._strays(before | wanted), 'beside it')
        if build.status == 'active':
            image = self._glance.images.get(build.image_id)
            good = image['status'] == 'active' and image['size']
            made.kept = bool(good) and artifacts.ATTEMPT not in image
            if not made.kept:
                made.faults.append(f'the image: {dict(image)}')

    def _strays(self, known: set[str]) -> list[str]:
        """What is in the cloud or the work directory, and should not be."""
        return [
            *(
                f'server {each["name"]} ({each["status"]})'
                for each in self._nova.servers('imagebuild-')
            ),
            *(
                f'image {each["name"]} ({each["status"]})'
                for each in self._glance.images.list()
                if each['id'] not in known
            ),
            *traces.files(self._work, [f'.{_NAME}.lock']),
        ]

    def _until(self, made: result.Round, look: Any, when: str) -> None:
        """Wait until there is nothing, twice in a row."""
        end = time.monotonic() + 300
        quiet = 0
        while quiet < 2:
            found = look()
            quiet = 0 if found else quiet + 1
            if found and time.monotonic() > end:
                made.faults += [f'{when}: {each}' for each in found]
                return
            time.sleep(1)


@contextlib.contextmanager
def rounds_of(cloud: clouds.Cloud) -> Iterator[Rounds]:
    """Rounds, within the block."""
    with tempfile.TemporaryDirectory(dir='/var/tmp') as name:  # noqa: S108
        made = Rounds(cloud, pathlib.Path(name))
        try:
            yield made
        finally:
            made.close()


def aims(stages: list[str], rounds: int) -> list[listener.Aim]:
    """Every stage with whoever is killed.

    At its begin in even rounds, within it in odd ones.
    """
    return [
        listener.Aim(
            stage, victim, seconds if turn % 2 or stage == _ASKING else 0.0
        )
        for turn in range(rounds)
        for stage, seconds in STAGES.items()
        for victim in VICTIMS
        if not stages or stage in stages
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--state',
        type=pathlib.Path,
        default=cloud_state.default_directory(),
        help='directory of the cloud (default: %(default)s)',
    )
    parser.add_argument('--stage', action='append', default=[])
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    cloud = clouds.Cloud(options.state, level='nova', virt='libvirt')
    cloud.up(host_is_ready=True)
    done: list[result.Round] = []
    with rounds_of(cloud) as rounds:
        try:
            for aim in aims(options.stage, options.rounds):
                each = rounds.run(aim)
                done.append(each)
                print(each.told(), flush=True)
        finally:
            print(result.table(done), flush=True)
    return int(any(each.faults for each in done))


if __name__ == '__main__':
    sys.exit(main())
