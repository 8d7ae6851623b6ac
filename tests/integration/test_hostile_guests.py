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
"""Guests that mean harm: the job's memory and time stay bounded."""

import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration import test_job
from tests.unit.job import job_process

pytestmark = pytest.mark.timeout(600)

document = test_job.document
folder = test_job.folder
start = test_job.start

MIB = 1024 * 1024
LIMIT = 90
# A line without an end, then lines without an end.
FLOOD = """#!/bin/sh
timeout 15 tr '\\0' x </dev/zero
yes
"""


def peak_memory(pid: int) -> int:
    """Bytes that a process had at most so far; 0 when it is gone."""
    try:
        text = pathlib.Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return 0
    found = re.search(r'VmHWM:\s+(\d+) kB', text)
    return int(found[1]) * 1024 if found else 0


def test_endless_output(
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
) -> None:
    began = time.monotonic()
    job = start(
        document(**test_job.script(FLOOD)) | {'timeout': LIMIT},
    )
    peak = 0
    while job.process.poll() is None:
        assert time.monotonic() - began < LIMIT + 60
        peak = max(peak, peak_memory(job.process.pid))
        time.sleep(0.1)
    assert job.wait() != 0
    last = job.events[-1]
    assert (last['event'], last['fault']) == ('failed', 'user')
    assert f'limit of {LIMIT} seconds' in last['reason']
    lines = [e['line'] for e in job.events if e['event'] == 'output']
    assert lines[0].startswith('x' * 8192)
    # On a slow host the time is up before the second flood.
    assert set(lines[1:]) <= {'y'}
    assert 0 < peak < 250 * MIB
