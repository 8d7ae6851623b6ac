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
"""The filter for system calls, run as the kernel runs it."""

import errno
import struct

import pytest

from imagebuild.sandbox import seccomp

X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
ALLOWED = 'allowed'
KILLED = 'killed'
EPERM, ENOSYS = errno.EPERM, errno.ENOSYS


def run(machine, architecture, number, *arguments):
    """What the kernel would do: an errno, ALLOWED or KILLED."""
    program = seccomp.build(machine)
    values = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack('=iIQ6Q', number, architecture, 0, *values)
    at = accumulator = 0
    while True:
        code, yes, no, value = struct.unpack_from('=HBBI', program, at * 8)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from('=I', data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x45:
                at += yes if accumulator & value else no
            case 0x06:
                action = value & 0xFFFF0000
                if action == 0x00050000:
                    return value & 0xFFFF
                return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}[action]
            case _:
                raise AssertionError(hex(code))


@pytest.mark.parametrize(
    'call, x86_64, i386, aarch64, expected',
    [
        ('read', 0, 3, 63, ALLOWED),
        ('execve', 59, 11, 221, ALLOWED),
        ('chroot', 161, 61, 51, ALLOWED),
        ('ptrace', 101, 26, 117, ALLOWED),
        ('memfd_create', 319, 356, 279, ALLOWED),
        ('mount', 165, 21, 40, EPERM),
        ('umount2', 166, 52, 39, EPERM),
        ('pivot_root', 155, 217, 41, EPERM),
        ('setns', 308, 346, 268, EPERM),
        ('bpf', 321, 357, 280, EPERM),
        ('keyctl', 250, 288, 219, EPERM),
        ('add_key', 248, 286, 217, EPERM),
        ('request_key', 249, 287, 218, EPERM),
        ('perf_event_open', 298, 336, 241, EPERM),
        ('init_module', 175, 128, 105, EPERM),
        ('finit_module', 313, 350, 273, EPERM),
        ('delete_module', 176, 129, 106, EPERM),
        ('kexec_load', 246, 283, 104, EPERM),
        ('reboot', 169, 88, 142, EPERM),
        ('open_by_handle_at', 304, 342, 265, EPERM),
        ('userfaultfd', 323, 374, 282, EPERM),
        ('swapon', 167, 87, 224, EPERM),
        ('swapoff', 168, 115, 225, EPERM),
        ('fsopen', 430, 430, 430, EPERM),
        ('clone3', 435, 435, 435, ENOSYS),
        ('io_uring_setup', 425, 425, 425, ENOSYS),
        ('one that is not there yet', 600, 600, 600, ENOSYS),
        ('a negative number', -1, -1, -1, ENOSYS),
    ],
)
def test_calls(call, x86_64, i386, aarch64, expected):
    assert run('x86_64', X86_64, x86_64) == expected
    assert run('x86_64', I386, i386) == expected
    assert run('aarch64', AARCH64, aarch64) == expected


#: Every number that is refused whatever its arguments are, and nothing else:
#: what leaves or joins this list is a decision. From Linux' own headers.
REFUSED = {
    ('x86_64', X86_64): {
        103,
        134,
        136,
        139,
        153,
        155,
        156,
        163,
        164,
        165,
        166,
        167,
        168,
        169,
        170,
        171,
        172,
        173,
        174,
        175,
        176,
        177,
        178,
        179,
        180,
        212,
        227,
        246,
        248,
        249,
        250,
        256,
        279,
        298,
        300,
        304,
        308,
        312,
        313,
        320,
        321,
        323,
        428,
        429,
        430,
        431,
        432,
        433,
        438,
        442,
        443,
        467,
    },  # fmt: skip
    ('x86_64', I386): {
        21,
        22,
        25,
        51,
        52,
        62,
        74,
        79,
        86,
        87,
        88,
        101,
        103,
        110,
        111,
        113,
        115,
        121,
        127,
        128,
        129,
        130,
        131,
        135,
        149,
        166,
        167,
        169,
        217,
        253,
        264,
        283,
        286,
        287,
        288,
        294,
        317,
        336,
        338,
        342,
        346,
        349,
        350,
        357,
        374,
        404,
        428,
        429,
        430,
        431,
        432,
        433,
        438,
        442,
        443,
        467,
    },  # fmt: skip
    ('aarch64', AARCH64): {
        18,
        39,
        40,
        41,
        42,
        58,
        60,
        89,
        104,
        105,
        106,
        112,
        116,
        142,
        161,
        162,
        170,
        217,
        218,
        219,
        224,
        225,
        238,
        239,
        241,
        262,
        265,
        268,
        272,
        273,
        280,
        282,
        294,
        428,
        429,
        430,
        431,
        432,
        433,
        438,
        442,
        443,
        467,
    },  # fmt: skip
}


@pytest.mark.parametrize('machine, architecture', REFUSED)
def test_nothing_else_is_refused(machine, architecture):
    refused = {
        number
        for number in range(600)
        if run(machine, architecture, number) == EPERM
    }
    assert refused == REFUSED[machine, architecture]


@pytest.mark.parametrize(
    'machine, architecture, clone, unshare, socket, ioctl',
    [
        ('x86_64', X86_64, 56, 272, 41, 16),
        ('x86_64', I386, 120, 310, 359, 54),
        ('aarch64', AARCH64, 220, 97, 198, 29),
    ],
)
def test_arguments(machine, architecture, clone, unshare, socket, ioctl):
    def does(number, *arguments):
        return run(machine, architecture, number, *arguments)

    # As fork, posix_spawn and pthread_create call it.
    for flags in (0x01200011, 0x4111, 0x3D0F00):
        assert does(clone, flags) == ALLOWED
    for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000):
        assert does(clone, flag | 17) == EPERM
        assert does(unshare, flag) == EPERM
    # What the kernel does not look at is not looked at here.
    assert does(clone, 17 | 1 << 40) == ALLOWED
    assert does(unshare, 0x80) == EPERM
    assert does(unshare, 0x200) == ALLOWED
    for family in (1, 2, 10, 16):
        assert does(socket, family) == ALLOWED
    for family in (0, 17, 38, 40):
        assert does(socket, family) == errno.EAFNOSUPPORT
    assert does(ioctl, 1, 0x5401) == ALLOWED
    for request in (0x5412, 0x541C, 0x4C01, 0x4C06):
        assert does(ioctl, 1, request) == EPERM


def test_other_ways_to_the_same_calls():
    assert run('x86_64', X86_64, 0x40000000 + 39) == ENOSYS
    assert run('x86_64', I386, 102, 1) == ENOSYS
    assert run('x86_64', ARM, 1) == KILLED
    assert run('aarch64', ARM, 1) == KILLED
    assert run('aarch64', X86_64, 1) == KILLED


@pytest.mark.parametrize('machine', seccomp.MACHINES)
def test_the_kernel_takes_it(machine):
    assert len(seccomp.build(machine)) // 8 < 4096
