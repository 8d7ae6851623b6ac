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
"""Guests that mean harm: memory, time and disk of the host stay bounded."""

import os
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from imagebuild import job as jobs
from imagebuild.conductor import capability
from imagebuild.conductor import disk_space
from imagebuild.drivers import isolations
from tests.functional import conductors
from tests.functional import job_process
from tests.integration import test_job

pytestmark = pytest.mark.timeout(1200)

document = test_job.document
directory = test_job.directory
start = test_job.start

MIB = 1024 * 1024
#: Seconds for a build: more than an appliance takes to start.
LIMIT = {'sandbox': 15, 'appliance': 45}
# A line without an end, then lines without an end.
FLOOD = """#!/bin/sh
timeout 5 tr '\\0' x </dev/zero
yes
"""

# Random, so that neither zeros nor compression help. Slowly, and then it
# stays: whoever watches it may be late.
FILL = """#!/bin/sh
for number in $(seq 30); do
    dd if=/dev/urandom of=/fill$number bs=1M count=50 conv=fsync
    sleep 0.5
done
sleep 250
"""


def peak_memory(pid: int) -> int:
    """Bytes that a process had at most so far; 0 when it is gone."""
    try:
        text = pathlib.Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return 0
    found = re.search(r'VmHWM:\s+(\d+) kB', text)
    return int(found[1]) * 1024 if found else 0


def watched(job: job_process.Job, limit: int) -> int:
    """Wait for the end of a job; the bytes that it had at most."""
    began, peak = time.monotonic(), 0
    while job.process.poll() is None:
        assert time.monotonic() - began < limit + 120
        peak = max(peak, peak_memory(job.process.pid))
        time.sleep(0.1)
    return peak


@pytest.mark.both_isolations
def test_endless_output(
    isolation: isolations.Isolation,
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
) -> None:
    for limit in (LIMIT[isolation], 4 * LIMIT[isolation]):
        job = start(
            document(**test_job.script(FLOOD)) | {'timeout': limit},
        )
        peak = watched(job, limit)
        assert job.wait(60) != 0
        last = job.events[-1]
        assert last['event'] == 'failed'
        lines = [e['line'] for e in job.events if e['event'] == 'output']
        if lines and len(lines[0]) >= 8192:
            break
        # This host was too busy: the time was up before the script began.
    assert last['fault'] == 'user'
    assert f'limit of {limit} seconds' in last['reason']
    assert lines[0].startswith('x' * 8192)
    # On a slow host the time is up before the second flood.
    assert set(lines[1:]) <= {'y'}
    assert 0 < peak < 250 * MIB


def test_a_guest_that_fills_its_disk(
    isolation: isolations.Isolation,
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A conductor with real jobs: the one that grows goes, others go on."""
    # 100 MiB may be taken: a GiB of an emulated guest takes a minute.
    monkeypatch.setattr(disk_space.space, 'GIB', 100 * MIB)
    database = conductors.make_database(tmp_path)
    conf = conductors.read_conf(
        conductors.write_conf(
            tmp_path, 'c1', drivers='guestfs,fake', max_builds=2
        )
    )
    conf.set_override('max_build_size', 1, 'disks')
    conf.set_override('isolation', isolation, 'guestfs')
    conductor = conductors.make_conductor(
        conf,
        job_command=jobs.command(),
        capability_provider=capability.CapabilityProvider(conf),
    )
    conductor.start()
    try:
        hostile = conductors.add_build(
            database,
            driver='guestfs',
            request=test_job.script(FILL)
            | {'name': 'hostile', 'os': 'debian-12'},
            base=_base(minimal_image),
            timeout=280,
        )
        other = conductors.add_build(
            database,
            request={'name': 'other', 'os': 'fake-os', 'packages': ['x']},
            base={'kind': 'none', 'driver_options': {'seconds': 10}},
        )
        peak = 0
        while database.get_build(hostile).status in ('queued', 'building'):
            peak = max(peak, disk_space.allocated(tmp_path / 'work'))
            time.sleep(0.2)
        conductors.wait_for(database, other, 'active', seconds=240)
    finally:
        conductor.stop()
    found = database.get_build(hostile)
    assert (found.status, found.fault) == ('error', 'user')
    assert 'and may take 100.0 MiB.' in found.status_reason
    assert found.attempt == 1
    took = re.search(r'files take ([0-9.]+) ([MG])iB', found.status_reason)
    assert took
    assert float(took[1]) * {'M': 1, 'G': 1024}[took[2]] > 100
    # Looked at every two seconds, or more rarely where that takes long.
    assert peak < 1800 * MIB
    assert conductors.workspaces_in(tmp_path) == []
    fine = database.get_build(other)
    assert (fine.attempt, fine.requeues) == (1, 0)
    free = os.statvfs(tmp_path)
    assert free.f_bavail * free.f_frsize > conf.disks.space_reserve * MIB


def _base(image: pathlib.Path) -> dict[str, Any]:
    return {
        'driver': 'guestfs',
        'kind': 'path',
        'location': str(image),
        'disk_format': 'qcow2',
        'os': 'debian-12',
        'driver_options': {'compress': False},
    }
