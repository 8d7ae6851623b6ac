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
"""How large the appliance is, and on what it runs."""

from __future__ import annotations

import dataclasses
import os
from typing import Literal

Accelerator = Literal['auto', 'kvm', 'tcg']

_MIB = 1024 * 1024


def default_memory() -> int:
    """MiB of memory that suit this host.

    A package manager's solver and a compressor want 1 to 2 GiB; a quarter
    of the host is the most that one build may take.

    :returns: MiB, between 768 and 2048.
    """
    host = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // _MIB
    return max(768, min(2048, host // 4))


def default_cpus() -> int:
    """Number of virtual CPUs that suit this host: its own, at most 4.

    More than four brought nothing to package installation, and several
    builds run side by side on one host.
    """
    return max(1, min(4, len(os.sched_getaffinity(0))))


@dataclasses.dataclass(frozen=True)
class ApplianceSettings:
    """Settings of one appliance.

    :ivar memory: MiB.
    :ivar cpus: virtual CPUs.
    :ivar accelerator: ``auto`` probes KVM once per boot of the host and
        falls back to emulation (``tcg``) where guests do not run on it.
    :ivar network: whether commands in the guest reach the network.
    :ivar allow_host_network: whether they also reach the addresses of this
        host, its loopback and link-local metadata services included.
    :ivar launch_timeout: seconds after which a start that made no progress
        is given up; emulation takes 7 to 20 s.
    """

    memory: int = dataclasses.field(default_factory=default_memory)
    cpus: int = dataclasses.field(default_factory=default_cpus)
    accelerator: Accelerator = 'auto'
    network: bool = True
    allow_host_network: bool = False
    launch_timeout: float = 180.0
