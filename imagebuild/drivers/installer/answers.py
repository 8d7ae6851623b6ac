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
"""What answers an installer: its files, and the arguments of its kernel."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.boot import mirror_network
from imagebuild.drivers.installer import options
from imagebuild.drivers.installer import settings

#: Control characters, and what ends a line for some reader.
_BREAKS = re.compile(r'[\x00-\x1f\x7f\x85\u2028\u2029]')
CONSOLE = 'console=ttyS0,115200n8'


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be installed, by what.

    :ivar word: begins the lines of the script at the end.
    """

    options: options.InstallerOptions
    installer: settings.Installer
    word: str

    @property
    def proxy(self) -> str:
        """What mirrors are reached by; '' without a network."""
        return mirror_network.PROXY if self.installer.mirror else ''

    @property
    def mirror(self) -> urllib.parse.SplitResult:
        """The mirror's URL; empty without a network."""
        return urllib.parse.urlsplit(self.installer.mirror)


@dataclasses.dataclass(frozen=True)
class Answers:
    """What an installer is given.

    :ivar arguments: of its kernel.
    :ivar in_initrd: files for the root of its initrd.
    :ivar on_disk: files of a small disk.
    :ivar label: of that disk.
    """

    arguments: Sequence[str]
    in_initrd: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    on_disk: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    label: str = ''


def one_line(text: str) -> str:
    """A value that cannot begin another line, whatever reads it.

    The options allow no such value; this is for those of tomorrow.

    :raises ValueError: it could.
    """
    if _BREAKS.search(text) or text.endswith('\\'):
        raise ValueError(f'{text!r} is not one line')
    return text
