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
import socket
import threading

import pytest

from imagebuild.sandbox import protocol


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(60)
        other.settimeout(60)
        yield one, other


@pytest.mark.parametrize(
    'message',
    [
        None,
        {},
        {'do': 'call', 'args': ['/ä', 1, -1.5, True, None], 'kw': {'a': []}},
        b'',
        [b'a\0\xff', {'x': b'b', 'y': [b'', b'c']}, 'lone \udcff'],
    ],
)
def test_a_message_arrives_as_it_was(pair, message):
    protocol.send(pair[0], message)
    assert protocol.receive(pair[1]) == (message, [])


def test_a_large_one(pair):
    content = os.urandom(1 << 20) * 8
    sender = threading.Thread(
        target=protocol.send, args=(pair[0], {'content': content})
    )
    sender.start()
    message, _ = protocol.receive(pair[1])
    sender.join()
    assert message == {'content': content}


def test_descriptors_come_along_and_are_not_inherited(pair):
    reader, writer = os.pipe()
    protocol.send(pair[0], 'a' * 1000, [reader, writer])
    message, (first, second) = protocol.receive(pair[1])
    assert message == 'a' * 1000
    assert not os.get_inheritable(first)
    os.write(second, b'through')
    assert os.read(reader, 10) == b'through'
    for each in (first, second, reader, writer):
        os.close(each)


def test_the_other_side_has_gone(pair):
    pair[0].close()
    with pytest.raises(protocol.Closed):
        protocol.receive(pair[1])
    with pytest.raises(protocol.Closed):
        protocol.send(pair[1], {'x': b'y' * 1000})


@pytest.mark.parametrize(
    'content',
    [
        b'\xff' * 12,
        protocol._HEADER.pack(2, 0) + b'{x',
        protocol._HEADER.pack(2, 3) + b'{}abc',
        protocol._HEADER.pack(10, 0) + b'{}',
    ],
)
def test_what_is_none(pair, content):
    pair[0].sendall(content)
    pair[0].close()
    with pytest.raises(protocol.Closed):
        protocol.receive(pair[1])
