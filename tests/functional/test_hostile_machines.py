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
"""Machines that do what they can to whoever looks at them over SSH.

What they run is on this host; what holds over OpenSSH's sshd is in
tests/integration/test_ssh.py.
"""

import dataclasses
import socket
import threading
import time

import pytest

from imagebuild import exception
from imagebuild.remotes import ssh
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings
from tests import ssh_server

SECRET = "it's a $HOME of secrets"


def target(server, **settings):
    return ssh_settings.Target(
        ssh_settings.Address(server.host, server.port, 'root'),
        ssh_settings.Login(password=ssh_server.PASSWORD),
        ssh_settings.HostKeys(pinned=server.fingerprint),
        settings=ssh_settings.SshSettings(
            **{'connect_timeout': 60.0, 'command_timeout': 60.0, **settings}
        ),
    )


def impatient(remote):
    """Wait less for its answers from now on than for being let in.

    :returns: the same.
    """
    known = remote._target
    remote._target = dataclasses.replace(
        known, settings=dataclasses.replace(known.settings, connect_timeout=2)
    )
    return remote


class Relay:
    """A network on the way to a machine, which can lose all that is sent.

    :ivar port: of 127.0.0.1, that leads there.
    """

    def __init__(self, port):
        self._to = port
        self._socket = socket.create_server(('127.0.0.1', 0))
        self.port = self._socket.getsockname()[1]
        self._pairs = []
        self._new = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.create_connection(('127.0.0.1', self._to))
            passes = threading.Event()
            if self._new:
                passes.set()
            self._pairs.append((near, far, passes))
            for one, other in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pass, args=(one, other, passes), daemon=True
                ).start()

    @staticmethod
    def _pass(one, other, passes):
        try:
            while data := one.recv(65536):
                if passes.is_set():
                    other.sendall(data)
        except OSError:
            return

    def hold(self, *, new=True):
        """Lose all from now on.

        :param new: that of new connections, too.
        """
        self._new = not new
        for _, _, passes in self._pairs:
            passes.clear()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._socket.close()
        for near, far, _ in self._pairs:
            near.close()
            far.close()


def programs(directory, **scripts):
    """Shell text for a machine that has programs of its own."""
    for name, text in scripts.items():
        path = directory / name
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
    return f'PATH={directory}:$PATH; {ssh_server.SHELL}'


# -- what its shells print --------------------------------------------------


@pytest.mark.parametrize(
    'noise',
    [
        'echo "You have mail."; echo "Last login: never" >&2;',
        'printf "no newline at the end";',
        'printf "\\377\\000\\033]0;title\\007\\n";',
        'head -c 60000 /dev/zero | tr "\\0" x; echo;',
        'set -xv;',
    ],
)
def test_a_banner_is_no_output(noise):
    with (
        ssh_server.SshServer(noise + ssh_server.SHELL) as server,
        ssh.SshRemote(target(server)) as remote,
    ):
        done = remote.run(['sh', '-c', 'echo out; echo err >&2'])
        assert (done.stdout, done.stderr) == ('out\n', 'err\n')


def test_a_banner_without_end():
    shell = f'yes | head -c 1000000; {ssh_server.SHELL}'
    with (
        ssh_server.SshServer(shell) as server,
        ssh.SshRemote(target(server)) as remote,
        pytest.raises(ssh_connection.HostUnreachable, match='without end'),
    ):
        remote.run(['true'])


def test_a_banner_that_drips():
    shell = f'while printf .; do sleep 0.1; done; {ssh_server.SHELL}'
    start = time.monotonic()
    with (
        ssh_server.SshServer(shell) as server,
        ssh.SshRemote(target(server)) as remote,
        pytest.raises(ssh_connection.HostUnreachable, match='did not answer'),
    ):
        impatient(remote).run(['true'])
    assert time.monotonic() - start < 40


def test_a_shell_that_traces():
    """A /bin/sh with "set -x", by which values could be read."""
    shell = (
        'exec /bin/sh -c "$(printf %s "$1"'
        ' | sed "s#/bin/sh -c#/bin/sh -xv -c#")"'
    )
    with (
        ssh_server.SshServer(shell) as server,
        ssh.SshRemote(target(server)) as remote,
    ):
        done = remote.run(
            ['sh', '-c', 'printf %s "$VALUE" | wc -c'], env={'VALUE': SECRET}
        )
        assert int(done.stdout) == len(SECRET)
        assert done.stderr == ''


def what_is_lost(server, end, monkeypatch, *, seconds=15.0, **settings):
    """What a driver is told when a connection ends during a command.

    :param end: ends or breaks the connection.
    :param seconds: until the machine is given up.
    :returns: each :class:`ssh_settings.Loss`, with what its ``again`` says.
    """
    monkeypatch.setattr(ssh, '_UNTIL_SEEN', seconds)
    told = []

    def on_lost(loss):
        told.append((loss, loss.again()))
        return exception.GuestBroken(what=loss.ran, reason='it went')

    with ssh.SshRemote(target(server, **settings), on_lost=on_lost) as remote:
        remote.run(['true'])
        end()
        with pytest.raises(exception.GuestBroken, match='sleep broke the'):
            remote.run(['sleep', '9'])
        with pytest.raises(exception.GuestBroken, match='sleep broke the'):
            remote.read_file('/etc/passwd')
    assert [loss.ran for loss, _ in told] == ['sleep', 'sleep']
    assert all('cannot be used' in str(loss.error) for loss, _ in told)
    # Nobody waits for it again.
    assert len({seen for _, seen in told}) == 1
    return told


def test_a_machine_that_ends_a_connection(monkeypatch):
    """A driver knows of more than the connection."""
    with ssh_server.SshServer() as server:
        told = what_is_lost(server, server.cut, monkeypatch)
    assert all(loss.by_machine for loss, _ in told)
    assert told[0][1] == 'it lets us in again'


def test_a_machine_whose_ssh_server_is_stopped(monkeypatch):
    with ssh_server.SshServer() as server:
        told = what_is_lost(server, lambda: server.cut(stop=True), monkeypatch)
    assert all(loss.by_machine for loss, _ in told)
    assert told[0][1] == 'Connection refused'


def test_a_machine_of_which_nothing_is_heard(monkeypatch):
    """The network's fault, or the host's, for all that can be known."""
    with ssh_server.SshServer() as server, Relay(server.port) as relay:
        server.port = relay.port
        start = time.monotonic()
        told = what_is_lost(
            server, relay.hold, monkeypatch, seconds=2.0, keepalive=1.0
        )
    assert not any(loss.by_machine for loss, _ in told)
    assert told[0][1] == ''
    assert time.monotonic() - start < 30


def test_a_network_that_is_well_again(monkeypatch):
    """What was silent, and lets us in, has done nothing."""
    with ssh_server.SshServer() as server, Relay(server.port) as relay:
        server.port = relay.port
        told = what_is_lost(
            server,
            lambda: relay.hold(new=False),
            monkeypatch,
            keepalive=1.0,
        )
    assert not any(loss.by_machine for loss, _ in told)
    assert told[0][1] == ''


# -- who may not run what it wants ------------------------------------------


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        # As images of clouds say to root.
        (
            'echo "Please login as the user \\"debian\\"."; exit 142',
            'its shell runs no commands (Please login as the user "debian")',
        ),
        ('echo "Not available." >&2; exit 1', '(Not available)'),
        ('exit 0', 'its shell runs no commands (it says nothing)'),
        ('exec cat', 'its shell did not answer in 2 s'),
        ('exec yes', 'its shell did not answer in 2 s'),
    ],
)
def test_a_shell_that_is_none(text, said):
    with (
        ssh_server.SshServer(text) as server,
        ssh.SshRemote(target(server)) as remote,
        pytest.raises(ssh_connection.HostUnreachable) as caught,
    ):
        if 'answer' in said:
            impatient(remote)
        remote.run(['true'])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ('sudo', 'said'),
    [
        # Forever, whatever it is told.
        ('while :; do printf %s "$4" >&2; read -r x || exit; done',
         'sudo refuses the password'),
        # In words of its own.
        ('printf "Verification code: " >&2; exec sleep 60',
         'its shell does not answer (Verification code:)'),
        ('exec sleep 60', 'its shell does not answer'),
        ('echo "root is not in the sudoers file." >&2; exit 1',
         'does not start (root is not in the sudoers file)'),
        ('printf %s "$4" >&2; read -r x; echo "no $x" >&2; exit 1',
         'does not start (no '),
    ],
)  # fmt: skip
def test_what_sudo_does(tmp_path, sudo, said):
    no = 'if [ "$1" = -n ]; then echo "a password is required" >&2; exit 1; fi'
    shell = programs(tmp_path, id='echo 1000', sudo=f'{no}\n{sudo}')
    start = time.monotonic()
    with (
        ssh_server.SshServer(shell) as server,
        ssh.SshRemote(target(server)) as remote,
        pytest.raises(ssh_connection.HostUnreachable) as caught,
    ):
        if 'answer' in said:
            impatient(remote)
        remote.run(['true'])
    assert said in str(caught.value)
    assert time.monotonic() - start < 50


def test_nothing_is_decompressed(caplog):
    """A packet of a few KiB could become as many MiB of ours."""
    with (
        caplog.at_level('INFO', 'asyncssh'),
        ssh_server.SshServer(compression_algs=['zlib@openssh.com']) as server,
        pytest.raises(ssh_connection.HostUnreachable),
    ):
        ssh.SshRemote(target(server))
    # Both ends find that out; the other may be the first and hang up.
    assert 'No matching compression algorithm found' in caplog.text


@pytest.mark.parametrize(
    ('times', 'said'),
    [
        (3, 'it closed the connection before it let us in, 3 times.'),
        (1, 'within 4 seconds, and before: it closed the connection'),
    ],
)
def test_it_hangs_up(times, said):
    """As sshd does with who is not in its hosts.allow, say."""

    def hang_up():
        for _ in range(times):
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)

    with socket.create_server(('127.0.0.1', 0)) as listener:
        threading.Thread(target=hang_up).start()
        address = ssh_settings.Address('127.0.0.1', listener.getsockname()[1])
        settings = ssh_settings.SshSettings(
            connect_timeout=4 if times == 1 else 30
        )
        with pytest.raises(ssh_connection.HostUnreachable, match=said):
            ssh.SshRemote(ssh_settings.Target(address, settings=settings))


# -- what comes in between --------------------------------------------------


def test_another_key_in_the_middle():
    """Nothing is connected to again; the next one refuses it."""
    with ssh_server.SshServer() as server:
        expected = target(server)
        with ssh.SshRemote(expected) as remote:
            remote.prepare()
            server.change_key()
            assert remote.run(['echo', 'still']).stdout == 'still\n'
        with pytest.raises(
            ssh_connection.HostUnreachable, match='is not the expected SHA256'
        ):
            ssh.SshRemote(expected)
        assert len(server.connections) == 2


def test_it_reboots_in_the_middle(tmp_path):
    reached = tmp_path / 'reached'
    with (
        ssh_server.SshServer() as server,
        ssh.SshRemote(target(server)) as remote,
    ):
        remote.prepare()

        def reboot():
            while not reached.exists():
                time.sleep(0.05)
            server.cut()

        threading.Thread(target=reboot).start()
        with pytest.raises(
            ssh_connection.HostUnreachable, match='was lost during sh'
        ):
            remote.run(['sh', '-c', f'touch {reached}; exec sleep 60'])
        # And no more is tried.
        with pytest.raises(ssh_connection.HostUnreachable):
            remote.run(['true'])


def test_output_that_drips_has_the_commands_limit():
    with (
        ssh_server.SshServer() as server,
        ssh.SshRemote(target(server)) as remote,
    ):
        start = time.monotonic()
        with pytest.raises(exception.RemoteCommandTimeout):
            remote.run(
                ['sh', '-c', 'while printf .; do sleep 0.05; done'], timeout=1
            )
        assert time.monotonic() - start < 40
        assert remote.run(['echo', 'on']).stdout == 'on\n'


# -- jump hosts -------------------------------------------------------------


def behind(gate, server):
    return dataclasses.replace(
        target(server),
        jumps=[ssh_settings.Address(gate.host, gate.port, 'root')],
        host_keys=ssh_settings.HostKeys(pinned=server.fingerprint),
    )


def test_the_key_of_a_jump_host_is_its_own(tmp_path):
    """It is not the fingerprint of the machine that is behind it."""
    known = tmp_path / 'known_hosts'
    with ssh_server.SshServer() as server, ssh_server.SshServer() as gate:
        gate.opens.append(server.port)
        keys = ssh_settings.HostKeys([known], server.fingerprint)
        there = dataclasses.replace(behind(gate, server), host_keys=keys)
        with pytest.raises(ssh_connection.HostUnreachable) as caught:
            ssh.SshRemote(there)
        name = f'root@127.0.0.1:{server.port}'
        jump = f'root@127.0.0.1:{gate.port}'
        said = f'{name} cannot be used: the jump host {jump}: its key '
        assert str(caught.value).startswith(said)
        known.write_text(gate.known)
        with ssh.SshRemote(there) as remote:
            assert remote.run(['echo', 'there']).stdout == 'there\n'
        assert gate.forwarded == [('127.0.0.1', server.port)]
        # It refuses.
        gate.opens.clear()
        with pytest.raises(ssh_connection.HostUnreachable) as caught:
            ssh.SshRemote(there)
        said = f'{name} cannot be used: {jump} does not get there ('
        assert str(caught.value).startswith(said)
    with pytest.raises(ssh_connection.HostUnreachable) as caught:
        ssh.SshRemote(there)
    assert str(caught.value) == (
        f'{name} cannot be used: the jump host {jump}: Connection refused.'
    )
