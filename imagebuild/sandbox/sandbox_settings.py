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
"""What is asked of a sandbox, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class SandboxSettings:
    """Limits of everything that commands run, and their network.

    :ivar memory: MiB that all processes of a command may use together.
    :ivar cpus: processors that they may keep busy, None for all of them.
    :ivar processes: how many there may be at the same time.
    :ivar network: whether they have one.
    :ivar allow_host_network: whether it leads to this host, its loopback
        and the metadata service of its cloud, too.
    """

    memory: int = 2048
    cpus: int | None = None
    processes: int = 4096
    network: bool = True
    allow_host_network: bool = False


@dataclasses.dataclass(frozen=True)
class Command:
    """One command in the guest.

    :ivar argv: the program, which is looked for on PATH of ``env``, and its
        arguments.
    :ivar env: all of its variables.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]


class Ending(NamedTuple):
    """How a command ended.

    :ivar code: its exit code, 0 to 255; 128 + n when signal n ended it.
    :ivar reason: why it was ended, when that was the sandbox: one sentence
        without a full stop, such as "it used more than 2048 MiB of memory".
    """

    code: int
    reason: str = ''
