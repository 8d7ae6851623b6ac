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
"""The supervisor: two processes of the host's root.

The one that the job starts waits. When the job is gone it ends the other one,
and when that has ended it removes what the kernel does not remove by itself.
The other is the first process of a pid namespace and does the work
(:mod:`service`); the kernel ends everything below it, however it ends.

Started by :mod:`control` without site-packages: the standard library and this
package have to do.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NoReturn

from imagebuild.sandbox import cgroups
from imagebuild.sandbox import identities
from imagebuild.sandbox import leftovers
from imagebuild.sandbox import protocol
from imagebuild.sandbox import service
from imagebuild.sandbox import syscalls

_UMASK = 0o022
#: Seconds for unmounting when there is no time for good order.
_UNMOUNT = 10.0


def main(argv: Sequence[str]) -> int:
    """Run a supervisor.

    :param argv: numbers of two descriptors: the connection with the job,
        and a pipe that ends with the job.
    """
    connection = socket.socket(fileno=int(argv[0]))
    life = int(argv[1])
    for descriptor in (connection.fileno(), life):
        os.set_inheritable(descriptor, False)
    # A terminal's Ctrl-C is the job's, which then says what to do.
    os.setsid()
    # Some of what it makes is for everybody in the guest.
    os.umask(_UMASK)
    try:
        leftovers.sweep()
        ids = identities.take()
        syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = os.fork()
        if not pid:
            os.close(life)
            _serve(connection, ids)
        protocol.send(connection, {'pid': pid})
    except protocol.Closed:
        return 1
    except (OSError, identities.NoneLeft) as error:
        # Whoever has read it may be gone at once.
        with contextlib.suppress(protocol.Closed):
            protocol.send(connection, {'failed': _reason(error)})
        return 1
    connection.close()
    _watch(pid, life)
    cgroups.remove(ids.name)
    return 0


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        what = error.filename or 'a system call'
        return (
            'root has not the rights of root here, as in a container '
            f'({what}: {error.strerror})'
        )
    if isinstance(error, OSError) and error.strerror:
        return f'{error.filename or "a system call"}: {error.strerror}'
    return str(error)


def _watch(pid: int, life: int) -> None:
    """Wait for the end of the job or of the other process."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(life, select.POLLIN)
    poll.poll()
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    poll.unregister(life)
    # Its end unmounts the guest. If whoever serves the disk does not do so,
    # that waits until they have ended.
    if not poll.poll(_UNMOUNT * 1000):
        for below in _descendants(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(below, signal.SIGKILL)
    os.waitpid(pid, 0)


def _descendants(pid: int) -> Iterator[int]:
    """Processes below one that cannot end, so that they are its for sure."""
    with contextlib.suppress(OSError):
        with open(f'/proc/{pid}/task/{pid}/children') as stream:
            children = [int(child) for child in stream.read().split()]
        for child in children:
            yield child
            yield from _descendants(child)


def _serve(connection: socket.socket, ids: identities.Identities) -> NoReturn:
    code = 1
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        daemons = _unshare_mounts()
        service.Service(connection, ids, daemons).run()
        code = 0
    except protocol.Closed:
        pass
    except Exception as error:
        _complain(error)
    finally:
        os._exit(code)


def _unshare_mounts() -> int:
    """Make two mount namespaces, one for daemons and one for the rest.

    The guest's file systems are in the second one only. When the last process
    of a mount namespace ends, it unmounts what is there, and waits for the
    daemon that serves the disk; if that were this process itself it would
    wait for ever, and could not be killed.

    :returns: descriptor of the first one. What is mounted there is seen in
        the second one.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    # What the host unmounts is unmounted here too; what is mounted here is
    # not seen there.
    syscalls.mount('', '/', '', syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount('proc', '/proc', 'proc')
    syscalls.mount('', '/', '', syscalls.MS_REC | syscalls.MS_SHARED)
    daemons = os.open('/proc/self/ns/mnt', os.O_RDONLY)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount('', '/', '', syscalls.MS_REC | syscalls.MS_SLAVE)
    return daemons


def _complain(error: Exception) -> None:
    sys.stderr.write(f'imagebuild: the sandbox failed: {error!r}\n')
    sys.stderr.flush()
