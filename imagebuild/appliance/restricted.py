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
"""Start qemu where it reaches the network but not this host.

qemu's user network makes connections of the guest into connections of qemu's
own, and its gateway is the host's loopback. So qemu gets a network namespace
of its own, whose only way out is slirp4netns without host loopback, and whose
routes to the host's own addresses and to the link-local addresses (where
clouds have their metadata services) lead nowhere.

Run as a script, with ``python -I -S``, by the file that
:mod:`imagebuild.appliance.network` writes. It imports as little as it can: it
stands in the way of every start of a guest. The process becomes qemu, so
whoever kills it kills qemu.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
from collections.abc import Sequence

if __name__ == '__main__':
    # Run by its path, without site-packages.
    sys.path.insert(0, os.path.realpath(f'{__file__}/../../..'))

from imagebuild.common import user_network  # noqa: E402

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MS_REC = 16384
_MS_SLAVE = 1 << 19
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The namespace cannot be made; the text is the reason."""


class Slirp:
    """A slirp4netns that waits, outside, for the namespace to be there.

    :param options: more options of its.
    :param life: both ends of a pipe. It ends when nobody has the second
        one any more, that is: with qemu. The signal of the parent's death
        alone does not do, since entering a user namespace clears it.
    """

    def __init__(self, options: Sequence[str], life: tuple[int, int]) -> None:
        self._output = os.memfd_create('slirp4netns')
        wait, self._go = os.pipe()
        self._ready, ready = os.pipe()
        target = os.getpid()
        self._pid = os.fork()
        if self._pid:
            os.close(wait)
            os.close(ready)
            return
        try:
            os.close(self._go)
            os.close(life[1])
            if os.read(wait, 1):
                self._run(options, life[0], ready, target)
        except OSError as error:
            os.write(
                self._output,
                f'{user_network.PROGRAM}: {error.strerror}'.encode(),
            )
        finally:
            os._exit(1)

    def _run(
        self, options: Sequence[str], life: int, ready: int, target: int
    ) -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The standard streams are the guest's console.
        null = os.open(os.devnull, os.O_RDWR)
        for number, stream in enumerate((null, self._output, self._output)):
            os.dup2(stream, number)
        os.set_inheritable(life, True)
        os.set_inheritable(ready, True)
        os.execvp(  # noqa: S606
            user_network.PROGRAM,
            [
                *user_network.command(options, host_loopback=False),
                f'--exit-fd={life}',
                f'--ready-fd={ready}',
                str(target),
                'tap0',
            ],
        )

    def begin(self) -> bool:
        """Let it run.

        :returns: whether the network is there.
        """
        os.write(self._go, b'1')
        return bool(os.read(self._ready, 1))

    def dismiss(self) -> str:
        """End one that never began, or that failed.

        :returns: the last line of what it printed.
        """
        os.close(self._go)
        os.waitpid(self._pid, 0)
        os.lseek(self._output, 0, os.SEEK_SET)
        text = os.read(self._output, 65536).decode('utf-8', 'replace')
        return (text.strip().splitlines() or ['it ended'])[-1]


def isolate(resolver: str) -> None:
    """Give this process a network of its own.

    :param resolver: a file to be seen as /etc/resolv.conf, which qemu
        reads.
    :raises Refused: this is not possible here.
    :raises OSError: the same.
    """
    addresses = user_network.host_addresses()
    life = os.pipe()
    slirps = [Slirp(options, life) for options in (user_network.CONFINED, ())]
    try:
        os.close(life[0])
        _unshare()
        _see_as_resolver(resolver)
        user_network.block_host(addresses)
        reason = ''
        while slirps:
            if slirps[0].begin():
                del slirps[0]
                break
            reason = slirps.pop(0).dismiss()
        else:
            raise Refused(reason)
    finally:
        for slirp in slirps:
            slirp.dismiss()
    os.set_inheritable(life[1], True)


def _unshare() -> None:
    wanted = _CLONE_NEWNET | _CLONE_NEWNS
    # Root keeps its right to open everybody's images, which it would not
    # have in a user namespace.
    if os.geteuid() == 0 and _libc.unshare(wanted) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    what = 'this user may not make network namespaces (unshare)'
    _checked(_libc.unshare(_CLONE_NEWUSER | wanted), what)
    try:
        for name, text in (
            ('setgroups', 'deny'),
            ('uid_map', f'{user} {user} 1'),
            ('gid_map', f'{group} {group} 1'),
        ):
            with open(f'/proc/self/{name}', 'w', encoding='ascii') as stream:
                stream.write(text)
    except OSError as error:
        raise Refused(f'{what}: {error.strerror}') from error


def _see_as_resolver(path: str) -> None:
    what = 'this user may not make mount namespaces'
    # What is mounted on the host later is seen; what is here is not, there.
    _checked(_libc.mount(None, b'/', None, _MS_REC | _MS_SLAVE, None), what)
    if os.path.exists('/etc/resolv.conf'):
        source = os.fsencode(path)
        target = os.fsencode(os.path.realpath('/etc/resolv.conf'))
        _checked(_libc.mount(source, target, None, _MS_BIND, None), what)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise Refused(f'{what}: {os.strerror(ctypes.get_errno())}')


def only_user_network(arguments: Sequence[str]) -> list[str]:
    """Make every network of qemu's command line one of qemu's own.

    Newer libguestfs starts passt, outside of any namespace, and connects
    qemu with it. There is no IPv6 in the namespace, so that guests which
    try it first would wait for nothing.

    :param arguments: qemu's.
    :returns: the same, with other networks replaced.
    """
    result = list(arguments)
    for number, argument in enumerate(result[:-1]):
        value = result[number + 1]
        if argument != '-netdev':
            continue
        name = re.search(r'(?:^|[,{ "])id"?[=:] ?"?([^,"}]+)', value)
        result[number + 1] = (
            f'user,id={name[1] if name else "usernet"},'
            'net=169.254.0.0/16,ipv6=off'
        )
    return result


def main(argv: Sequence[str]) -> int:
    """Become qemu.

    :param argv: a file to be seen as /etc/resolv.conf, qemu's path and its
        arguments.
    :returns: 1 after a failure, with a line on standard error.
    """
    resolver, qemu, *arguments = argv
    try:
        isolate(resolver)
        os.execv(  # noqa: S606
            qemu, [qemu, *only_user_network(arguments)]
        )
    except (OSError, Refused) as error:
        with contextlib.suppress(OSError):
            sys.stderr.write(f'imagebuild-network: {error}\n')
    return 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
