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
"""Runs a program that cannot wait for the disk: ``unsynced.py PROGRAM ...``.

What is made for an image is thrown away when the host stops before the image
is complete, so it need not survive that. dpkg and the packages' scripts bring
every file to the disk all the same, thousands of times, and a sync(2) waits
for whatever else the host writes. In the program, and in all that it starts,
these calls do nothing and succeed.

Started as a script of the standard library only, in a process of its own: a
filter of system calls cannot be taken off again.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

#: AUDIT_ARCH, and the numbers of fsync, fdatasync, sync, syncfs and
#: sync_file_range.
_MACHINES = {
    'x86_64': (0xC000003E, (74, 75, 162, 306, 277)),
    'aarch64': (0xC00000B7, (82, 83, 81, 267, 84)),
}
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW = 0x7FFF0000
#: SECCOMP_RET_ERRNO with no error: the call returns 0.
_SUCCEED = 0x00050000
#: Offsets in struct seccomp_data.
_NUMBER, _ARCHITECTURE = 0, 4


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]


def make_filter(machine: str) -> bytes:
    """The filter in classic BPF; empty for a machine without numbers here.

    :param machine: as uname(2) calls it.
    """
    if machine not in _MACHINES:
        return b''
    architecture, numbers = _MACHINES[machine]
    # Each is: code, instructions to skip when equal, when not, value.
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, len(numbers) + 1, architecture),
        (_LOAD, 0, 0, _NUMBER),
        *(
            (_EQUAL, len(numbers) - i, 0, number)
            for i, number in enumerate(numbers)
        ),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _SUCCEED),
    ]
    return b''.join(struct.pack('=HBBI', *each) for each in instructions)


def install() -> bool:
    """Put this process, and all that it starts, under the filter.

    :returns: whether the kernel took it; all works without, only slower.
    """
    code = make_filter(platform.machine())
    memory = ctypes.create_string_buffer(code, len(code) or 1)
    program = _Program(len(code) // 8, ctypes.addressof(memory))
    prctl = ctypes.CDLL(None).prctl
    return bool(code) and (
        prctl(
            _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
        )
        == 0
    )


def main() -> None:
    """Become the program."""
    install()
    try:
        os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell meant
    except OSError as error:
        sys.exit(f'{sys.argv[1]}: {error.strerror}')


if __name__ == '__main__':
    main()
