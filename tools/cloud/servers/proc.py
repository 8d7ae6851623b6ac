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
"""Processes as the kernel shows them."""

import contextlib
import os
import pathlib
import signal
from collections.abc import Mapping
from typing import Any

_PROC = pathlib.Path('/proc')


def identity(pid: int) -> dict[str, Any]:
    """What distinguishes this process from a later one with the same id."""
    return {'pid': pid, 'start_time': _stat(pid)[1], 'boot': boot_id()}


def is_same(record: Mapping[str, Any]) -> bool:
    """Whether the process of identity() is there and has not ended."""
    state, start_time, *_ = _stat(record['pid'])
    return (
        record['boot'] == boot_id()
        and state not in ('Z', 'X', '')
        and start_time == record['start_time']
    )


def family(record: Mapping[str, Any]) -> list[int]:
    """A recorded process, its group and its descendants.

    The group is found when the process itself has gone, the descendants (some
    lead groups of their own, as PostgreSQL's do) as long as it is there.
    """
    leader = record['pid']
    if record['boot'] != boot_id():
        return []
    if _stat(leader)[1] not in (record['start_time'], 0):
        # An id is not given away while it names a group, so the group that
        # was meant is empty.
        return []
    parents: dict[int, int] = {}
    members = set()
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            state, _, group, parent = _stat(int(entry.name))
            if state in ('Z', 'X', ''):
                continue
            parents[int(entry.name)] = parent
            if group == leader:
                members.add(int(entry.name))
    while (
        found := {p for p, parent in parents.items() if parent in members}
        - members
    ):
        members |= found
    return sorted(members)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has gone is not an error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def mentions(pid: int, directory: pathlib.Path) -> bool:
    """Whether a directory is on the command line of a process."""
    try:
        return bytes(directory) in (_PROC / str(pid) / 'cmdline').read_bytes()
    except OSError:
        return False


def boot_id() -> str:
    """This boot of the machine: process ids of another mean nothing."""
    return (_PROC / 'sys/kernel/random/boot_id').read_text().strip()


def _stat(pid: int) -> tuple[str, int, int, int]:
    """State, start time in ticks since boot, process group, parent."""
    try:
        text = (_PROC / str(pid) / 'stat').read_text()
    except (OSError, ValueError):
        return '', 0, 0, 0
    # The name, in brackets, may hold anything.
    fields = text.rpartition(')')[2].split()
    return fields[0], int(fields[19]), int(fields[2]), int(fields[1])
