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
"""Programs that leave no mount and no process behind, and wait for no disk.

Those of the host that make a disk, those of the tree that are run in it, and
mmdebstrap with all the scripts of packages.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.disks import unsynced

# What runs on the host has mounts and processes of its own, which end with
# this program however it ends: the kernel kills setpriv's successor, that
# one's death kills the first process of the namespace, and that one's
# everything in it. No mount is ever seen outside.
_CONFINED = (
    'setpriv', '--pdeathsig', 'KILL',
    'unshare', '--mount', '--pid', '--ipc', '--uts', '--fork',
    '--kill-child', '--mount-proc',
)  # fmt: skip

#: What a program does without that makes trees and nothing of the host: it
#: loads no module, sets no clock and changes no network interface.
HOST_CAPABILITIES = (
    'audit_control', 'bpf', 'mac_admin', 'mac_override', 'net_admin',
    'perfmon', 'sys_boot', 'sys_module', 'sys_pacct', 'sys_rawio',
    'sys_time', 'syslog', 'wake_alarm',
)  # fmt: skip

#: Seconds. Downloading 250 MB over a slow line is most of it.
# Isolated: nothing of the environment or of a user's packages changes what it
# does.
_UNSYNCED = (sys.executable, '-I', '-S', unsynced.__file__)
_TIMEOUT = 3600.0
# Errors of apt and dpkg. mmdebstrap's own, which follow them, only repeat
# the command line and are left out.
_ERROR = re.compile(
    r'^(?:E: (?!apt-get |setup failed|mmdebstrap failed)|dpkg: error )(.*)$',
    re.MULTILINE,
)
_MOST_ERRORS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a program has of the host.

    :ivar environment: variables to set for it.
    :ivar network: whether it has one; else not even a loopback interface.
    :ivar synced: whether it can wait for the disk: only so it is told of what
        could not be written.
    :ivar without: capabilities that neither it nor what it starts has.
    """

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    network: bool = False
    synced: bool = False
    without: Sequence[str] = ()


def search_path() -> str:
    """PATH with the directories of programs that are root's."""
    return os.environ.get('PATH', os.defpath) + ':/usr/sbin:/sbin'


def run(
    argv: Sequence[str],
    *,
    writes_to: pathlib.Path,
    confinement: Confinement = Confinement(),
    files: host_command.Files = host_command.Files(),
    name: str = '',
    timeout: float = _TIMEOUT,
    watch: Callable[[], object] | None = None,
) -> None:
    """Run a program.

    :param argv: the command.
    :param writes_to: what it writes, for the message when the disk is full.
    :param confinement: what it has of the host.
    :param files: see :func:`host_command.run`.
    :param name: how messages call it; by default as the command does.
    :param timeout: seconds after which it is killed.
    :param watch: see :func:`host_command.run`.
    :raises EnvironmentFault: see :func:`host_command.run`.
    """
    variables = {'PATH': search_path(), **confinement.environment}
    settings = [f'{name}={value}' for name, value in variables.items()]
    try:
        host_command.run(
            [
                *_CONFINED[:3],
                *_dropping(confinement.without),
                *_CONFINED[3:],
                *(() if confinement.network else ('--net',)),
                *(() if confinement.synced else _UNSYNCED),
                # By env: setpriv and unshare are found on our own PATH.
                'env', *settings, *argv,
            ],
            timeout=timeout,
            writes_to=writes_to,
            files=files,
            watch=watch,
        )  # fmt: skip
    except exception.HostCommandFailed as error:
        raise exception.HostCommandFailed(
            program=name or argv[0],
            exit_code=error.kwargs['exit_code'],
            reason=why(error.kwargs['reason']),
        ) from error


def _dropping(capabilities: Sequence[str]) -> list[str]:
    """The options of setpriv."""
    if not capabilities:
        return []
    names = ','.join(f'-{name}' for name in capabilities)
    return [f'--bounding-set={names}', f'--inh-caps={names}']


def why(stderr: str) -> str:
    """The first errors in what a program printed, for people.

    :param stderr: all of it; lines that mmdebstrap and apt mark as errors
        are picked out.
    """
    found = list(dict.fromkeys(_ERROR.findall(stderr)))
    return '; '.join(found[:_MOST_ERRORS]) or stderr.strip()[-500:]
