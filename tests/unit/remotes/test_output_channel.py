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
"""Output that never ends: little of it is kept waiting, and time passes."""

import pathlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from imagebuild.remotes import output
from imagebuild.remotes import output_channel
from imagebuild.remotes import time_limit

MIB = 1024 * 1024


class Guest:
    """What qemu does: connects to all ports, and writes."""

    def __init__(
        self, channel: output_channel.OutputChannel, directory: pathlib.Path
    ) -> None:
        self.directory = directory
        self.arguments: list[tuple[str, str]] = []
        channel.configure(self)
        names = [
            dict(part.split('=') for part in text.split(',') if '=' in part)[
                'path'
            ]
            for option, text in self.arguments
            if option == '-chardev'
        ]
        self.sockets = []
        for name in names:
            each = socket.socket(socket.AF_UNIX)
            each.connect(name)
            self.sockets.append(each)
        channel.connected()
        self.sent = 0

    def get_tmpdir(self) -> str:
        # Too long for the path of a socket.
        return str(self.directory / ('x' * 100))

    def get_sockdir(self) -> str:
        return str(self.directory)

    def config(self, option: str, text: str) -> None:
        self.arguments.append((option, text))

    def flood(self, piece: bytes) -> None:
        """Write for ever, until the other side is gone."""
        try:
            while True:
                self.sent += self.sockets[0].send(piece)
        except OSError:
            return

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@pytest.fixture
def channel() -> Iterator[output_channel.OutputChannel]:
    made = output_channel.OutputChannel()
    yield made
    made.close()


@pytest.fixture
def guest(
    channel: output_channel.OutputChannel, tmp_path: pathlib.Path
) -> Iterator[Guest]:
    made = Guest(channel, tmp_path)
    yield made
    made.close()
    channel.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def flood(guest: Guest) -> threading.Thread:
    thread = threading.Thread(
        target=guest.flood, args=(b'y\n' * 32768,), daemon=True
    )
    thread.start()
    return thread


@pytest.mark.usefixtures('flood')
class TestFlood:
    def test_nobody_takes(self, guest: Guest) -> None:
        end = time.monotonic() + 60
        while not guest.sent and time.monotonic() < end:
            time.sleep(0.01)
        before = -1
        while before < guest.sent < 8 * MIB:
            before = guest.sent
            time.sleep(0.5)
        assert 0 < guest.sent < 8 * MIB

    def test_drain_ends(self, channel: output_channel.OutputChannel) -> None:
        collector = output.Collector(channel, None, mark=b'token')
        start = time.monotonic()
        collector.drain()
        assert time.monotonic() - start < 50

    def test_what_is_kept(self, channel: output_channel.OutputChannel) -> None:
        seen = 0

        def count(_stream: str, text: str) -> None:
            nonlocal seen
            seen += len(text)

        collector = output.Collector(channel, count, mark=b'token')
        tracemalloc.start()
        end = time.monotonic() + 60
        while seen < 3 * output.KEPT and time.monotonic() < end:
            collector.drain()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seen >= 3 * output.KEPT
        assert peak < 3 * output.KEPT
        assert len(collector.text('stdout')) == output.KEPT

    def test_the_end_is_waited_for_with_a_limit(
        self,
        channel: output_channel.OutputChannel,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(output, '_LONGEST_END', 0.5)
        collector = output.Collector(channel, None, mark=b'token')
        with pytest.raises(output.OutputLost):
            collector.finish()

    def test_close_ends_the_readers(
        self, channel: output_channel.OutputChannel
    ) -> None:
        def readers() -> list[threading.Thread]:
            return [
                each
                for each in threading.enumerate()
                if each.name == 'guest-stdout'
            ]

        assert readers()
        channel.close()
        for each in readers():
            each.join(60)
        assert not readers()


def test_byte_by_byte(
    channel: output_channel.OutputChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of one-character texts would take fifty times their size."""
    pieces = iter([*[('stdout', b'y')] * 200_000, None])
    monkeypatch.setattr(channel, 'next_piece', lambda _timeout: next(pieces))
    collector = output.Collector(channel, None, mark=b'token')
    monkeypatch.setattr(output, '_TURN', 600)
    tracemalloc.start()
    collector.drain()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert collector.text('stdout') == 'y' * 200_000
    assert peak < MIB


class TestWhoEndedIt:
    """qemu says so, in its own words; when it is killed it says nothing."""

    GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'

    @pytest.mark.parametrize(
        ('said', 'by_guest'),
        [
            (b'"data": {"guest": true, "reason": "guest-reset"}', True),
            (b'"data": {"guest": false, "reason": "host-signal"}', False),
            (b'', False),
        ],
    )
    def test_end(
        self,
        channel: output_channel.OutputChannel,
        guest: Guest,
        said: bytes,
        by_guest: bool,
    ) -> None:
        monitor = guest.sockets[-1]
        assert ('-mon', 'chardev=ibevents,mode=control') in guest.arguments
        monitor.settimeout(60)
        monitor.sendall(self.GREETING)
        assert b'qmp_capabilities' in monitor.recv(100)
        monitor.sendall(b'{"return": {}}\r\nno JSON\r\n')
        if said:
            # In pieces, as a stream may come.
            monitor.sendall(b'{"event": "SHUT')
            monitor.sendall(b'DOWN", ' + said + b'}\r\n')
        monitor.close()
        assert channel.events.ended_by_guest() is by_guest


class Clock:
    """One that only moves when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestStop:
    """This host's clock decides, and the guest is told once."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def port(self, guest: Guest) -> socket.socket:
        """The guest's end, by the name that the guest knows it by."""
        names = [
            text.rpartition('=')[2]
            for option, text in guest.arguments
            if option == '-device'
        ]
        port = guest.sockets[names.index('org.imagebuild.stop')]
        port.settimeout(60)
        return port

    def test_when_its_time_is_up(
        self,
        channel: output_channel.OutputChannel,
        port: socket.socket,
        clock: Clock,
    ) -> None:
        limit = time_limit.TimeLimit(lambda: channel.stop('abc'), 60, clock)
        clock.now += 59.9
        limit.check()
        assert not limit.reached
        clock.now += 0.1
        limit.check()
        limit.check()
        assert limit.reached
        assert port.recv(100) == b'abc\n'
        channel.close()
        assert port.recv(100) == b''

    @pytest.mark.usefixtures('guest')
    def test_a_guest_that_reads_nothing(
        self, channel: output_channel.OutputChannel
    ) -> None:
        start = time.monotonic()
        for _ in range(100):
            channel.stop('x' * MIB)
        # Not as long as the tests may take, for each of them.
        assert time.monotonic() - start < 60

    def test_a_guest_that_is_gone(
        self, channel: output_channel.OutputChannel, guest: Guest
    ) -> None:
        guest.close()
        channel.stop('abc')
        channel.stop('abc')
