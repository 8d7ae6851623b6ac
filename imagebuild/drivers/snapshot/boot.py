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
"""A server that boots the image of a build: its boot test.

Nova shows the end of a console, and only on request. What is new in it is what
comes after what was seen before; control characters are left out by Nova, and
so are the first bytes of what drives a terminal, but not the rest.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import re
import time
from collections.abc import Callable

from imagebuild import exception
from imagebuild.drivers import base
from imagebuild.drivers.snapshot import resource
from imagebuild.drivers.snapshot import server as servers
from imagebuild.drivers.snapshot import user_data

#: Lines that are asked for, and characters of them that are looked at.
_LINES = 10_000
_LARGEST = 256 * 1024
#: While one of these lasts the system in it goes on.
_RUNS = ('ACTIVE', 'REBOOT', 'MIGRATING', 'PASSWORD')
# Colours, cursor movements and modes (ECMA-48), with their ESC or without.
_REST = re.compile(
    r'\x1b\[[0-9;?]*[A-Za-z]'
    r'|\[(?:\?[0-9]+[hl]|[0-9;]+[mJKH]|[mJKH](?![A-Za-z0-9]))'
)
_UNFINISHED = re.compile(r'(?:\x1b\[?|\[)[0-9;?]{0,16}\Z')
_NOTHING = '#cloud-config\n{}\n'
#: What stands for bytes that were cut off, at an end.
_HALF = '\N{REPLACEMENT CHARACTER}'


class Booted:
    """A server that boots an image; see :class:`running.Running`.

    :param server: which has been started.
    :param interval: seconds between two looks.
    """

    def __init__(
        self,
        server: servers.Server,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lag = interval
        self._server = server
        self._clock = clock
        self._sleep = sleep
        self._next = clock()
        self._is_off = False
        self._console = Console()

    def read(self, timeout: float) -> bytes | None:
        """What is new on its console; None when it is off.

        :raises ServerFailed: it is in error, is gone, or was stopped in a way
            that its system has no part in.
        """
        if self._is_off:
            return None
        wait = self._next - self._clock()
        if wait > 0:
            self._sleep(min(wait, max(timeout, 0.0)))
            if wait > timeout:
                return b''
        text = self._server.console(_LINES)
        status = self._server.look().get('status')
        self._is_off = status == servers.OFF
        if not self._is_off and status not in _RUNS:
            raise resource.ServerFailed(
                reason=f'The server that boots the image is {status}, which '
                'it does not become by itself.'
            )
        self._next = self._clock() + self.lag
        # There is none of a server that is off.
        return self._console.new(text or '')

    def check(self) -> None:
        """See :meth:`running.Running.check`: it would be in error."""


class Console:
    """Finds what is new in a console of which the end is shown."""

    def __init__(self) -> None:
        self._seen = ''

    def new(self, text: str) -> bytes:
        """What has come since the last time.

        :param text: its end now; '' where nothing is shown.
        """
        text = text.strip(_HALF)[-_LARGEST:]
        if not text:
            return b''
        text = _REST.sub('', _UNFINISHED.sub('', text))
        if self._seen and not text.startswith(self._seen):
            # It begins later now, in the middle of a line.
            text = text.partition('\n')[2] or text
        known = overlap(self._seen, text)
        self._seen = text
        return text[known:].encode('utf-8', 'replace')


def overlap(before: str, now: str) -> int:
    """How much of the beginning of a text is the end of the one before.

    Its time is that of both lengths, whatever a guest prints.
    """
    if now.startswith(before):
        return len(before)
    if not now:
        return 0
    # Knuth, Morris and Pratt: where to go on when a character does not fit.
    back = [0] * len(now)
    fits = 0
    for place in range(1, len(now)):
        while fits and now[place] != now[fits]:
            fits = back[fits - 1]
        fits += now[place] == now[fits]
        back[place] = fits
    fits = 0
    for character in before:
        if fits == len(now):
            fits = back[fits - 1]
        while fits and character != now[fits]:
            fits = back[fits - 1]
        fits += character == now[fits]
    return fits


def context_of(
    context: base.BuildContext, made: base.Artifact
) -> base.BuildContext:
    """What a server is made with that boots what was made.

    :param context: of the build.
    :raises InvalidInput: a file was made.
    """
    if not isinstance(made, base.ImageArtifact):
        raise exception.InvalidInput('A server is made of an image.')
    image = base.BaseImage(kind='glance', id=made.image_id)
    return dataclasses.replace(context, base_image=image)


def packed(text: str) -> str:
    """User data as Nova takes them.

    :param text: '' for what asks for nothing.
    :returns: base64.
    :raises InvalidInput: they are longer than Nova takes.
    """
    content = gzip.compress((text or _NOTHING).encode(), mtime=0)
    encoded = base64.b64encode(content).decode()
    if len(encoded) > user_data.LARGEST:
        raise exception.InvalidInput(
            f'The commands of the boot test take {len(encoded)} characters '
            f'of user data, and Nova takes {user_data.LARGEST}: make them '
            'shorter.'
        )
    return encoded
