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
"""The two processes of a command: the first of its namespaces, and itself.

The first one stays the host's root, with its root in the guest: nothing in
the sandbox may look at it or signal it, so its word on how the command ended
counts. When it ends, the kernel ends everything else in its pid namespace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import resource
import signal
import socket
from collections.abc import Mapping
from collections.abc import Sequence
from typing import NoReturn

from imagebuild.sandbox import namespaces
from imagebuild.sandbox import rootfs
from imagebuild.sandbox import sandbox_settings
from imagebuild.sandbox import seccomp
from imagebuild.sandbox import syscalls

#: Those of containers, without what is only for devices (MKNOD) and for raw
#: packets (NET_RAW; ping does without): CHOWN, DAC_OVERRIDE, FOWNER, FSETID,
#: KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, AUDIT_WRITE,
#: SETFCAP.
CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31)

_HOST_NAME = 'localhost'
#: The first to go when the host runs out of memory.
_OOM_SCORE = '900'
_FILES = (1024, 524288)
_UMASK = 0o022
#: What shells say of a program that cannot be run, and of one that is not
#: there.
_NOT_RUN = 126
_NOT_FOUND = 127
_PAGE = 4096


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What all commands of a sandbox have.

    :ivar root: id of this host that stands for the guest's root.
    :ivar namespaces: those that they share.
    :ivar place: an empty directory to be used while the root is made.
    :ivar settings: their limits.
    :ivar groups: descriptors of files to which a process writes 0 to be
        limited.
    :ivar devices: the guest's own.
    """

    root: int
    namespaces: namespaces.Namespaces
    place: str
    settings: sandbox_settings.SandboxSettings
    groups: Sequence[int] = ()
    devices: Sequence[rootfs.BlockDevice] = ()


@dataclasses.dataclass(frozen=True)
class Descriptors:
    """What a command is given; all of it stays open in the caller.

    :ivar tree: the guest's tree, as a detached tree of mounts.
    :ivar streams: the standard streams.
    :ivar failure: a pipe on which is written why it could not be started;
        nothing is when it could be.
    """

    tree: int
    streams: Sequence[int]
    failure: int


def start(
    command: sandbox_settings.Command,
    around: Surroundings,
    descriptors: Descriptors,
) -> int:
    """Start a command.

    :returns: id of the first process of its namespaces. Its exit code is the
        command's, or 128 + n when signal n ended that.
    :raises OSError: no process can be made.
    """
    own = os.open('/proc/self/ns/pid', os.O_RDONLY)
    try:
        syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            pid = os.fork()
            if not pid:
                _be_first(command, around, descriptors)
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWPID)
    finally:
        os.close(own)
    return pid


def _be_first(
    command: sandbox_settings.Command,
    around: Surroundings,
    descriptors: Descriptors,
) -> NoReturn:
    code = 1
    try:
        _reset_signals()
        syscalls.set_name(b'init')
        _make_surroundings(around, descriptors.tree)
        pid = os.fork()
        if not pid:
            _become(command, around, descriptors)
        syscalls.close_from(0)
        code = _reap(pid)
    except Exception as error:
        _tell(descriptors.failure, error)
    finally:
        os._exit(code)


def _tell(failure: int, error: Exception) -> None:
    text = f'{type(error).__name__}: {error}'
    if isinstance(error, OSError) and error.strerror:
        name = f' ({error.filename})' if error.filename else ''
        text = f'{error.strerror}{name}'
    with contextlib.suppress(OSError):
        os.write(failure, text.encode('utf-8', 'replace'))


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _reap(pid: int) -> int:
    """Wait for a child's end, and for that of whatever has no parent."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _make_surroundings(around: Surroundings, tree: int) -> None:
    syscalls.new_session_keyring()
    syscalls.unshare(
        syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    )
    socket.sethostname(_HOST_NAME)
    pages = around.settings.memory * 1024**2 // _PAGE
    _write('/proc/sys/kernel/shmall', str(pages))
    # /sys shows the devices of the network namespace of who mounts it.
    syscalls.setns(around.namespaces.network, syscalls.CLONE_NEWNET)
    rootfs.enter(tree, around.place)
    rootfs.furnish(around.root, around.devices)


def _write(path: str, text: str) -> None:
    with open(path, 'w', encoding='ascii') as stream:
        stream.write(text)


def _become(
    command: sandbox_settings.Command,
    around: Surroundings,
    descriptors: Descriptors,
) -> NoReturn:
    """Turn this process into the command."""
    try:
        _restrict(around)
        for number, stream in enumerate(descriptors.streams):
            os.dup2(stream, number)
        syscalls.close_on_exec_from(3)
        os.umask(_UMASK)
        os.chdir('/')
        os.setsid()
        syscalls.set_seccomp_filter(seccomp.build(syscalls.MACHINE))
    except Exception as error:
        _tell(descriptors.failure, error)
        os._exit(1)
    os._exit(_execute(command))


def _restrict(around: Surroundings) -> None:
    """Give up all rights on the host."""
    for group in around.groups:
        os.write(group, b'0')
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    _write('/proc/self/oom_score_adj', _OOM_SCORE)
    processes = around.settings.processes
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, *_FILES),
        (resource.RLIMIT_NPROC, processes, processes),
    ):
        _limit(what, soft, hard)
    syscalls.setns(around.namespaces.user, syscalls.CLONE_NEWUSER)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.limit_capabilities(CAPABILITIES)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def _limit(what: int, soft: int, hard: int) -> None:
    """Set a limit, which may not be higher than it was."""
    most = resource.getrlimit(what)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def _execute(command: sandbox_settings.Command) -> int:
    """Execute it; returns the exit code when that cannot be done."""
    name = command.argv[0]
    try:
        _execute_on_path(name, list(command.argv), command.env)
    except FileNotFoundError as error:
        code, reason = _NOT_FOUND, error.strerror
    except (OSError, ValueError) as error:
        code, reason = _NOT_RUN, getattr(error, 'strerror', '') or str(error)
    text = f'{name}: {reason}\n'
    with contextlib.suppress(OSError):
        os.write(2, text.encode('utf-8', 'surrogateescape'))
    return code


def _execute_on_path(
    name: str, argv: list[str], env: Mapping[str, str]
) -> None:
    """As execvp(3) does: a script without a first line is the shell's."""
    directories = [''] if '/' in name else env.get('PATH', '').split(':')
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for directory in directories:
        path = os.path.join(directory, name)
        try:
            try:
                os.execve(path, argv, env)  # noqa: S606
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                os.execve('/bin/sh', ['sh', path, *argv[1:]], env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            last = error
    raise last
