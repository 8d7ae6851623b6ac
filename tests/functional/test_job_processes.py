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
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from imagebuild.common import processes
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import job_process
from imagebuild.conductor import job_processes

BUILD_ID = '00000000-0000-4000-8000-000000000001'


@pytest.fixture
def started():
    """Starts processes with a token, and kills them at the end."""
    found = []

    def start(script, token='m1', **options):
        process = subprocess.Popen(
            [sys.executable, '-c', script],
            env={**os.environ, job_processes.VARIABLE: token},
            stdout=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        found.append(process)
        process.stdout.readline()
        return process, job_processes.Leader.of(process.pid, token)

    yield start
    for process in found:
        process.kill()
        process.wait()
        process.stdout.close()


SLEEPS = 'import time; print(1, flush=True); time.sleep(60)'
HAS_DAEMON = (
    'import subprocess, sys, time\n'
    'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],'
    ' start_new_session=True, env={})\n'
    'subprocess.Popen(["sleep", "60"], start_new_session=True)\n'
    'print(1, flush=True); time.sleep(60)'
)


def alive(pid):
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_bytes()
    except FileNotFoundError:
        return False
    return stat.rpartition(b')')[2].split()[0] != b'Z'


def test_members_are_session_descendants_and_those_with_the_token(started):
    _, leader = started(HAS_DAEMON)
    assert len(job_processes.members(leader)) == 3


def test_end_kills_daemons_of_other_sessions(started):
    _, leader = started(HAS_DAEMON)
    pids = job_processes.members(leader)
    assert job_processes.end(leader, grace=0)
    assert not any(alive(pid) for pid in pids)
    assert not job_processes.end(leader, grace=0)


def test_those_with_the_token_are_found_without_their_leader(started):
    process, leader = started(HAS_DAEMON)
    pids = job_processes.members(leader)
    process.kill()
    process.wait()
    # The one that dropped its environment is beyond us now.
    left = job_processes.members(leader)
    assert left and left < pids
    job_processes.end(leader, grace=0)
    assert not job_processes.members(leader)
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    'change',
    [
        {'started': 1, 'job_token': 'another'},
        {'pid_namespace_id': 'another boot'},
    ],
)
def test_a_reused_pid_is_left_alone(started, change):
    process, leader = started(SLEEPS)

    other = dataclasses.replace(leader, **change)
    assert not job_processes.end(other, grace=0)
    assert process.poll() is None


def test_sigterm_comes_first(started):
    script = (
        'import signal, sys, time\n'
        'signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n' + SLEEPS
    )
    process, leader = started(script)
    job_processes.end(leader, grace=50)
    assert process.wait() == 7


# -- workspaces -------------------------------------------------------------


def test_a_workspace_in_use_is_not_swept(tmp_path):
    made = attempt_workspace.AttemptWorkspace.make(tmp_path, BUILD_ID, 1)
    assert attempt_workspace.sweep(tmp_path) == []
    with pytest.raises(FileExistsError):
        attempt_workspace.AttemptWorkspace.make(tmp_path, BUILD_ID, 1)
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_owner_s_workspace_is_swept(tmp_path, started):
    process, leader = started(SLEEPS)
    made = attempt_workspace.AttemptWorkspace.make(tmp_path, BUILD_ID, 1)
    made.note(leader)
    (made.path / 'tree').mkdir()
    (made.path / 'tree' / 'file').write_text('x')
    os.close(made._locked._lock)  # as the kernel does for a killed owner
    assert attempt_workspace.sweep(tmp_path) == [made.path]
    assert process.wait() == -signal.SIGKILL
    assert not made.path.exists()


@pytest.mark.parametrize('text', ['', '{', '[]', '{"pid": "x"}'])
def test_a_damaged_note_does_not_stop_a_sweep(tmp_path, text):
    made = attempt_workspace.AttemptWorkspace.make(tmp_path, BUILD_ID, 1)
    (made.path / 'job.json').write_text(text)
    os.close(made._locked._lock)
    assert attempt_workspace.sweep(tmp_path) == [made.path]


def test_other_directories_are_left_alone(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / f'{BUILD_ID}-9').symlink_to(tmp_path / 'elsewhere')
    assert attempt_workspace.sweep(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 3


# -- jobs -------------------------------------------------------------------


class Watch:
    def __init__(self, tmp_path, script, request=None):
        self.events = []
        self.notes = []
        self.job = job_process.JobProcess(
            [sys.executable, '-c', script],
            request or {},
            tmp_path,
            job_process.JobCallbacks(
                on_event=self.events.append,
                wake=lambda: None,
                note=self.notes.append,
            ),
        )

    def wait(self):
        deadline = time.monotonic() + 60
        while (code := self.job.poll()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return code


def test_a_job_is_written_down_before_and_after_its_start(tmp_path):
    watch = Watch(tmp_path, 'pass')
    watch.wait()
    before, after = watch.notes
    assert (before.pid, before.job_token) == (0, after.job_token)
    assert (
        after.pid_namespace_id == processes.pid_namespace_id()
        and after.pid > 0
    )


def test_a_request_larger_than_a_pipe_reaches_a_slow_reader(tmp_path):
    script = (
        'import json, sys, time; time.sleep(0.3)\n'
        'got = json.loads(sys.stdin.readline())\n'
        'print(json.dumps({"event": "finished", "result": len(got["a"])}))'
    )
    watch = Watch(tmp_path, script, {'a': 'x' * 500_000})
    assert watch.wait() == 0
    assert watch.job.last['result'] == 500_000


def test_what_a_job_says_is_read_line_by_line(tmp_path):
    script = (
        'import os\n'
        r'os.write(1, b"""{"event": "a"}\nnonsense\n[1]\n{"event": 5}\n""")'
        '\n'
        r'os.write(1, b"x" * 3000000 + b"\n" + b"""{"event": "b"}\n""")'
        '\n'
        r'os.write(1, b"""{"event": "c"}""")'
        '\n'
        r'os.write(2, b"y" * 100000 + b"\nlast words")'
    )
    watch = Watch(tmp_path, script)
    watch.wait()
    assert [event['event'] for event in watch.events] == ['a', 'b', 'c']
    assert watch.job.last_lines.endswith('last words')
    assert len(watch.job.last_lines) < 50_000


def test_a_pipe_held_by_a_grandchild_does_not_hold_us(tmp_path):
    script = (
        'import subprocess\n'
        'subprocess.Popen(["sleep", "600"], start_new_session=True)'
    )
    watch = Watch(tmp_path, script)
    assert watch.wait() == 0
    assert not job_processes.members(watch.job.leader)
