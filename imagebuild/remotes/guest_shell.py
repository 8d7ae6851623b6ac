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
"""Whether the guest's /bin/sh can run here, before anything is run."""

from __future__ import annotations

import platform

from imagebuild import exception
from imagebuild.remotes import guest_handle

#: The ELF header's number for each machine, and what people call it.
_MACHINES = {
    2: 'sparc',
    3: 'i386',
    8: 'mips',
    20: 'ppc',
    21: 'ppc64',
    22: 's390x',
    40: 'arm',
    62: 'x86_64',
    183: 'aarch64',
    243: 'riscv64',
    258: 'loongarch64',
}
#: What else a machine runs.
_RUNS = {
    'x86_64': {'x86_64', 'i386'},
    'i686': {'i386'},
    'aarch64': {'aarch64', 'arm'},
    'ppc64le': {'ppc64'},
}
_HEADER = 20
_BIG_ENDIAN = 2


def check(handle: guest_handle.GuestHandle, image: str) -> None:
    """Refuse a guest whose shell cannot be run.

    :param handle: of the guest, mounted.
    :param image: for the message.
    :raises InvalidImage: there is no shell, links to it never end, or it is
        for another architecture.
    """
    try:
        path = handle.realpath('/bin/sh')
        found = handle.is_file(path)
        header: bytes = handle.pread(path, _HEADER, 0) if found else b''
    except (RuntimeError, UnicodeDecodeError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise exception.InvalidImage(
            path=image, reason=f'its /bin/sh cannot be found ({reason})'
        ) from error
    if not found:
        raise exception.InvalidImage(
            path=image, reason='its /bin/sh is not a file'
        )
    needed, host = _machine(header), platform.machine()
    if needed and needed not in _RUNS.get(host, {host}):
        raise exception.InvalidImage(
            path=image,
            reason=f'it is for {needed}, and this host is {host}',
        )


def machine(handle: guest_handle.GuestHandle) -> str:
    """What a guest's shell is for, when :func:`check` had nothing against it.

    :returns: such as ``x86_64``; '' where it is a script.
    """
    return _machine(handle.pread(handle.realpath('/bin/sh'), _HEADER, 0))


def _machine(header: bytes) -> str:
    """The architecture of a program, '' where it is a script."""
    if not header.startswith(b'\x7fELF') or len(header) < _HEADER:
        return ''
    order = 'big' if header[5] == _BIG_ENDIAN else 'little'
    number = int.from_bytes(header[18:20], order)  # type: ignore[arg-type]
    return _MACHINES.get(number, f'the architecture {number} of ELF')
