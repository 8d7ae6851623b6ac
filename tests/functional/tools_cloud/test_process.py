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
import os
import pathlib
import sys
import time

import pytest

from tools.cloud import cloud_state
from tools.cloud import errors
from tools.cloud.servers import proc
from tools.cloud.servers import process


@pytest.fixture
def processes(tmp_path: pathlib.Path) -> process.Processes:
    processes = process.Processes(cloud_state.State(tmp_path))
    yield processes
    for name in processes.names():
        processes.kill(name)


def _program(
    tmp_path: pathlib.Path, code: str, **options: object
) -> process.Program:
    flag = tmp_path / 'ready'
    return process.Program(
        name='server',
        argv=[sys.executable, '-c', code, str(flag)],
        **{'ready': flag.exists, 'ready_within': 60, **options},
    )


SERVE = 'import sys, time; open(sys.argv[1], "w"); time.sleep(600)'
STUBBORN = f'import signal; signal.signal(15, signal.SIG_IGN); {SERVE}'
FAMILY = (
    'import subprocess, sys; '
    'subprocess.Popen(["sleep", "600"]); '
    f'subprocess.Popen(["sleep", "600"], start_new_session=True); {SERVE}'
)


def test_a_second_start_leaves_it_alone(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    program = _program(tmp_path, SERVE)
    assert processes.start(program) is True
    pid = processes.pid('server')
    assert processes.start(program) is False
    assert processes.pid('server') == pid


def test_a_change_replaces_it(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    config = tmp_path / 'config'
    config.write_text('old')
    program = _program(tmp_path, SERVE, files=[config])
    processes.start(program)
    pid = processes.pid('server')
    config.write_text('new')
    assert processes.start(program) is True
    assert processes.pid('server') != pid


def test_another_command_finds_it(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    processes.start(_program(tmp_path, SERVE))
    later = process.Processes(cloud_state.State(tmp_path))
    assert later.names() == ['server']
    assert later.stop('server') is True
    assert not processes.alive('server')
    assert later.stop('server') is False


def test_one_that_ignores_the_signal_is_killed(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    processes.start(_program(tmp_path, STUBBORN, stop_within=0.2))
    assert processes.stop('server') is True
    assert not processes.alive('server')


@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_what_it_started_ends_with_it(
    how: str, processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    processes.start(_program(tmp_path, FAMILY))
    record = processes.state.get('processes', 'server')
    family = [proc.identity(pid) for pid in proc.family(record)]
    assert len(family) == 3
    getattr(processes, how)('server')
    alive = [one for one in family if proc.is_same(one)]
    # Ended in good order, it may leave a session of its own behind.
    assert len(alive) <= (1 if how == 'stop' else 0)
    for one in alive:
        os.kill(one['pid'], 9)


def test_the_end_of_the_log_is_told(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    program = _program(tmp_path, 'print("no such table"); raise SystemExit(3)')
    with pytest.raises(errors.CloudError, match='ended while') as caught:
        processes.start(program)
    assert 'no such table' in str(caught.value)


def test_it_must_be_ready_in_time(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    program = _program(tmp_path, SERVE, ready=lambda: False, ready_within=0.3)
    with pytest.raises(errors.CloudError, match='not ready in 0 s'):
        processes.start(program)
    assert processes.names() == ['server']


def test_an_interruption_ends_the_wait(
    processes: process.Processes, tmp_path: pathlib.Path
) -> None:
    # It is waited for when that comes, however slow its start was.
    program = _program(tmp_path, SERVE, ready=process.interrupted.set)
    begin = time.monotonic()
    try:
        with pytest.raises(errors.Interrupted):
            processes.start(program)
    finally:
        process.interrupted.clear()
    assert time.monotonic() - begin < 50
    assert processes.stop('server') is True


def test_a_process_of_the_same_id_is_not_ours(
    processes: process.Processes,
) -> None:
    for change in ({'start_time': 1}, {'boot': 'another'}):
        record = {
            **proc.identity(os.getpid()),
            'number': 1,
            'stop_within': 1,
            'stop_signal': 9,
            **change,
        }
        processes.state.set('processes', 'server', record)
        assert not processes.alive('server')
        processes.kill('server')
        processes.state.set('processes', 'server', record)
        assert processes.stop('server') is False


def test_run_gives_the_output_of_a_failure(
    processes: process.Processes,
) -> None:
    processes.run('good', ['true'])
    with pytest.raises(errors.CloudError, match='exit code 2') as caught:
        processes.run('bad', ['sh', '-c', 'echo because; exit 2'])
    assert 'because' in str(caught.value)
    with pytest.raises(errors.CloudError, match='not done in 0 s'):
        processes.run('slow', ['sleep', '60'], within=0.2)
    assert processes.names() == []
