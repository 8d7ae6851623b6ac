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
"""What a machine of QEMU's has of this host: next to nothing.

Whoever breaks out of a machine is QEMU. So QEMU is nobody here: it has ids
that nothing else on this host has, no capability, and a network namespace
without an interface (its own network needs none); its memory is limited. What
it opens lies in one directory, which is its own; the image comes as a
descriptor.

All of that only root can give it. Run by others, QEMU has what they have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.sandbox import cgroups
from imagebuild.sandbox import identities
from imagebuild.sandbox import sandbox_settings

_KVM = pathlib.Path('/dev/kvm')
# Its arguments: how many control groups there are, their files, the command.
_JOIN = """
left=$1
shift
while [ "$left" -gt 0 ]; do
    echo 0 >"$1" || exit 125
    shift
    left=$((left - 1))
done
exec "$@"
"""
_UNSHARE = ('unshare', '--ipc', '--uts')
#: Capabilities (linux/capability.h): chown, setgid, setuid, setpcap.
_TO_GIVE = (0, 6, 7, 8)
_SYS_ADMIN = 21
#: Of QEMU: one for each processor, and those that read and write.
_THREADS = 512
#: Descriptors that it opens: disks, sockets, those of KVM.
_DESCRIPTORS = 1024


@dataclasses.dataclass(frozen=True)
class User:
    """Who a machine is on this host.

    :ivar id: of user and group.
    :ivar groups: files of the control groups that limit it; it joins one by
        writing 0 into it.
    """

    id: int
    groups: Sequence[pathlib.Path] = ()


@contextlib.contextmanager
def own_user(*, memory: int) -> Iterator[User | None]:
    """Take an id of this host for a machine, and limit its memory.

    :param memory: MiB that QEMU may take with all that is in the machine,
        where this host lets us limit it.
    :returns: None where this process is not root's, or one in a container
        that may do little, and can do neither.
    :raises EnvironmentFault: there is no id left.
    """
    if os.geteuid() != 0 or not _may(*_TO_GIVE):
        yield None
        return
    try:
        ids = identities.take()
    except (OSError, identities.NoneLeft) as error:
        raise exception.EnvironmentFault(
            f'There is no user for a machine on this host: {error}.'
        ) from error
    groups = cgroups.make(
        ids.name,
        sandbox_settings.SandboxSettings(memory=memory, processes=_THREADS),
    )
    groups.close()
    try:
        yield User(ids.first, tuple(groups.files))
    finally:
        cgroups.remove(ids.name)
        os.close(ids.lock)


def give(directory: pathlib.Path, user: User | None) -> None:
    """Have a directory, with all in it, be that of a machine.

    :param user: of :func:`own_user`.
    """
    if user is None:
        return
    # From below: nothing can be put in before all of it is done.
    for root, directories, files in os.walk(directory, topdown=False):
        for name in (*files, *directories):
            os.lchown(os.path.join(root, name), user.id, user.id)
    os.lchown(directory, user.id, user.id)


def command(
    directory: str,
    user: User | None,
    *,
    written: int,
    kvm: bool,
    network: int | None = None,
    own_network: bool = True,
) -> list[str]:
    """What becomes QEMU.

    :param directory: in which QEMU works.
    :param user: of :func:`own_user`.
    :param written: bytes that a file may have which it writes; 0 for no
        limit. What is beyond fails in the machine (EFBIG): whoever starts it
        has SIGXFSZ ignored.
    :param kvm: whether it needs KVM.
    :param network: descriptor, which QEMU inherits, of the network namespace
        that it is to be in; None for an empty one of its own.
    :param own_network: False for what is to be in that of this host.
    """
    found = ['env', f'--chdir={directory}', 'prlimit', '--core=0']
    found += [f'--nofile={_DESCRIPTORS}']
    found += [f'--fsize={written}'] if written else []
    if user is None:
        return [*found, 'setpriv', '--no-new-privs']
    files = [str(each) for each in user.groups]
    return [
        *('sh', '-c', _JOIN, 'sh', str(len(files)), *files),
        *found,
        *(_namespaces(network, own=own_network) if _may(_SYS_ADMIN) else ()),
        # The last: with another id the kernel forgets what our end does to
        # it.
        'setpriv', '--pdeathsig', 'KILL', '--no-new-privs',
        '--bounding-set=-all', '--inh-caps=-all',
        f'--reuid={user.id}', f'--regid={user.id}', *_groups(kvm=kvm),
    ]  # fmt: skip


def _namespaces(network: int | None, *, own: bool) -> list[str]:
    if network is None:
        return [*_UNSHARE, *(['--net'] if own else [])]
    return [*_UNSHARE, 'nsenter', f'--net=/proc/self/fd/{network}']


def _may(*capabilities: int) -> bool:
    """Whether this process has all of these."""
    status = pathlib.Path('/proc/self/status').read_text()
    found = re.search(r'^CapEff:\s*([0-9a-f]+)$', status, re.MULTILINE)
    held = int(found[1], 16) if found else 0
    return all(held >> number & 1 for number in capabilities)


def _groups(*, kvm: bool) -> list[str]:
    if not kvm:
        return ['--clear-groups']
    return [f'--groups={_KVM.stat().st_gid}']
