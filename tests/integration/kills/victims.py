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
"""Which processes a build has, and which of them are killed."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence

from imagebuild.boot import machine
from tests.integration.kills import traces

#: What is killed -> the processes, in this order.
VICTIMS = {
    'job': ('job',),
    'conductor': ('conductor',),
    'conductor, job': ('conductor', 'job'),
    'watch': ('watch',),
    'supervisor': ('supervisor',),
    'job, watch, supervisor': ('watch', 'job', 'supervisor'),
    'storage daemon': ('storage daemon',),
    'its keeper': ('keeper of storage daemon',),
    'nbdfuse': ('nbdfuse',),
    "nbdfuse's keeper": ('keeper of nbdfuse',),
    'slirp4netns': ('slirp4netns',),
    'command': ('command',),
    'qemu-img': ('qemu-img',),
    'qemu': ('qemu',),
    "qemu's keeper": ('keeper of qemu',),
    'mirror proxy': ('mirror proxy',),
}
_PROGRAMS = {
    'qemu-storage-daemon': 'storage daemon',
    'nbdfuse': 'nbdfuse',
    'slirp4netns': 'slirp4netns',
    'qemu-img': 'qemu-img',
}


def find(job: int, conductor: int = 0) -> dict[str, int]:
    """The processes of a build by what they are.

    :param job: or imagebuild-pack.
    """
    found = {'job': job}
    if conductor:
        found['conductor'] = conductor
    todo = [(pid, 'job') for pid in traces.children(job)]
    while todo:
        pid, parent = todo.pop()
        kind = _kind(traces.command_line(pid), parent)
        if kind:
            found.setdefault(kind, pid)
        todo += [(child, kind) for child in traces.children(pid)]
    return found


def _kind(line: Sequence[str], parent: str) -> str:
    if not line:
        return ''
    program = os.path.basename(line[0])
    text = ' '.join(line)
    if 'keeper.py' in text:
        for name, kind in {**_PROGRAMS, machine.program(): 'qemu'}.items():
            if name in line:
                return f'keeper of {kind}'
        return ''
    if 'mirror_proxy.py' in text and program.startswith('python'):
        return 'mirror proxy'
    if program in _PROGRAMS:
        return _PROGRAMS[program]
    if program.startswith('qemu-system'):
        return 'qemu'
    if 'imagebuild.sandbox import supervisor' in text:
        # Each is a fork of the one above it.
        order = {'job': 'watch', 'watch': 'supervisor'}
        return order.get(parent, 'outside of the command')
    if parent == 'outside of the command':
        return 'command'
    return ''


def kill(
    victim: str, job: int, conductor: int = 0, *, seconds: float = 60.0
) -> dict[int, int]:
    """Kill what is meant as soon as it is there.

    :param seconds: that it may take to be there.
    :returns: what ran before, with times of start; {} when there was no
        victim.
    """
    end = time.monotonic() + seconds
    while True:
        found = find(job, conductor)
        wanted = [found[name] for name in VICTIMS[victim] if name in found]
        if len(wanted) == len(VICTIMS[victim]):
            break
        if time.monotonic() > end or traces.start_time(job) is None:
            return {}
        time.sleep(0.001)
    # A job may have ended by itself by now, its conductor has not.
    killed = {pid: traces.start_time(pid) or 0 for pid in wanted}
    # What ends soon is killed first, and looked at afterwards.
    known = {} if victim == 'qemu-img' else traces.below(job)
    for pid in wanted:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return {**(known or traces.below(job)), **killed}
