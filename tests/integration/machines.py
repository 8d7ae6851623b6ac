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
"""Machines with a real sshd, for tests: a Debian 12 without a kernel.

Each has an overlay over one tree, and pid, mount and network namespaces of its
own, with a way to the package mirror. Its sshd is started for each connection
(``sshd -i``), with the socket that a listener here has accepted: so it is
reached by a port of this host, and nothing of the network has to be set up.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import asyncssh

from imagebuild.disks import image_file
from imagebuild.remotes import ssh_settings
from tests.integration.native_disk import Native

_CONFIG = """
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
AllowTcpForwarding yes
Subsystem sftp internal-sftp
"""
#: Users: all of them have this password.
PASSWORD = 'right horse'
_ADD_USERS = f"""
set -e
for user in root plain free; do
    [ $user = root ] || useradd -m -s /bin/bash $user
    echo "$user:{PASSWORD}" | chpasswd
done
echo 'plain ALL=(ALL) ALL' >/etc/sudoers.d/plain
echo 'free ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/free
useradd -m -s /bin/bash nobody-special
echo 'nobody-special:{PASSWORD}' | chpasswd
echo 'echo noise of a .bashrc; echo noise >&2' >/home/free/.bashrc
"""
_START = """
set -e
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" machine \
    "$2/tree"
mount -t proc proc "$2/tree/proc"
mount --rbind /dev "$2/tree/dev"
mkdir -p "$2/tree/run/sshd"
echo 'nameserver 10.0.2.3' >"$2/tree/etc/resolv.conf"
# Or sudo asks the name server for it, and complains when that is slow.
echo "127.0.0.1 localhost $(hostname)" >"$2/tree/etc/hosts"
ip link set lo up
echo ready
# As init it reaps what sshd leaves; sleep would not, and the host's process
# ids would be used up.
exec bash -c 'while :; do sleep 3600 & wait; done'
"""
#: Waits until something listens on the port $1.
_ANSWERS = (
    'until (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do sleep 0.1; done'
)


class Machine:
    """A machine that runs.

    :ivar port: of 127.0.0.1, where its sshd is.
    :ivar host_key: its public key, and the ``fingerprint`` of that.
    :ivar known_hosts: a file with its key.
    :ivar drops: connections that are reset before its sshd sees them.
    """

    drops = 0

    def __init__(self, tree: pathlib.Path, directory: pathlib.Path) -> None:
        self.directory = directory
        for name in ('upper', 'work', 'tree'):
            (directory / name).mkdir(parents=True)
        self.root = directory / 'tree'
        self._connections: list[subprocess.Popen[bytes]] = []
        self._process = subprocess.Popen(
            ['unshare', '--mount', '--propagation', 'private', '--net']
            + ['--pid', '--fork', '--kill-child', '--']
            + ['sh', '-c', _START, 'sh', str(tree), str(directory)],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b'ready\n'
        children = f'/proc/{self._process.pid}/task/{self._process.pid}'
        self.pid = int(pathlib.Path(children, 'children').read_text())
        ready, told = os.pipe()
        self._network = subprocess.Popen(
            [
                'slirp4netns',
                '--configure',
                '--mtu=65520',
                '--disable-host-loopback',
                f'--ready-fd={told}',
            ]
            + [str(self.pid), 'tap0'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[told],
        )
        os.close(told)
        assert os.read(ready, 1) == b'1', 'slirp4netns has ended'
        os.close(ready)
        self._listeners: list[socket.socket] = []
        self.port = self.listen('127.0.0.1')
        public = self.run('cat', '/etc/ssh/ssh_host_ed25519_key.pub')
        self.host_key = ' '.join(public.split()[:2])
        key = asyncssh.import_public_key(self.host_key)
        self.fingerprint: str = key.get_fingerprint()
        self.known_hosts = directory / 'known_hosts'
        self.known_hosts.write_text(
            f'[127.0.0.1]:{self.port} {self.host_key}\n'
        )

    def _enter(self, *argv: str) -> list[str]:
        return [
            *('nsenter', '-t', str(self.pid), '-m', '-n', '-p', '--'),
            *('chroot', str(self.root), *argv),
        ]

    def run(self, *argv: str) -> str:
        """Run something in it, past sshd."""
        return subprocess.run(
            self._enter(*argv),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'},
        ).stdout

    def remount(self, option: str) -> None:
        """Make its root "ro" or "rw"."""
        subprocess.run(
            [
                *('nsenter', '-t', str(self.pid), '-m', '--'),
                *('mount', '-o', f'remount,bind,{option}', str(self.root)),
            ],
            check=True,
        )

    def listen(self, address: str, port: int = 0) -> int:
        """Let its sshd be reached at an address of this host.

        :param port: 0 for any.
        :returns: the port.
        """
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        listener = socket.create_server((address, port), family=family)
        self._listeners.append(listener)
        threading.Thread(
            target=self._serve, args=(listener,), daemon=True
        ).start()
        port: int = listener.getsockname()[1]
        return port

    def start_inner(self, port: int) -> str:
        """Start one more sshd, which only the machine itself reaches.

        :returns: its public key; it is another one.
        """
        key = '/etc/ssh/inner_key'
        self.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key)
        self.run(
            *('/usr/sbin/sshd', '-p', str(port), '-h', key),
            *('-o', 'ListenAddress=127.0.0.1', '-o', 'PidFile=none'),
        )
        # It has gone to the background before it listens.
        self.run('bash', '-c', _ANSWERS, 'bash', str(port))
        return ' '.join(self.run('cat', f'{key}.pub').split()[:2])

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if self.drops:
                    self.drops -= 1
                    # SO_LINGER of 0 seconds: closing it resets it.
                    connection.setsockopt(
                        socket.SOL_SOCKET,
                        socket.SO_LINGER,
                        struct.pack('ii', 1, 0),
                    )
                    continue
                self._start_sshd(connection)

    def _start_sshd(self, connection: socket.socket) -> None:
        with (self.directory / 'sshd.log').open('ab') as log:
            try:
                started = subprocess.Popen(
                    self._enter('/usr/sbin/sshd', '-i', '-e'),
                    stdin=connection,
                    stdout=connection,
                    stderr=log,
                    env={'PATH': '/usr/sbin:/usr/bin:/bin'},
                )
            # This connection is reset; the next one is served.
            except OSError as error:
                log.write(f'not started: {error}\n'.encode())
            else:
                self._connections.append(started)

    def shown(self) -> str:
        """What its sshds have said last, and how they have ended."""
        log = self.directory / 'sshd.log'
        said = log.read_text(errors='replace') if log.exists() else ''
        codes = [each.poll() for each in self._connections[-8:]]
        return f'{said[-4000:]}\nexit codes of the last: {codes}'

    def die(self) -> None:
        """Nothing of it runs any more, and no connection says so."""
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """Nothing of it runs until it is closed."""
        for each in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)

    def processes(self) -> list[int]:
        """All processes of its namespace, as this host numbers them."""
        wanted = os.readlink(f'/proc/{self.pid}/ns/pid')
        found = []
        for entry in pathlib.Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                if os.readlink(entry / 'ns/pid') == wanted:
                    found.append(int(entry.name))
        return found

    def target(
        self,
        user: str = 'root',
        password: str | None = PASSWORD,
        **settings: float,
    ) -> ssh_settings.Target:
        return ssh_settings.Target(
            ssh_settings.Address('127.0.0.1', self.port, user),
            ssh_settings.Login(password=password),
            ssh_settings.HostKeys([self.known_hosts]),
            settings=ssh_settings.SshSettings(
                # As long as a busy host may take.
                **{
                    'connect_timeout': 120.0,
                    'command_timeout': 300.0,
                    **settings,
                }
            ),
        )

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._process.kill()
        self._process.wait()
        self._network.kill()
        self._network.wait()
        for each in self._connections:
            each.kill()
            each.wait()

    def __enter__(self) -> 'Machine':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def make_tree(image: pathlib.Path, tree: pathlib.Path) -> None:
    """Copy what is in a minimal image, and install an sshd; about 25 s."""
    new = tree.with_suffix('.new')
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    chain = tuple(reversed(image_file.inspect(image).chain))
    with (
        tempfile.TemporaryDirectory(dir=new.parent) as directory,
        Native(pathlib.Path(directory), chain, readonly=True) as native,
    ):
        native.mount()
        native.child.sh(f'cp -a root/. {new}/')
        native.finish()
    shutil.copy('/etc/resolv.conf', new / 'etc/resolv.conf')
    (new / 'usr/sbin/policy-rc.d').write_text('#!/bin/sh\nexit 101\n')
    (new / 'usr/sbin/policy-rc.d').chmod(0o755)
    for command in (
        'apt-get -qq update',
        'apt-get -qq -y --no-install-recommends install '
        'openssh-server sudo procps',
        _ADD_USERS,
    ):
        subprocess.run(
            ['unshare', '--mount', '--propagation', 'private', '--pid']
            + ['--fork', 'sh', '-c']
            + [
                'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev";'
                ' exec chroot "$1" sh -c "$2"',
                'sh',
                str(new),
                command,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            env={
                'PATH': '/usr/sbin:/usr/bin:/sbin:/bin',
                'DEBIAN_FRONTEND': 'noninteractive',
            },
        )
    (new / 'etc/ssh/sshd_config').write_text(_CONFIG)
    new.rename(tree)
