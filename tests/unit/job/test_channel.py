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
import json
import os
import threading
import time

import pytest

from imagebuild.job import channel


@pytest.fixture
def pipe():
    incoming, outgoing = os.pipe()
    yield incoming, outgoing
    for descriptor in (incoming, outgoing):
        try:
            os.close(descriptor)
        except OSError:
            pass


def test_a_document_may_come_in_pieces(pipe):
    incoming, outgoing = pipe
    text = json.dumps({'a': 'x' * 300_000}).encode() + b'\n'

    def write():
        left = text
        while left:
            left = left[os.write(outgoing, left[:5000]) :]

    thread = threading.Thread(target=write)
    thread.start()
    assert channel.read_document(incoming)['a'] == 'x' * 300_000
    thread.join()


def test_no_document(pipe):
    incoming, outgoing = pipe
    os.write(outgoing, b'{"a"')
    os.close(outgoing)
    assert channel.read_document(incoming) is None


def test_a_document_has_a_limit(pipe, monkeypatch):
    monkeypatch.setattr(channel, 'MAX_DOCUMENT', 10)
    incoming, outgoing = pipe
    os.write(outgoing, b'x' * 20)
    with pytest.raises(ValueError, match='too long'):
        channel.read_document(incoming)


def test_a_slow_reader_gets_everything(pipe):
    incoming, outgoing = pipe
    events = channel.Events(outgoing, lambda: None)
    got = bytearray()

    def read():
        while portion := os.read(incoming, 100_000):
            got.extend(portion)
            time.sleep(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(3000):
        events.send('output', line='x' * 500, number=number)
    events.close()
    thread.join()
    lines = [json.loads(line) for line in got.splitlines()]
    assert [line['number'] for line in lines] == list(range(3000))


@pytest.mark.parametrize('pause', [0.3, 60], ids=['slow', 'stuck'])
def test_the_end_does_not_wait_for_a_slow_reader(pipe, monkeypatch, pause):
    monkeypatch.setattr(channel, '_DRAIN', 0.5)
    incoming, outgoing = pipe
    events = channel.Events(outgoing, lambda: None)
    for number in range(900):
        events.send('output', line='x' * 500, number=number)
    events.send('step', name='packages')
    got = bytearray()
    stopped = threading.Event()

    def read():
        while portion := os.read(incoming, 5_000):
            got.extend(portion)
            stopped.wait(pause)

    thread = threading.Thread(target=read, daemon=True)
    began = time.monotonic()
    thread.start()
    events.send_last('failed', reason='The time is up.')
    events.close(3)
    took = time.monotonic() - began
    # For all of it, "slow" would need 30 s, and "stuck" an hour.
    assert took < 18
    stopped.set()
    thread.join(60)
    if pause > 1:
        return
    lines = [json.loads(line) for line in got.splitlines()]
    *output, step, notice, last = lines
    assert step == {'event': 'step', 'name': 'packages'}
    assert [each['number'] for each in output] == list(range(len(output)))
    assert 0 < len(output) < 900
    assert f'(without {900 - len(output)} lines: ' in notice['message']
    assert last == {'event': 'failed', 'reason': 'The time is up.'}


def test_nobody_reads(pipe):
    incoming, outgoing = pipe
    os.close(incoming)
    told = threading.Event()
    events = channel.Events(outgoing, told.set)
    events.send('notice', message='x')
    assert told.wait(60)
    # Its thread closes the pipe: not when the number is somebody else's.
    events.close(5)


def test_the_other_end_is_closed(pipe):
    incoming, outgoing = pipe
    told = threading.Event()
    channel.watch_parent(incoming, told.set)
    os.write(outgoing, b'whatever')
    assert not told.wait(0.1)
    os.close(outgoing)
    assert told.wait(60)


def test_long_lines_are_cut():
    assert channel.shortened('x' * 8192) == 'x' * 8192
    assert channel.shortened('x' * 9000).endswith('x [808 more characters]')
