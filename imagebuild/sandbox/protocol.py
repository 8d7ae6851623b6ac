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
"""Messages between a job and its supervisor, over a stream socket.

A message is a JSON document and the bytes objects in it, behind each other,
with descriptors beside it. One side asks, the other answers.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

#: Lengths of the document and of all bytes behind it.
_HEADER = struct.Struct('=IQ')
_MOST_DESCRIPTORS = 8
#: No file of a guest that is read whole is larger.
_LARGEST = 4 * 1024**3
_BYTES = '$bytes'


class Closed(Exception):
    """The other side is gone."""


def send(
    connection: socket.socket, message: Any, descriptors: Sequence[int] = ()
) -> None:
    """Send a message.

    :param message: None, numbers, texts, bytes, lists and dicts of them.
    :param descriptors: sent along; they stay open here.
    :raises Closed: the other side is gone.
    """
    blobs: list[bytes] = []
    document = json.dumps(_packed(message, blobs)).encode()
    size = sum(len(blob) for blob in blobs)
    start = _HEADER.pack(len(document), size) + document
    try:
        sent = socket.send_fds(connection, [start], list(descriptors))
        connection.sendall(start[sent:])
        for blob in blobs:
            connection.sendall(blob)
    except OSError as error:
        raise Closed(str(error)) from error


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """Wait for a message.

    :returns: it and the descriptors that came with it, which are closed on
        exec.
    :raises Closed: the other side is gone, or sends no message of ours.
    """
    descriptors: list[int] = []
    try:
        header = _read(connection, _HEADER.size, descriptors)
        length, size = _HEADER.unpack(header)
        if size > _LARGEST:
            raise Closed('a message is too large')
        document = _read(connection, length, descriptors)
        blobs = _read(connection, size, descriptors)
        message, rest = _unpacked(json.loads(document), memoryview(blobs))
        if rest:
            raise Closed('a message holds more than it says')
    except BaseException as error:
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(error, OSError | ValueError):
            raise Closed(str(error)) from error
        raise
    return message, descriptors


def _read(
    connection: socket.socket, size: int, descriptors: list[int]
) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    ancillary = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
    while view:
        count, messages, _flags, _ = connection.recvmsg_into(
            [view], ancillary, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in messages:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found = array.array('i')
                found.frombytes(data[: len(data) // 4 * 4])
                descriptors.extend(found)
        if not count:
            raise Closed('the connection was closed')
        view = view[count:]
    return content


def _packed(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, bytes):
        blobs.append(value)
        return {_BYTES: len(value)}
    if isinstance(value, list | tuple):
        return [_packed(each, blobs) for each in value]
    if isinstance(value, dict):
        return {key: _packed(each, blobs) for key, each in value.items()}
    return value


def _unpacked(value: Any, blobs: memoryview) -> tuple[Any, memoryview]:
    """The value with its bytes, and the bytes that are not its."""
    if isinstance(value, dict) and list(value) == [_BYTES]:
        size = value[_BYTES]
        return bytes(blobs[:size]), blobs[size:]
    if isinstance(value, list):
        made = []
        for each in value:
            element, blobs = _unpacked(each, blobs)
            made.append(element)
        return made, blobs
    if isinstance(value, dict):
        for key, each in value.items():
            value[key], blobs = _unpacked(each, blobs)
    return value, blobs
