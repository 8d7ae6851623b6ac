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
"""How one gets into a machine: keys, agents, jump hosts, what is asked."""

import dataclasses
import os
import pathlib
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator

import asyncssh
import pytest

from imagebuild import exception
from imagebuild.remotes import ssh
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings
from tests import terminal
from tests.integration import machines


@pytest.fixture(scope='module')
def machine(
    machine_tree: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[machines.Machine]:
    directory = tmp_path_factory.mktemp('machine')
    with machines.Machine(machine_tree, directory) as running:
        yield running


@pytest.fixture(scope='module')
def key(machine: machines.Machine) -> asyncssh.SSHKey:
    """A private key by which "free" may log in."""
    made = asyncssh.generate_private_key('ssh-ed25519')
    machine.run('mkdir', '-p', '/home/free/.ssh')
    authorized = machine.directory / 'upper/home/free/.ssh/authorized_keys'
    authorized.write_bytes(made.export_public_key())
    return made


def test_private_keys(machine: machines.Machine, key: asyncssh.SSHKey) -> None:
    text = key.export_private_key(passphrase='opens it', rounds=1).decode()
    address = ssh_settings.Address('127.0.0.1', machine.port, 'free')

    def target(passphrase: str | None) -> ssh_settings.Target:
        return dataclasses.replace(
            machine.target(),
            address=address,
            login=ssh_settings.Login([text], passphrase),
        )

    with pytest.raises(exception.InvalidInput, match='none is given'):
        ssh.SshRemote(target(None))
    with pytest.raises(exception.InvalidInput, match='does not open'):
        ssh.SshRemote(target('wrong'))
    with ssh.SshRemote(target('opens it')) as remote:
        assert remote.run(['id', '-u']).stdout == '0\n'


def test_keys_of_an_agent_and_of_the_user(
    machine: machines.Machine,
    key: asyncssh.SSHKey,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / '.ssh' / 'id_ed25519'
    path.parent.mkdir(mode=0o700)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('SSH_AUTH_SOCK', str(tmp_path / 'agent'))
    target = dataclasses.replace(
        machine.target('free'), login=ssh_settings.Login(own=True)
    )

    def attempt() -> str:
        with ssh.SshRemote(target) as remote:
            return remote.run(['id', '-u']).stdout

    said = 'refuses the login with the agent and the keys of ~/.ssh'
    with subprocess.Popen(
        ['ssh-agent', '-D', '-a', str(tmp_path / 'agent')],
        stdout=subprocess.DEVNULL,
    ) as agent:
        while not (tmp_path / 'agent').exists():
            time.sleep(0.02)
        with pytest.raises(ssh_connection.HostUnreachable, match=said):
            attempt()
        subprocess.run(
            ['ssh-add', '-q', '-'],
            input=key.export_private_key('openssh'),
            check=True,
            stderr=subprocess.DEVNULL,
        )
        assert attempt() == '0\n'
        agent.terminate()
    with pytest.raises(ssh_connection.HostUnreachable, match=said):
        attempt()
    key.write_private_key(str(path))
    assert attempt() == '0\n'


def test_an_ipv6_address(
    machine: machines.Machine, tmp_path: pathlib.Path
) -> None:
    port = machine.listen('::1')
    known = tmp_path / 'known_hosts'
    target = dataclasses.replace(
        machine.target(),
        address=ssh_settings.address(f'root@[::1]:{port}'),
        host_keys=ssh_settings.HostKeys([known], accept_new=True),
    )
    ssh.SshRemote(target).close()
    assert known.read_text() == f'[::1]:{port} {machine.host_key}\n'
    again = dataclasses.replace(
        target, host_keys=ssh_settings.HostKeys([known])
    )
    with ssh.SshRemote(again) as remote:
        assert remote.run(['echo', 'six']).stdout == 'six\n'
    closed = dataclasses.replace(
        target, address=ssh_settings.address('root@[::1]:1')
    )
    with pytest.raises(ssh_connection.HostUnreachable) as caught:
        ssh.SshRemote(closed)
    said = 'root@[::1]:1 cannot be used: Connection refused.'
    assert str(caught.value) == said


# -- jump hosts -------------------------------------------------------------

_INNER = 2222


@pytest.fixture(scope='module')
def inner(machine: machines.Machine) -> str:
    """The key of an sshd that only the machine reaches.

    The machine forwards for everybody but one.
    """
    machine.run(
        *('sh', '-c'),
        'printf "Match User nobody-special\\nAllowTcpForwarding no\\n"'
        ' >>/etc/ssh/sshd_config',
    )
    return machine.start_inner(_INNER)


@pytest.fixture
def gate(
    machine: machines.Machine, inner: str, tmp_path: pathlib.Path
) -> Callable[..., ssh_settings.Target]:
    def target(
        *,
        user: str = 'plain',
        port: int = machine.port,
        behind: int = _INNER,
        jump_key: str = machine.host_key,
        inner_key: str = inner,
    ) -> ssh_settings.Target:
        known = tmp_path / secrets.token_hex(8)
        known.write_text(
            f'[127.0.0.1]:{port} {jump_key}\n'
            f'[127.0.0.1]:{behind} {inner_key}\n'
        )
        return dataclasses.replace(
            machine.target('free'),
            address=ssh_settings.Address('127.0.0.1', behind, 'free'),
            jumps=[ssh_settings.Address('127.0.0.1', port, user)],
            host_keys=ssh_settings.HostKeys([known]),
        )

    return target


def test_a_jump_host(gate: Callable[..., ssh_settings.Target]) -> None:
    with ssh.SshRemote(gate()) as remote:
        assert remote.run(['id', '-u']).stdout == '0\n'
        shown = remote.run(['cat'], stdin=b'x' * 300_000).stdout
        assert len(shown) == 300_000


def test_jump_hosts_that_do_not_get_there(
    machine: machines.Machine,
    inner: str,
    gate: Callable[..., ssh_settings.Target],
) -> None:
    jump = f'plain@127.0.0.1:{machine.port}'
    there = f'free@127.0.0.1:{_INNER} cannot be used:'
    cases = [
        (gate(jump_key=inner), f'{there} the jump host {jump}: its key SHA'),
        (gate(inner_key=machine.host_key), f'{there} its key SHA256:'),
        (gate(port=1), f'{there} the jump host plain@127.0.0.1:1: Conn'),
        (
            gate(user='nobody-special'),
            f'{there} nobody-special@127.0.0.1:{machine.port} does not get',
        ),
        (
            gate(behind=2223),
            f'free@127.0.0.1:2223 cannot be used: {jump} does not get there',
        ),
        (
            gate(user='nobody-at-all'),
            f'{there} the jump host nobody-at-all@127.0.0.1:{machine.port}: '
            'it refuses the login with the password',
        ),
    ]
    for target, said in cases:
        start = time.monotonic()
        with pytest.raises(ssh_connection.HostUnreachable) as caught:
            ssh.SshRemote(target)
        assert str(caught.value).startswith(said)
        assert '\n' not in str(caught.value)
        # Not only when nothing more is waited for.
        assert time.monotonic() - start < 60


def test_a_connection_that_is_dropped(
    machine: machines.Machine, gate: Callable[..., ssh_settings.Target]
) -> None:
    for target in (machine.target(), gate()):
        # A real sshd has dropped one, too, for reasons of its own.
        machine.drops = 1
        with ssh.SshRemote(target) as remote:
            assert remote.run(['id', '-u']).stdout == '0\n'
        assert machine.drops == 0
    machine.drops = 9
    try:
        with pytest.raises(ssh_connection.HostUnreachable, match=', 3 times'):
            ssh.SshRemote(machine.target())
        assert machine.drops == 6
    finally:
        machine.drops = 0


# -- what the program asks ---------------------------------------------------


def test_what_the_program_asks(
    machine: machines.Machine,
    gate: Callable[..., ssh_settings.Target],
    key: asyncssh.SSHKey,
    tmp_path: pathlib.Path,
) -> None:
    """At a terminal, which shows none of it."""
    (tmp_path / 'key').write_bytes(
        key.export_private_key(passphrase='opens it', rounds=1)
    )
    (tmp_path / 'm.yaml').write_text('validators: [package: sudo]')
    host = f'127.0.0.1:{machine.port}'

    def start(*argv: str) -> terminal.Terminal:
        known = gate().host_keys.files[0]
        return terminal.Terminal(
            [
                *(sys.executable, '-m', 'imagebuild.cmd.validate'),
                *('--manifest', tmp_path / 'm.yaml'),
                *('--known-hosts', known, *argv),
            ],
            cwd=tmp_path,
            env={**os.environ, 'HOME': str(tmp_path)},
        )

    key_options = ('--identity', str(tmp_path / 'key'), '--ask-passphrase')
    asked = start('--host', f'free@{host}', *key_options)
    asked.type('Passphrase of the key: ', 'opens it\n')
    assert asked.end() == 0, asked.shown
    assert f'free@{host} conforms.' in asked.shown
    assert 'opens it' not in asked.shown

    asked = start('--host', f'free@{host}', *key_options)
    asked.type('Passphrase of the key: ', 'another\n')
    assert asked.end() == 2, asked.shown
    assert 'The passphrase does not open the private key.' in asked.shown

    passwords = ('--ask-password', '--ask-sudo-password')
    asked = start(
        *('--host', f'plain@127.0.0.1:{_INNER}', *passwords),
        *('--jump', f'free@{host}'),
    )
    asked.type('Password: ', f'{machines.PASSWORD}\n')
    asked.type('Password for sudo: ', f'{machines.PASSWORD}\n')
    assert asked.end() == 0, asked.shown
    assert f'plain@127.0.0.1:{_INNER} conforms.' in asked.shown
    assert machines.PASSWORD not in asked.shown

    # Nobody there, somebody who changes his mind, and a manifest that is not
    # valid: nothing is asked in vain.
    asked = start('--host', f'plain@{host}', *passwords)
    asked.type('Password: ', '\x04')
    assert asked.end() == 2, asked.shown
    assert 'Password: none was given.' in asked.shown
    asked = start('--host', f'plain@{host}', *passwords)
    asked.type('Password: ', '\x03')
    assert asked.end() == 3, asked.shown
    assert 'Traceback' not in asked.shown
    asked = start('--host', f'plain@{host}', *passwords, '--colour', 'red')
    assert asked.end() == 2, asked.shown
    assert 'Password' not in asked.shown
