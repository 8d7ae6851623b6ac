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
"""What a boot test sees of a machine, whoever runs it."""

from __future__ import annotations

from typing import Protocol


class Running(Protocol):
    """A machine that boots an image.

    :ivar lag: seconds by which its console may be late.
    """

    lag: float

    def read(self, timeout: float) -> bytes | None:
        """What it writes to its console.

        :param timeout: seconds to wait for it.
        :returns: b'' when it wrote nothing in that time, None when it is off.
        :raises EnvironmentFault: the machine failed, or whoever runs it.
        """

    def check(self) -> None:
        """Look how it ended, after :meth:`read` has returned None.

        :raises EnvironmentFault: it failed; that it is off is no failure.
        """
