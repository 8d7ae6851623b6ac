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
"""The QMP client against a monitor that does what it must not."""

import contextlib
import json
import pathlib
import socket
import threading
import time

import pytest

from imagebuild.disks import qmp

GREETING = {'QMP': {'version': {}, 'capabilities': []}}
SLOW = object()


class FakeMonitor:
    """Answers each command with what was prepared for its name."""

    def __init__(self, path: pathlib.Path) -> None:
        self.answers = {'qmp_capabilities': [{'return': {}}]}
        self.greeting = [GREETING]
        self.asked = []
        self.over = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        with contextlib.chdir(path.parent):
            self._listener.bind(path.name)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        # Some hang up before all is said.
        with contextlib.suppress(OSError):
            self._speak()

    def _speak(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile('rb') as lines:
            self._send(connection, self.greeting, None)
            for line in lines:
                message = json.loads(line)
                self.asked.append((message['execute'], message['arguments']))
                answers = self.answers.get(message['execute'], [None])
                if not self._send(connection, answers, message['id']):
                    return

    def _send(self, connection, answers, number) -> bool:
        for answer in answers:
            if answer is None:
                return False
            if answer is SLOW:
                self.over.wait(60)
            elif isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                known = 'event' in answer or number is None or 'id' in answer
                more = {} if known else {'id': number}
                line = json.dumps({**answer, **more}).encode() + b'\n'
                # In pieces: nothing says where one ends.
                connection.sendall(line[:7])
                connection.sendall(line[7:])
        return True

    def close(self) -> None:
        self.over.set()
        self._listener.close()


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Longer than what the kernel takes for a socket's path.
    directory = tmp_path / ('x' * 100)
    directory.mkdir()
    return directory / 'qmp'


@pytest.fixture
def fake(path):
    made = FakeMonitor(path)
    yield made
    made.close()


@pytest.fixture
def monitor(fake, path):
    made = qmp.Monitor(path, timeout=60)
    yield made
    made.close()


def test_a_command(fake, monitor):
    fake.answers['query-it'] = [
        {'event': 'SOMETHING', 'data': {}},
        {'return': [1], 'id': 0},
        {'return': {'x': 1}},
    ]
    assert monitor.execute('query-it', node_name='a', read_only=True) == {
        'x': 1
    }
    assert fake.asked[1:] == [
        ('query-it', {'node-name': 'a', 'read-only': True})
    ]
    assert monitor.is_alive


def test_a_refusal_is_not_the_end(fake, monitor):
    fake.answers['bad'] = [{'error': {'class': 'X', 'desc': 'No such node'}}]
    fake.answers['good'] = [{'return': 1}]
    with pytest.raises(qmp.QmpError, match='^No such node$') as caught:
        monitor.execute('bad')
    assert not caught.value.gone
    assert monitor.execute('good') == 1


def test_it_ends_in_the_middle(fake, monitor):
    with pytest.raises(qmp.QmpError, match='it has ended') as caught:
        monitor.execute('unknown')
    assert caught.value.gone
    assert not monitor.is_alive
    with pytest.raises(qmp.QmpError, match='it has ended'):
        monitor.execute('again')


def test_it_is_silent(fake, monitor):
    fake.answers['slow'] = [SLOW, {'return': {}}]
    start = time.monotonic()
    with pytest.raises(qmp.QmpError, match='does not answer') as caught:
        monitor.execute('slow', timeout=0.1)
    assert time.monotonic() - start < 50
    # What it says late would be taken for the answer to something else.
    assert caught.value.gone and not monitor.is_alive


@pytest.mark.parametrize('answer', [b'what\n', b'[]\n', b'\xff\n', b'\n'])
def test_it_speaks_something_else(fake, monitor, answer):
    fake.answers['odd'] = [answer]
    with pytest.raises(qmp.QmpError, match='not QMP'):
        monitor.execute('odd')


def test_it_never_stops(fake, monitor):
    fake.answers['long'] = [b'x' * 2**20, b'x' * 2**20, None]
    with pytest.raises(qmp.QmpError, match='no end of a message'):
        monitor.execute('long')


def test_it_is_seen_to_be_gone(fake, monitor):
    fake.answers['bye'] = [{'return': {}}, {'event': 'X'}, None]
    monitor.execute('bye')
    end = time.monotonic() + 60
    while monitor.is_alive and time.monotonic() < end:
        time.sleep(0.01)
    assert not monitor.is_alive


@pytest.mark.parametrize('greeting', [[SLOW], [b'hello\n'], [None]])
def test_it_does_not_greet(fake, path, greeting):
    fake.greeting = greeting
    with pytest.raises(qmp.QmpError):
        qmp.Monitor(path, timeout=0.2)


def test_nobody_is_there(path):
    with pytest.raises(FileNotFoundError):
        qmp.Monitor(path, timeout=1)
    path.write_text('')
    with pytest.raises(ConnectionRefusedError):
        qmp.Monitor(path, timeout=1)


def test_threads_take_turns(fake, monitor):
    fake.answers['n'] = [{'return': {}}]
    threads = [
        threading.Thread(
            target=lambda: [monitor.execute('n') for _ in range(50)]
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake.asked) == 201
