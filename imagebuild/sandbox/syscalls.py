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
"""System calls that Python has no function for.

Each raises OSError. The numbers are those of x86_64 and aarch64; newer calls
have the same number everywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterable

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_SET_IO_FLUSHER = 57

_CLOSE_RANGE = 436
_CLOSE_RANGE_CLOEXEC = 4
_PIVOT_ROOT = {'x86_64': 155, 'aarch64': 41}
_KEYCTL = {'x86_64': 250, 'aarch64': 219}
_JOIN_SESSION_KEYRING = 1
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)

#: What this machine is: the numbers of some calls differ.
MACHINE = platform.machine()


def _checked(result: int, what: str | None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def call(number: int, *arguments: object, what: str | None = None) -> int:
    """syscall(2), for what the C library of many a distribution lacks.

    :param arguments: as ctypes takes them: texts are bytes.
    :param what: ``filename`` of the error.
    :raises OSError: the kernel refuses.
    """
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    return _checked(int(result), what)


def syncfs(descriptor: int) -> None:
    """syncfs(2)."""
    _checked(_libc.syncfs(ctypes.c_int(descriptor)), None)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; with CLONE_NEWPID children do."""
    _checked(_libc.unshare(ctypes.c_int(flags)), 'unshare')


def setns(descriptor: int, kind: int) -> None:
    """Enter a namespace.

    :param descriptor: of the namespace.
    :param kind: the CLONE_NEW... that it is one of.
    """
    _checked(_libc.setns(descriptor, ctypes.c_int(kind)), 'setns')


def mount(
    source: str, target: str, kind: str = '', flags: int = 0, data: str = ''
) -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _checked(result, f'mount {target}')


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    result = _libc.umount2(os.fsencode(target), ctypes.c_int(flags))
    _checked(result, f'umount {target}')


def pivot_root(new: str, old: str) -> None:
    """Make a mount the root, and put what was it somewhere below."""
    call(
        _PIVOT_ROOT[MACHINE],
        os.fsencode(new),
        os.fsencode(old),
        what='pivot_root',
    )


def prctl(option: int, *values: int) -> int:
    """prctl(2) with numbers as arguments."""
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *padded), 'prctl')


def set_name(name: bytes) -> None:
    """Name this process, with at most 15 bytes."""
    _checked(_libc.prctl(PR_SET_NAME, name, 0, 0, 0), 'prctl')


def new_session_keyring() -> None:
    """Leave the keys of whoever started this; no error where none are."""
    with contextlib.suppress(OSError):
        call(
            _KEYCTL[MACHINE],
            ctypes.c_int(_JOIN_SESSION_KEYRING), None, 0, 0, 0,
        )  # fmt: skip


def limit_capabilities(kept: Iterable[int]) -> None:
    """Let nothing that this process becomes have other capabilities.

    :param kept: their numbers. They are this process's then, too.
    """
    mask = sum(1 << number for number in kept)
    for number in range(64):
        if mask >> number & 1:
            continue
        if _libc.prctl(PR_CAPBSET_READ, ctypes.c_ulong(number), 0, 0, 0) < 0:
            break
        prctl(PR_CAPBSET_DROP, number)
    halves = (mask & 0xFFFFFFFF, mask >> 32)
    # Effective, permitted, inheritable; the low halves first.
    data = (ctypes.c_uint32 * 6)(
        halves[0], halves[0], 0, halves[1], halves[1], 0
    )
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, data), 'capset')


def close_from(first: int) -> None:
    """Close all descriptors from one on."""
    _close_range(first, 0)


def close_on_exec_from(first: int) -> None:
    """Close all descriptors from one on when another program is executed."""
    _close_range(first, _CLOSE_RANGE_CLOEXEC)


def _close_range(first: int, flags: int) -> None:
    call(
        _CLOSE_RANGE,
        ctypes.c_uint(first),
        ctypes.c_uint(0xFFFFFFFF),
        ctypes.c_uint(flags),
        what='close_range',
    )


def set_seccomp_filter(program: bytes) -> None:
    """Let the kernel ask a filter at each system call from now on.

    :param program: of the classic BPF; whole instructions of 8 bytes.
    """

    class Program(ctypes.Structure):
        _fields_ = (
            ('length', ctypes.c_ushort),
            ('instructions', ctypes.c_char_p),
        )

    wanted = Program(len(program) // 8, program)
    mode = ctypes.c_ulong(2)
    result = _libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(wanted), 0, 0)
    _checked(result, 'prctl')
