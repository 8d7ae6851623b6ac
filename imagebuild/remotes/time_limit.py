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
"""The time limit of a command in a guest: this host's clock decides.

The clock of an emulated guest was seen to jump by half an hour, and whatever
runs in a guest may set it. So nothing in the guest counts seconds: when this
host's monotonic clock reaches it, the command's token is written to a port of
the appliance, and the wrapper (:mod:`guest_wrapper`), which waits there, stops
the command. A guest that does not obey is ended with its appliance.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from imagebuild.remotes import output_channel


class TimeLimit:
    """The limit of one command, which starts now.

    :param channel: where to send that the time is up.
    :param token: the command's.
    :param seconds: how long the command may run.
    :param clock: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        channel: output_channel.OutputChannel,
        token: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._token = token
        self._clock = clock
        self._end = clock() + seconds
        #: Whether the command was told to stop.
        self.reached = False

    def check(self) -> None:
        """Stop the command if its time is up; to be called often."""
        if not self.reached and self._clock() >= self._end:
            # Once: the port keeps it until the wrapper reads it.
            self.reached = True
            self._channel.stop(self._token)
