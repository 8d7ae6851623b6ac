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
"""What an attempt has made in a cloud: server, volume, floating address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic
from typing import TypeVar

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import retries
from imagebuild.common import control_characters
from imagebuild.drivers.snapshot import settings

T = TypeVar('T')
C = TypeVar('C')

#: Characters of what a service says of a fault.
_LONGEST = 400


class ServerFailed(exception.EnvironmentFault):
    """The cloud did not do with the server what it was asked for."""

    msg_fmt = '%(reason)s'


class Resource(Generic[C]):
    """One thing, which has the stamp of the attempt.

    :param client: of the service that has it.
    :param limits: seconds for everything that is waited for.
    :param retry_timeout: seconds for which a service may be away.
    :ivar id: of the thing.
    """

    def __init__(
        self,
        client: C,
        resource_id: str,
        stamp: artifacts.AttemptStamp,
        limits: settings.SnapshotSettings,
        retry_timeout: float,
    ) -> None:
        self.id = resource_id
        self._client = client
        self._stamp = stamp
        self._limits = limits
        self._retry_timeout = retry_timeout

    def retried(self, call: Callable[[], T]) -> T:
        """Ask until the service is there."""
        return retries.retry_while_unavailable(
            call, timeout=self._retry_timeout
        )


def shown(said: object) -> str:
    """What a service says of a fault, for people."""
    return control_characters.escaped(str(said or ''))[:_LONGEST].strip(' .')
