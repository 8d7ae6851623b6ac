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
"""The loop devices of sandboxes, by the names that only root is told."""

import contextlib
import fcntl
import pathlib

_GET_STATUS64 = 0x4C05
#: Of struct loop_info64, and of its lo_file_name.
_SIZE, _NAME, _LENGTH = 232, 56, 64


def below(directory: pathlib.Path) -> list[str]:
    """Devices of disks below a directory.

    /sys shows no path of theirs (imagebuild.sandbox.loop_devices).
    """
    return [
        f'{device} of {name}'
        for device, name in _names().items()
        if _is_end_of_path_below(name, f'{directory}/')
    ]


def _names() -> dict[str, str]:
    found = {}
    for path in pathlib.Path('/sys/block').glob('loop*/loop/backing_file'):
        device = f'/dev/{path.parent.parent.name}'
        status = bytearray(_SIZE)
        with contextlib.suppress(OSError), open(device, 'rb') as file:
            fcntl.ioctl(file, _GET_STATUS64, status)
            name = bytes(status[_NAME : _NAME + _LENGTH]).partition(b'\0')[0]
            found[device] = name.decode('utf-8', 'replace')
    return found


def _is_end_of_path_below(name: str, directory: str) -> bool:
    return any(
        name.startswith(directory[start:])
        for start in range(len(directory) - 1)
    )
