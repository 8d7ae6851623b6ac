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
"""What programs in a sandbox may ask of the kernel: a seccomp filter.

As container runtimes do, it refuses what is for the administrator of a host
(mounts, modules, kexec, keys, bpf, perf, other namespaces, ...) with EPERM.
What the kernel checks by capabilities anyway is refused twice then; a fault of
the kernel in one of these calls is out of reach.

Programs of the 32 bit sibling of x86_64 are filtered by their own numbers,
those of any other are killed. What is newer than this list is "not
implemented", which every program has to expect.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from collections.abc import Iterator

from imagebuild.sandbox import syscalls

# -- system calls: numbers on x86_64, i386 and aarch64; None: has none -------

_Numbers = tuple[int | None, int | None, int | None]

_REFUSED: dict[str, _Numbers] = {
    '_sysctl': (156, 149, None),
    'acct': (163, 51, 89),
    'add_key': (248, 286, 217),
    'bpf': (321, 357, 280),
    'clock_settime': (227, 264, 112),
    'clock_settime64': (None, 404, None),
    'create_module': (174, 127, None),
    'delete_module': (176, 129, 106),
    'fanotify_init': (300, 338, 262),
    'finit_module': (313, 350, 273),
    'fsconfig': (431, 431, 431),
    'fsmount': (432, 432, 432),
    'fsopen': (430, 430, 430),
    'fspick': (433, 433, 433),
    'get_kernel_syms': (177, 130, None),
    'init_module': (175, 128, 105),
    'ioperm': (173, 101, None),
    'iopl': (172, 110, None),
    'kcmp': (312, 349, 272),
    'kexec_file_load': (320, None, 294),
    'kexec_load': (246, 283, 104),
    'keyctl': (250, 288, 219),
    'lookup_dcookie': (212, 253, 18),
    'migrate_pages': (256, 294, 238),
    'mount': (165, 21, 40),
    'mount_setattr': (442, 442, 442),
    'move_mount': (429, 429, 429),
    'move_pages': (279, 317, 239),
    'nfsservctl': (180, 169, 42),
    'open_by_handle_at': (304, 342, 265),
    'open_tree': (428, 428, 428),
    'open_tree_attr': (467, 467, 467),
    'perf_event_open': (298, 336, 241),
    'pidfd_getfd': (438, 438, 438),
    'pivot_root': (155, 217, 41),
    'query_module': (178, 167, None),
    'quotactl': (179, 131, 60),
    'quotactl_fd': (443, 443, 443),
    'reboot': (169, 88, 142),
    'request_key': (249, 287, 218),
    'setdomainname': (171, 121, 162),
    'sethostname': (170, 74, 161),
    'setns': (308, 346, 268),
    'settimeofday': (164, 79, 170),
    'stime': (None, 25, None),
    'swapoff': (168, 115, 225),
    'swapon': (167, 87, 224),
    'sysfs': (139, 135, None),
    'syslog': (103, 103, 116),
    'umount': (None, 22, None),
    'umount2': (166, 52, 39),
    'uselib': (134, 86, None),
    'userfaultfd': (323, 374, 282),
    'ustat': (136, 62, None),
    'vhangup': (153, 111, 58),
    'vm86': (None, 166, None),
    'vm86old': (None, 113, None),
}

#: Programs have another way when these are missing. A filter cannot look
#: into the arguments of clone3 and socketcall.
_MISSING: dict[str, _Numbers] = {
    'clone3': (435, 435, 435),
    'io_uring_enter': (426, 426, 426),
    'io_uring_register': (427, 427, 427),
    'io_uring_setup': (425, 425, 425),
    'socketcall': (None, 102, None),
}

_CLONE: _Numbers = (56, 120, 220)
_UNSHARE: _Numbers = (272, 310, 97)
_SOCKET: _Numbers = (41, 359, 198)
_IOCTL: _Numbers = (16, 54, 29)

#: The last that is known here (Linux 6.18: file_setattr).
_LAST = 469
#: Above these are x32's numbers, another way to the same calls.
_X32 = 0x40000000

# -- arguments ---------------------------------------------------------------

_NEW_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWCGROUP
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
)
#: CLONE_NEWTIME, where unshare(2) has it; for clone(2) it is a signal's.
_NEW_TIME = 0x00000080
#: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Others lead out of the network
#: namespace (vsock) or to seldom used parts of the kernel.
_FAMILIES = (1, 2, 10, 16)
#: TIOCSTI and TIOCLINUX write to terminals of others.
_TERMINAL_IOCTLS = (0x5412, 0x541C)
#: LOOP_CLR_FD and its kind need no right but an open device.
_LOOP_IOCTLS = (0xFF00, 0x4C00)

# -- the classic BPF ---------------------------------------------------------

_LOAD = 0x20
_AND = 0x54
_EQUAL = 0x15
_AT_LEAST = 0x35
_SET = 0x45
_RETURN = 0x06

_KILL = 0x80000000
_ERRNO = 0x00050000
_ALLOW = 0x7FFF0000

#: Offsets in struct seccomp_data; both machines are little endian.
_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = (16, 24)

_ARCHITECTURES = {'x86_64': 0xC000003E, 'aarch64': 0xC00000B7}
_I386 = 0x40000003
#: Machines that there are numbers for.
MACHINES = tuple(_ARCHITECTURES)


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack('=HBBI', code, yes, no, value)


def _unless(test: int, value: int, action: int) -> bytes:
    """Return an action when a test holds, else go on."""
    return _instruction(test, value, 0, 1) + _instruction(_RETURN, action)


def _calls(numbers: Iterable[_Numbers], column: int) -> Iterator[int]:
    for row in numbers:
        number = row[column]
        if number is not None:
            yield number


def _when(number: int, checks: bytes) -> bytes:
    """Checks for one system call, after which it is allowed."""
    body = checks + _instruction(_RETURN, _ALLOW)
    return _instruction(_EQUAL, number, 0, len(body) // 8) + body


def _section(column: int) -> bytes:
    """The checks of one architecture; the last instruction allows."""
    refused = _ERRNO | errno.EPERM
    missing = _ERRNO | errno.ENOSYS
    parts = [_instruction(_LOAD, _NUMBER)]
    if column == 0:
        parts.append(_unless(_AT_LEAST, _X32, missing))
    parts.append(_unless(_AT_LEAST, _LAST + 1, missing))
    parts.extend(
        _unless(_EQUAL, number, refused)
        for number in _calls(_REFUSED.values(), column)
    )
    parts.extend(
        _unless(_EQUAL, number, missing)
        for number in _calls(_MISSING.values(), column)
    )
    for row, checks in (
        (_CLONE, _flags(_NEW_NAMESPACES, refused)),
        (_UNSHARE, _flags(_NEW_NAMESPACES | _NEW_TIME, refused)),
        (_SOCKET, _families()),
        (_IOCTL, _ioctls(refused)),
    ):
        number = row[column]
        assert number is not None  # noqa: S101
        parts.append(_when(number, checks))
    parts.append(_instruction(_RETURN, _ALLOW))
    return b''.join(parts)


def _flags(flags: int, action: int) -> bytes:
    return _instruction(_LOAD, _ARGUMENTS[0]) + _unless(_SET, flags, action)


def _families() -> bytes:
    allowed = b''.join(_unless(_EQUAL, family, _ALLOW) for family in _FAMILIES)
    return (
        _instruction(_LOAD, _ARGUMENTS[0])
        + allowed
        + _instruction(_RETURN, _ERRNO | errno.EAFNOSUPPORT)
    )


def _ioctls(action: int) -> bytes:
    mask, loop = _LOOP_IOCTLS
    return (
        _instruction(_LOAD, _ARGUMENTS[1])
        + b''.join(
            _unless(_EQUAL, number, action) for number in _TERMINAL_IOCTLS
        )
        + _instruction(_AND, mask)
        + _unless(_EQUAL, loop, action)
    )


def build(machine: str) -> bytes:
    """The filter for this machine's programs.

    :param machine: ``x86_64`` or ``aarch64``.
    :returns: a program for :func:`syscalls.set_seccomp_filter`.
    """
    sections = [(_ARCHITECTURES[machine], 0 if machine == 'x86_64' else 2)]
    if machine == 'x86_64':
        sections.append((_I386, 1))
    parts = [_instruction(_LOAD, _ARCHITECTURE)]
    for architecture, column in sections:
        body = _section(column)
        # Conditional jumps reach 255 instructions only.
        parts.append(_instruction(_EQUAL, architecture, 1, 0))
        parts.append(_instruction(0x05, len(body) // 8))
        parts.append(body)
    parts.append(_instruction(_RETURN, _KILL))
    return b''.join(parts)
