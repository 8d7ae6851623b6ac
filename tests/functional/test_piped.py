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
"""A command whose streams are pipes: real processes of this host."""

import os
import pathlib
import signal
import subprocess
import threading
import time
import tracemalloc
from typing import NamedTuple

import pytest

from imagebuild import exception
from imagebuild.remotes import invocations
from imagebuild.remotes import output
from imagebuild.remotes import piped
from tests.contract import remote_contract


class Ended(NamedTuple):
    code: int
    reason: str = ''


class Process:
    """A process and what it started, as a sandbox would run them."""

    def __init__(self, argv: list[str], descriptors: tuple[int, ...]) -> None:
        stdin, stdout, stderr = descriptors
        self.process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def wait(self, timeout: float) -> Ended | None:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        # What it left ends with it.
        self.kill()
        return Ended(code if code >= 0 else 128 - code)

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class Immortal(Process):
    def kill(self) -> None:
        pass

    def end(self) -> None:
        super().kill()
        self.process.wait()


def run(
    script: str,
    *,
    stdin: bytes = b'',
    seconds: float = 60,
    on_output: remote_contract.Pieces | None = None,
) -> invocations.Ending:
    argv = ['sh', '-c', script]
    before = os.listdir('/proc/self/fd')
    try:
        return piped.run(
            lambda *descriptors: Process(argv, descriptors),
            invocations.Invocation(
                'x.sh', argv, {}, stdin=stdin, seconds=seconds
            ),
            on_output,
        )
    finally:
        # Fewer, when what an earlier test left ends meanwhile.
        assert len(os.listdir('/proc/self/fd')) <= len(before)


@pytest.mark.parametrize(
    ('script', 'expected'),
    [
        ('echo out; echo err >&2; exit 3', (3, 'out\n', 'err\n')),
        ('kill -9 $$', (137, '', '')),
        # What is still in the pipes when it has ended.
        ('head -c 60000 /dev/zero | tr "\\0" x', (0, 'x' * 60000, '')),
        # It goes on when nobody could hear it any more.
        ('exec >&- 2>&-; sleep 0.5; exit 5', (5, '', '')),
        ('sleep 60 & echo done', (0, 'done\n', '')),
        ('echo one >/dev/stdout; echo two >/dev/stderr',
         (0, 'one\n', 'two\n')),
    ],
)  # fmt: skip
def test_what_comes_of_it(script: str, expected: tuple[int, str, str]) -> None:
    start = time.monotonic()
    ending = run(script)
    assert (ending.code, ending.stdout, ending.stderr) == expected
    assert not ending.stopped
    assert time.monotonic() - start < 50


def test_standard_input() -> None:
    text = b'x' * 1_000_000
    assert run('wc -c', stdin=text).stdout.strip() == '1000000'
    # Nobody waits for it to be read, and it can be opened again.
    assert run('true', stdin=text).code == 0
    shown = run('head -c 1; cat /dev/stdin; echo x >&0', stdin=b'abc')
    assert shown.stdout.startswith('a')
    assert 'abc' in shown.stdout
    assert shown.code != 0
    assert run('cat').stdout == ''


def test_pieces_come_while_it_runs(tmp_path: pathlib.Path) -> None:
    seen, told = remote_contract.Pieces(), tmp_path / 'told'

    def tell(stream: str, text: str) -> None:
        seen(stream, text)
        told.touch()

    ending = run(
        r"printf '\303'; sleep 0.5; printf '\251\n'; "
        # It ends once somebody was told, and never if that comes at its end.
        f'until [ -e {told} ]; do sleep 0.05; done',
        on_output=tell,
    )
    assert not ending.stopped
    assert seen.of('stdout') == 'é\n'


def test_its_time_is_up() -> None:
    start = time.monotonic()
    ending = run('trap "" TERM; sleep 60 & sleep 60', seconds=1)
    assert ending.stopped
    assert ending.code == 137
    assert 1 <= time.monotonic() - start < 50


def test_an_endless_flood_has_its_time_and_its_room() -> None:
    """The other stream is heard as well."""
    tracemalloc.start()
    ending = run('yes & while sleep 0.1; do echo x >&2; done', seconds=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ending.stopped
    assert 0 < len(ending.stdout) <= output.KEPT
    assert 'x\n' in ending.stderr
    assert peak < 5 * output.KEPT


def test_a_command_that_reads_its_own_output() -> None:
    """It takes it from under whoever is about to read."""
    thief = 'while :; do head -c 1 </dev/stdout >/dev/null; done'
    script = f'{thief} & {thief} & while :; do echo x; sleep 0.01; done'
    start = time.monotonic()
    assert run(script, seconds=2).stopped
    assert time.monotonic() - start < 50


def test_what_cannot_be_ended() -> None:
    made: list[Immortal] = []

    def start(*descriptors: int) -> Immortal:
        made.append(Immortal(['sleep', '60'], descriptors))
        return made[0]

    invocation = invocations.Invocation('x.sh', [], {}, seconds=0.5)
    with pytest.raises(exception.GuestBroken, match=r'^x\.sh .*not be stop'):
        piped.run(start, invocation, None, grace=0.5)
    made[0].end()


def test_output_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else holds the pipe: never waited for without a limit."""
    monkeypatch.setattr(output, '_LONGEST_END', 0.5)
    held: list[int] = []
    floods: list[threading.Thread] = []

    def start(stdin: int, stdout: int, stderr: int) -> Process:
        held.append(os.dup(stdout))
        floods.append(threading.Thread(target=_flood, args=(held[0],)))
        floods[0].start()
        return Process(['true'], (stdin, stdout, stderr))

    invocation = invocations.Invocation('x.sh', [], {})
    with pytest.raises(exception.GuestBroken, match='output was lost'):
        piped.run(start, invocation, None)
    # Others count the files that are open here.
    floods[0].join(60)


def _flood(descriptor: int) -> None:
    try:
        while True:
            os.write(descriptor, b'y\n' * 1000)
    except BrokenPipeError:
        os.close(descriptor)


def test_whoever_is_told_breaks_off() -> None:
    made: list[Process] = []

    def start(*descriptors: int) -> Process:
        made.append(Process(['sh', '-c', 'echo x; sleep 60'], descriptors))
        return made[0]

    def interrupted(_stream: str, _text: str) -> None:
        raise KeyboardInterrupt

    invocation = invocations.Invocation('x.sh', [], {})
    with pytest.raises(KeyboardInterrupt):
        piped.run(start, invocation, interrupted)
    assert made[0].process.wait(60) == -signal.SIGKILL
