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
"""What is expected of an image that boots."""

from __future__ import annotations

import dataclasses

from imagebuild.common import boot_tests


@dataclasses.dataclass(frozen=True)
class Expectations:
    """What must hold before the time is up.

    All but the first are asked inside the machine, by a script that
    cloud-init gets from a NoCloud disk: the image must have cloud-init.

    :ivar console: texts that the serial console must have shown.
    :ivar cloud_init: cloud-init must have ended without an error.
    :ivar systemd: every unit must have started; systemd calls a machine where
        one failed "degraded".
    :ivar ports: TCP ports that something must listen on.
    :ivar commands: shell commands that must exit with 0.
    """

    console: tuple[str, ...] = ()
    cloud_init: bool = False
    systemd: bool = False
    ports: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def asks_inside(self) -> bool:
        """Whether anything is asked inside the machine."""
        return bool(
            self.cloud_init or self.systemd or self.ports or self.commands
        )

    def or_login(self) -> Expectations:
        """The same; a login prompt where nothing is expected."""
        if self.console or self.asks_inside:
            return self
        return dataclasses.replace(self, console=(boot_tests.LOGIN,))


@dataclasses.dataclass(frozen=True)
class Finding:
    """Whether one of them holds.

    :ivar what: what was expected, for people: ``port 22``.
    :ivar holds: whether it does.
    :ivar message: what was found in its place; '' when it holds.
    :ivar seconds: after the start of the machine.
    """

    what: str
    holds: bool
    message: str = ''
    seconds: float = 0.0
