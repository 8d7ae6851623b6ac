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
"""The filter of system calls, run by a small interpreter of BPF."""

import struct

import pytest

from imagebuild.disks import unsynced

X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ALLOW, SUCCEED = 0x7FFF0000, 0x00050000


def decide(code: bytes, architecture: int, number: int) -> int:
    data = struct.pack('=II', number, architecture)
    accumulator = 0
    position = 0
    while True:
        operation, yes, no, value = struct.unpack_from(
            '=HBBI', code, position * 8
        )
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from('=I', data, value)
        elif operation == 0x15:
            position += yes if accumulator == value else no
        else:
            assert operation == 0x06
            return int(value)


@pytest.mark.parametrize(
    ('machine', 'architecture', 'calls'),
    [
        ('x86_64', X86_64, {74, 75, 162, 277, 306}),
        ('aarch64', AARCH64, {81, 82, 83, 84, 267}),
    ],
)
def test_only_what_waits_for_the_disk(
    machine: str, architecture: int, calls: set[int]
) -> None:
    code = unsynced.make_filter(machine)
    silent = {
        number
        for number in range(600)
        if decide(code, architecture, number) == SUCCEED
    }
    assert silent == calls
    # Numbers of another architecture mean something else.
    assert {decide(code, I386, number) for number in range(600)} == {ALLOW}


def test_a_machine_without_numbers_here() -> None:
    assert unsynced.make_filter('riscv64') == b''
