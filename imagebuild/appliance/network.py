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
"""The guest's network: mirrors and name servers, but not this host.

libguestfs starts, in place of qemu, a script that makes qemu's network
namespace first (:mod:`imagebuild.appliance.restricted`).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import shutil
import stat
import sys
import tempfile
import zlib

from imagebuild import exception
from imagebuild.appliance import accelerator
from imagebuild.appliance import appliance_settings
from imagebuild.appliance import restricted
from imagebuild.common import user_network

#: What the script's errors on the console begin with.
ERROR_PREFIX = 'imagebuild-network: '

# libguestfs 1.48 writes beyond its buffer when the path of qemu has some 80
# characters; the name of the script has 13.
_LONGEST_PLACE = 50

# libguestfs asks qemu several things (-help, -machine) before the guest is
# started; only what has a network needs the namespace.
_SCRIPT = """\
#!/bin/sh
case " $* " in
*" -netdev "*) exec {python} -I -S {program} {resolver} {qemu} "$@" ;;
esac
exec {qemu} "$@"
"""


def is_restricted(settings: appliance_settings.ApplianceSettings) -> bool:
    """Whether a guest's network must be kept from this host."""
    return settings.network and not settings.allow_host_network


def check(settings: appliance_settings.ApplianceSettings) -> None:
    """Find out, before anything is touched, whether guests can start.

    :raises MissingDependency: slirp4netns is needed and not there.
    """
    if is_restricted(settings) and shutil.which('slirp4netns') is None:
        raise exception.MissingDependency(
            what='slirp4netns, which keeps guests from the addresses of this '
            'host,',
            remedy='install the package slirp4netns, or give guests no '
            "network (--no-network) or the host's (--allow-host-network)",
        )


def hypervisor(qemu: str) -> pathlib.Path:
    """What libguestfs starts in place of qemu.

    :param qemu: path of qemu.
    :returns: a script. It is made once for each user and qemu and stays:
        libguestfs remembers what it asked qemu by path, size and time.
    :raises ApplianceFailed: there is no place for it.
    """
    tried = []
    for directory in _places():
        tried.append(str(directory))
        with contextlib.suppress(OSError):
            script = _write(qemu, directory)
            if os.access(script, os.X_OK):
                return script
    raise exception.ApplianceFailed(
        reason='the program that restricts the network of guests can be '
        f'written and run in none of {", ".join(tried)} (not writable, or '
        'mounted noexec)'
    )


def _places() -> list[pathlib.Path]:
    user = f'imagebuild-{os.geteuid()}'
    places = [
        accelerator.cache_file().parent,
        pathlib.Path('/var/tmp', user),  # noqa: S108
        pathlib.Path('/tmp', user),  # noqa: S108
    ]
    return [place for place in places if len(str(place)) <= _LONGEST_PLACE]


def _write(qemu: str, directory: pathlib.Path) -> pathlib.Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.lstat()
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.geteuid()
        or status.st_mode & 0o022
    ):
        raise PermissionError(f'{directory} can be changed by others')
    resolver = directory / 'resolv.conf'
    _replace(resolver, f'nameserver {user_network.NAME_SERVER}\n', 0o600, None)
    text = _SCRIPT.format(
        python=shlex.quote(sys.executable),
        program=shlex.quote(restricted.__file__),
        resolver=shlex.quote(str(resolver)),
        qemu=shlex.quote(qemu),
    )
    script = directory / f'qemu-{zlib.crc32(text.encode()):08x}'
    # The same time as qemu's: another qemu is asked again.
    _replace(script, text, 0o700, os.stat(qemu).st_mtime_ns)
    return script


def _replace(
    path: pathlib.Path, text: str, mode: int, changed: int | None
) -> None:
    with contextlib.suppress(OSError):
        status = path.stat()
        same_time = changed is None or status.st_mtime_ns == changed
        if path.read_text() == text and same_time:
            return
    # Renamed when it is whole: other programs may be starting it.
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with open(descriptor, 'w') as stream:
            stream.write(text)
            os.fchmod(descriptor, mode)
        if changed is not None:
            os.utime(name, ns=(changed, changed))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
