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
"""Whether this host can boot images."""

from __future__ import annotations

import shutil

from imagebuild import exception
from imagebuild.boot import firmware
from imagebuild.boot import machine

#: Program -> what to install.
_PROGRAMS = {
    'prlimit': 'prlimit (util-linux)',
    'setpriv': 'setpriv (util-linux)',
    'unshare': 'unshare (util-linux)',
}


def missing(wanted: firmware.Firmware) -> list[str]:
    """What this host lacks to boot an image.

    Quick, and starts nothing.

    :param wanted: what starts the machine.
    :returns: plain phrases; empty where nothing is missing.
    """
    try:
        program = machine.program()
        firmware.find(wanted)
    except exception.MissingDependency as error:
        return [str(error).rstrip('.')]
    programs = {program: f'{program} (qemu-system-x86)', **_PROGRAMS}
    return [
        f'{what} is not installed'
        for name, what in programs.items()
        if shutil.which(name) is None
    ]
