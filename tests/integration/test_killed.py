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
"""What builds is killed, and nothing of it stays: the short form.

Each phase and each victim once, of installations two;
tests/integration/kills is the program that does it as often as is wanted.
Root; 60 s in all.
"""

import itertools
import pathlib
import subprocess

import pytest

from tests.integration.kills import build_rounds
from tests.integration.kills import installer_rounds
from tests.integration.kills import listener
from tests.integration.kills import pack_rounds
from tests.integration.kills import victims

pytestmark = pytest.mark.timeout(1800)

#: Phase, victim, seconds within the phase.
PACKS = [
    ('trial', 'job', 0.0),
    ('opening', 'its keeper', 0.2),
    ('mounting', 'storage daemon', 0.0),
    ('mounted', 'slirp4netns', 0.0),
    ('step', 'nbdfuse', 0.0),
    ('step', 'command', 0.0),
    ('layer', "nbdfuse's keeper", 0.0),
    ('storing', 'job', 0.0),
    ('closing', 'job, watch, supervisor', 0.0),
    ('unmounted', 'storage daemon', 0.0),
    ('copied', 'qemu-img', 0.001),
]
#: And how many attempts the build takes then.
BUILDS = [
    (('step', 'storage daemon', 0.0), 2),
    (('closing', 'job', 0.0), 2),
    # In its upload: what is built is not built again.
    (('placing', 'conductor', 0.0), 1),
]
#: Of a build whose base image is installed.
INSTALLATIONS = [
    ('install the base system', 'conductor', 0.0),
    ('write the qcow2 file', 'conductor, job', 0.0),
]


def test_who_is_killed_after_the_job_has_ended() -> None:
    """It was not told, and nobody started the conductor again."""
    job = subprocess.Popen(['true'])
    job.wait()
    with subprocess.Popen(['sleep', '600']) as conductor:
        known = victims.kill('conductor', job.pid, conductor.pid)
        assert conductor.wait(60) == -9
    assert list(known) == [conductor.pid]


def test_pack(tmp_path: pathlib.Path) -> None:
    rounds = pack_rounds.PackRounds(tmp_path / 'work')
    numbers, number = itertools.count(), 0
    for cell in PACKS:
        aim = listener.Aim(*cell)
        for _ in range(3):
            number = next(numbers)
            done = rounds.run(aim, number, again=False)
            # Nothing waits for a kill that comes later in the phase: on a
            # busy host all may be over by then.
            if done.hit or not aim.delay or aim.victim == 'qemu-img':
                break
        # qemu-img has so little to do that it may have done it.
        assert done.hit or aim.victim == 'qemu-img', (aim, done)
        assert not done.faults, (aim, done)
    assert not rounds.finish(number)


def test_build(tmp_path: pathlib.Path) -> None:
    rounds = build_rounds.BuildRounds(tmp_path / 'work')
    try:
        for number, (cell, attempts) in enumerate(BUILDS):
            done = rounds.run(listener.Aim(*cell), number)
            assert done.hit and not done.faults, (cell, done)
            assert done.ended == 'active', (cell, done)
            assert done.attempts == attempts, (cell, done)
    finally:
        rounds.close()


def test_installer(tmp_path: pathlib.Path, image_cache: pathlib.Path) -> None:
    rounds = installer_rounds.InstallerRounds(tmp_path / 'work', image_cache)
    try:
        for number, cell in enumerate(INSTALLATIONS):
            done = rounds.run(listener.Aim(*cell), number)
            assert done.hit and not done.faults, (cell, done)
            assert (done.ended, done.attempts) == ('active', 2), (cell, done)
    finally:
        rounds.close()
