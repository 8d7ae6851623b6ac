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
"""How a guest is opened, in whatever isolation."""

from __future__ import annotations

import dataclasses

from imagebuild import appliance as appliances


@dataclasses.dataclass(frozen=True)
class GuestSettings:
    """How a guest is opened and how long things may take.

    :ivar appliance: settings of its appliance.
    :ivar root_filesystem: device of the operating system that is meant,
        None to find the only one.
    :ivar command_timeout: seconds for one command that names no limit.
    :ivar run_timeout: seconds from the start until everything must be done,
        None for no limit.
    """

    appliance: appliances.ApplianceSettings = dataclasses.field(
        default_factory=appliances.ApplianceSettings
    )
    root_filesystem: str | None = None
    command_timeout: float = 1800.0
    run_timeout: float | None = None
