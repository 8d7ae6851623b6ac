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
import signal
import subprocess
import sys
import threading
import time

import pytest

from imagebuild import exception
from imagebuild.common import processes
from imagebuild.disks import host_command
from tests.functional.disks import tools


def test_output_and_empty_input() -> None:
    assert host_command.run(['cat']) == ''
    assert host_command.run(['echo', '$HOME; `id`']) == '$HOME; `id`\n'


@pytest.mark.parametrize(
    ('argv', 'error', 'message'),
    [
        (['imagebuild-no-such'], exception.MissingDependency, 'install it'),
        (['/'], exception.HostCommandFailed, 'cannot be started'),
        (['false'], exception.HostCommandFailed, 'exit code 1'),
        (
            ['sh', '-c', 'kill -9 $$'],
            exception.HostCommandFailed,
            r'it was ended by signal 9 \(SIGKILL\)',
        ),
        (
            ['sh', '-c', 'echo "sh: why" >&2; exit 3'],
            exception.HostCommandFailed,
            r'^sh failed \(exit code 3\): why$',
        ),
        (
            ['sh', '-c', 'echo "write: No space left on device" >&2; exit 1'],
            exception.DiskFull,
            'holds /there is full',
        ),
    ],
)
def test_failures(
    argv: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        host_command.run(argv, writes_to=pathlib.Path('/there'))


def test_good_exit_codes() -> None:
    host_command.run(['false'], good_exit_codes=(0, 1))


def grandchild(file: pathlib.Path) -> int:
    return int(file.read_text())


def script(file: pathlib.Path) -> list[str]:
    return ['sh', '-c', f'sleep 60 & echo $! > {file}; wait']


def test_timeout_ends_the_whole_group(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'pid'

    def wait_for_grandchild() -> None:
        # However slow the start is.
        while not (file.exists() and file.read_text().endswith('\n')):
            time.sleep(0.01)

    with pytest.raises(exception.HostCommandFailed, match='after 0.5 sec'):
        host_command.run(script(file), timeout=0.5, watch=wait_for_grandchild)
    assert tools.is_gone(grandchild(file))


def test_cancellation_ends_the_whole_group(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'pid'

    def cancelled() -> bool:
        return file.exists() and file.read_text().endswith('\n')

    with pytest.raises(exception.Interrupted):
        host_command.run(script(file), watch=host_command.unless(cancelled))
    assert tools.is_gone(grandchild(file))


def test_interrupt_ends_the_whole_group(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'pid'

    def interrupt() -> None:
        # However slow the start is.
        while not (file.exists() and file.read_text().endswith('\n')):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        host_command.run(script(file))
    thread.join()
    assert tools.is_gone(grandchild(file))


def test_nothing_begins_before_its_id_is_written_down(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'input').write_text('it')
    reached = tmp_path / 'reached'

    def on_start(_: int) -> None:
        time.sleep(0.3)
        assert not reached.exists()

    told = host_command.run(
        ['sh', '-c', f'touch {reached}; cat'],
        on_start=on_start,
        files=host_command.Files(input=tmp_path / 'input'),
    )
    assert (told, reached.exists()) == ('it', True)


def test_nothing_begins_when_we_are_killed_first(
    tmp_path: pathlib.Path,
) -> None:
    """Nobody would know of it afterwards."""
    program = f"""
import os, signal
from imagebuild.disks import host_command

def on_start(pid):
    print(pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

host_command.run(['touch', '{tmp_path}/reached'], on_start=on_start)
"""
    done = subprocess.run(
        [sys.executable, '-c', program], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert tools.is_gone(int(done.stdout))
    assert list(tmp_path.iterdir()) == []


def test_failure_of_on_start_ends_it() -> None:
    seen = []

    def on_start(pid: int) -> None:
        seen.append(pid)
        raise exception.DiskFull(path='/there')

    with pytest.raises(exception.DiskFull):
        host_command.run(['sleep', '60'], on_start=on_start)
    assert processes.start_time(seen[0]) is None
