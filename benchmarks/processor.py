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
"""Processor time of programs.

Other work on the machine makes requests slower; it hardly changes how much
processor time they take.
"""

from __future__ import annotations

import os
import pathlib

from tools.cloud import cloud_site
from tools.cloud.servers import proc

_TICK = os.sysconf('SC_CLK_TCK')


class Meter:
    """Of one program, and of all together.

    :param name: of the program.
    """

    def __init__(self, site: cloud_site.Site, name: str) -> None:
        records = site.state.section('processes')
        self._families = {
            each: proc.family(record) for each, record in records.items()
        }
        self._name = name

    def read(self) -> tuple[float, float]:
        """Seconds so far: of the program, of all."""
        found = {
            name: sum(times(pid)[0] for pid in family)
            for name, family in self._families.items()
        }
        return found[self._name], sum(found.values())

    def since(self, before: tuple[float, float]) -> tuple[float, float]:
        """Seconds since an earlier reading."""
        now = self.read()
        return now[0] - before[0], now[1] - before[1]


def times(pid: int) -> tuple[float, float]:
    """Seconds of a process, and of its children that have ended.

    Nothing of a process that is not there.
    """
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return 0.0, 0.0
    # The name, in brackets, may hold anything.
    fields = [int(each) for each in text.rpartition(')')[2].split()[11:15]]
    return (fields[0] + fields[1]) / _TICK, (fields[2] + fields[3]) / _TICK
