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
"""What starts a machine before its disk does."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence
from typing import Literal

from imagebuild import exception

Firmware = Literal['bios', 'uefi']

#: Code and variables, as distributions name them (OVMF of EDK II).
_UEFI = (
    # Debian and Ubuntu
    ('/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'),
    ('/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'),
    # The Red Hat family
    (
        '/usr/share/edk2/ovmf/OVMF_CODE.fd',
        '/usr/share/edk2/ovmf/OVMF_VARS.fd',
    ),
    # SUSE
    (
        '/usr/share/qemu/ovmf-x86_64-code.bin',
        '/usr/share/qemu/ovmf-x86_64-vars.bin',
    ),
)


def options(
    firmware: Firmware,
    directory: pathlib.Path,
    known: Sequence[tuple[str, str]] = _UEFI,
) -> list[str]:
    """QEMU's options.

    :param directory: for the variables, which the machine may change.
    :raises MissingDependency: this host has none for UEFI.
    """
    found = find(firmware, known)
    if found is None:
        return []
    code, variables = found
    shutil.copyfile(variables, directory / 'variables.fd')
    common = 'if=pflash,format=raw'
    return [
        '-drive', f'{common},unit=0,readonly=on,file={code}',
        '-drive', f'{common},unit=1,file=variables.fd',
    ]  # fmt: skip


def find(
    firmware: Firmware, known: Sequence[tuple[str, str]] = _UEFI
) -> tuple[str, str] | None:
    """The files of a firmware: its code, and its variables.

    :returns: None for one that QEMU brings along.
    :raises MissingDependency: this host has none.
    """
    if firmware == 'bios':
        return None
    for code, variables in known:
        if pathlib.Path(code).exists() and pathlib.Path(variables).exists():
            return code, variables
    raise exception.MissingDependency(
        what='The firmware for UEFI',
        remedy='install ovmf (Debian) or edk2-ovmf (Red Hat), or boot with '
        'BIOS',
    )
