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
"""What an appliance leaves behind when its program is killed."""

from __future__ import annotations

import pathlib
import re


def socket_directories(pid: int) -> list[pathlib.Path]:
    """Where libguestfs put its sockets, read off qemu's command line.

    :param pid: of the appliance's qemu.
    """
    line = pathlib.Path('/proc', str(pid), 'cmdline').read_bytes()
    found = re.findall(rb'path=(/[^,\0]*/libguestfs\w+)/', line)
    return [pathlib.Path(path.decode()) for path in dict.fromkeys(found)]
