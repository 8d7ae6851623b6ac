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
"""In what a guest is opened: the appliance, or the sandbox.

The appliance is a virtual machine. The sandbox is a set of namespaces of this
host: as fast as the host, but the host's own kernel reads the guest's file
systems. So it is for disks whose blocks somebody trusted wrote, and nothing
that a request says makes an isolation weaker than the operator's setting.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal

from imagebuild import exception
from imagebuild import layers
from imagebuild import sandbox
from imagebuild.common import own_files
from imagebuild.drivers import base
from imagebuild.drivers import option_schema

Isolation = Literal['appliance', 'sandbox']
#: What can be asked for; ``auto`` is the sandbox where that can be.
Setting = Literal['appliance', 'sandbox', 'auto']

SETTINGS: tuple[Setting, ...] = ('appliance', 'sandbox', 'auto')
#: The JSON schema of the driver option.
SCHEMA = option_schema.described(
    "In what the disk is opened; only stricter than the operator's setting.",
    {
        'enum': list(SETTINGS),
        'x-message': f'is none of {", ".join(SETTINGS)}',
    },
)


class SandboxNotGranted(exception.InvalidInput):
    """The sandbox was asked for where it is not given."""

    msg_fmt = 'The disk cannot be opened in the sandbox: %(reason)s.'


class NoSandbox(exception.EnvironmentFault):
    """This host cannot open disks in the sandbox."""

    msg_fmt = 'This host has no sandbox: %(reason)s.'


@dataclasses.dataclass(frozen=True)
class Choice:
    """In what a disk is opened.

    :ivar first: what is tried first.
    :ivar may_fall_back: a disk that is not for the sandbox is opened in the
        appliance.
    :ivar reason: why it is the appliance in place of the sandbox, when this
        host is why; '' else.
    """

    first: Isolation = 'appliance'
    may_fall_back: bool = False
    reason: str = ''

    @property
    def possible(self) -> tuple[Isolation, ...]:
        """In what it may come to be opened, the first choice first."""
        if self.may_fall_back and self.first != 'appliance':
            return (self.first, 'appliance')
        return (self.first,)

    def for_layers(self, session: layers.Session | None) -> Choice:
        """The same, where the disk is opened over layers.

        What was written in an appliance is opened in nothing else.
        """
        if session is not None and session.layers:
            for each in self.possible:
                if each == session.isolation:
                    return Choice(each)
        return self


def choose(
    setting: Setting,
    asked: Setting = 'auto',
    *,
    trusted: bool,
    missing: Callable[[], Sequence[str]] = lambda: sandbox.missing(),
) -> Choice:
    """Choose for one disk.

    :param setting: of the operator, or of who runs a local program.
    :param asked: within it, see :func:`narrowed`.
    :param trusted: whether somebody trusted wrote its blocks. Others go
        through the appliance, whatever was set or asked for.
    :param missing: gives why this host has no sandbox; called only when it
        matters.
    :raises SandboxNotGranted: less was asked for than is set.
    :raises NoSandbox: it was asked for, and this host has none.
    """
    if not trusted:
        return Choice()
    setting = narrowed(setting, asked)
    if setting == 'appliance':
        return Choice()
    lacking = '; '.join(missing())
    if setting == 'sandbox':
        if lacking:
            raise NoSandbox(reason=lacking)
        return Choice('sandbox')
    if lacking:
        return Choice(reason=lacking)
    return Choice('sandbox', may_fall_back=True)


def narrowed(setting: Setting, asked: Setting) -> Setting:
    """What holds when somebody asks for something within a setting.

    :param setting: of who decides.
    :param asked: by who may only make it stricter; ``auto`` for no matter.
    :raises SandboxNotGranted: it would be less strict.
    """
    if asked == 'auto' or setting == asked:
        return setting
    if asked == 'sandbox' and setting == 'appliance':
        raise SandboxNotGranted(
            reason='here disks are opened in the appliance only (ask for '
            'isolation "appliance" or leave it out)'
        )
    return asked


def is_trusted(image: base.BaseImage) -> bool:
    """Whether somebody trusted wrote the blocks of a base image.

    The operator's catalogue names images of trusted projects, public ones and
    those that are downloaded by their checksum; a driver that wants no base
    image makes one of packages. An image that a request names is anybody's,
    also when it is one of the former. So is a file that others than the
    operator could write to: it is used where it lies, so what its checksum
    says holds for no longer than it takes to say it.

    :param image: as it was resolved.
    """
    if image.kind == 'none':
        return True
    if not image.os:
        return False
    if image.kind == 'path':
        return own_files.is_own(pathlib.Path(image.location))
    return True


def refuse_sandbox(image: base.BaseImage, asked: Setting) -> None:
    """Refuse an explicit wish for the sandbox that a base image rules out.

    :raises SandboxNotGranted: it does.
    """
    if asked == 'sandbox' and not is_trusted(image):
        raise SandboxNotGranted(
            reason='a base image that a request names, or that others can '
            'write to, is opened in the appliance'
        )
