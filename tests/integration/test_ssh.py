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
"""The Remote's contract, and more, over a real sshd with a real system."""

import contextlib
import dataclasses
import pathlib
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.remotes import ssh
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings
from tests.contract import remote_contract
from tests.integration import machines


@pytest.fixture(scope='module')
def machine(
    machine_tree: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[machines.Machine]:
    directory = tmp_path_factory.mktemp('machine')
    with machines.Machine(machine_tree, directory) as running:
        yield running


@pytest.fixture(scope='module')
def opened(machine: machines.Machine) -> Iterator[ssh.SshRemote]:
    """By sudo, as a user whose shell is noisy."""
    with ssh.SshRemote(machine.target('free')) as remote:
        yield remote


class TestSshRemote(remote_contract.RemoteContract):
    @pytest.fixture
    def remote(self, opened: ssh.SshRemote) -> ssh.SshRemote:
        return opened

    @pytest.fixture
    def fresh_remote(
        self, machine: machines.Machine
    ) -> Iterator[ssh.SshRemote]:
        with ssh.SshRemote(machine.target('free')) as remote:
            yield remote


# -- beyond the contract ----------------------------------------------------


SECRET = 'horse battery staple'


def lines(machine: machines.Machine) -> list[bytes]:
    """The command lines of what runs in a machine."""
    found = []
    for pid in machine.processes():
        # It may have ended by now.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(pathlib.Path(f'/proc/{pid}/cmdline').read_bytes())
    return found


def once_it_sleeps(
    machine: machines.Machine,
    seconds: int,
    then: Callable[[], None],
    *,
    times: int = 1,
) -> None:
    """Do something as soon as so many "sleep SECONDS" run in a machine."""
    wanted = f'sleep\0{seconds}\0'.encode()

    def watch() -> None:
        while lines(machine).count(wanted) < times:
            time.sleep(0.1)
        then()

    threading.Thread(target=watch, daemon=True).start()


def test_nothing_of_a_secret_is_seen_or_left(
    machine: machines.Machine, opened: ssh.SshRemote
) -> None:
    """Process lists, sudo's log, files: while it runs and afterwards."""
    given = {'SECRET': SECRET, 'my-secret': SECRET}
    script = (
        b'#!/bin/sh\n'
        b'test "$SECRET" || exit 1\n'
        b'echo "$SECRET" | sha256sum\n'
        b'until [ -e /run/looked ]; do echo more; sleep 0.25; done\n'
        b'rm /run/looked\n'
    )
    seen: list[str] = []

    def look(stream: str, text: str) -> None:
        seen.extend(each.decode('utf-8', 'replace') for each in lines(machine))
        if any(each.startswith('sleep\x000.25') for each in seen):
            machine.run('touch', '/run/looked')

    result = opened.run_script(script, name='x.sh', env=given, on_output=look)
    assert result.exit_code == 0
    shown = opened.run(['env'], env=given, on_output=look).stdout
    assert f'my-secret={SECRET}\n' in shown
    assert f'SECRET={SECRET}\n' in shown
    result = opened.run(
        ['sh', '-c', 'cat; sleep 1'], stdin=SECRET.encode(), on_output=look
    )
    assert result.stdout == SECRET
    opened.write_file('/etc/secret', SECRET.encode(), mode=0o600)
    opened.remove_file('/etc/secret')
    assert any(each.startswith('sleep\x000.25') for each in seen)
    assert not [each for each in seen if SECRET in each]
    upper = machine.directory / 'upper'
    left = [
        path
        for path in upper.rglob('*')
        if path.is_file()
        and (
            SECRET.encode() in path.read_bytes()
            or machines.PASSWORD.encode() in path.read_bytes()
        )
    ]
    assert left == []
    assert not list(upper.glob('**/.imagebuild*'))


@pytest.mark.parametrize(
    ('user', 'login', 'said'),
    [
        ('root', {'password': 'wrong'}, 'refuses the login with the password'),
        ('root', {}, 'refuses the login with nothing'),
        (
            'plain',
            {'password': machines.PASSWORD, 'sudo_password': 'wrong'},
            'sudo refuses the password',
        ),
        (
            'nobody-special',
            {'password': machines.PASSWORD},
            'not in the sudoers file',
        ),
    ],
)
def test_what_does_not_let_one_in(
    machine: machines.Machine, user: str, login: dict[str, str], said: str
) -> None:
    target = dataclasses.replace(
        machine.target(user), login=ssh_settings.Login(**login)
    )
    start = time.monotonic()
    with (
        pytest.raises(ssh_connection.HostUnreachable, match=said) as caught,
        ssh.SshRemote(target) as remote,
    ):
        remote.run(['true'])
    assert time.monotonic() - start < 60
    assert '\n' not in str(caught.value)


def test_keys_of_machines(
    machine: machines.Machine, tmp_path: pathlib.Path
) -> None:
    """Unknown, accepted, known, changed and pinned."""
    known = tmp_path / 'new' / 'known_hosts'

    def attempt(**keys: object) -> None:
        host_keys = ssh_settings.HostKeys([known], **keys)  # type: ignore[arg-type]
        target = dataclasses.replace(machine.target(), host_keys=host_keys)
        ssh.SshRemote(target).close()

    with pytest.raises(ssh_connection.HostUnreachable) as caught:
        attempt()
    text = str(caught.value)
    fingerprint = next(
        word for word in text.split() if word.startswith('SHA256:')
    )
    assert 'is not known' in text
    assert '--accept-new' in text
    assert not known.exists()
    attempt(accept_new=True)
    attempt()
    attempt(accept_new=True)
    assert known.read_text() == (
        f'[127.0.0.1]:{machine.port} {machine.host_key}\n'
    )
    assert known.stat().st_mode & 0o777 == 0o600
    attempt(pinned=fingerprint)
    other = 'SHA256:' + 'A' * 43
    with pytest.raises(
        ssh_connection.HostUnreachable, match=f'expected {other}'
    ):
        attempt(pinned=other)
    key = machine.host_key.split()[1]
    changed = key[:-8] + ('AAAAAAAA' if key[-8:] != 'AAAAAAAA' else 'BBBBBBBB')
    known.write_text(f'[127.0.0.1]:{machine.port} ssh-ed25519 {changed}\n')
    for accept in (False, True):
        with pytest.raises(ssh_connection.HostUnreachable, match='made again'):
            attempt(accept_new=accept)


def test_it_is_gone_in_the_middle_of_a_step(
    machine_tree: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Killed, and hung: what says nothing is found by its silence."""
    for number, end in enumerate(('die', 'hang')):
        directory = tmp_path / str(number)
        with machines.Machine(machine_tree, directory) as machine:
            target = machine.target(keepalive=1.0)
            with ssh.SshRemote(target) as remote:
                remote.prepare()
                once_it_sleeps(machine, 500, getattr(machine, end))
                start = time.monotonic()
                with pytest.raises(
                    ssh_connection.HostUnreachable,
                    match='was lost during sleep',
                ):
                    remote.run(['sleep', '500'])
                assert time.monotonic() - start < 100


def test_the_command_ends_with_the_connection(
    machine: machines.Machine,
) -> None:
    remote = ssh.SshRemote(machine.target('free'))
    once_it_sleeps(machine, 17310, remote.close, times=2)
    with pytest.raises(ssh_connection.HostUnreachable):
        remote.run(['sh', '-c', 'setsid sleep 17310 & sleep 17310'])
    end = time.monotonic() + 60
    with ssh.SshRemote(machine.target('root')) as other:
        while other.run(remote_contract.COUNT_SLEEPERS).stdout != '0\n':
            assert time.monotonic() < end
            time.sleep(0.2)


# -- a disk that is full, and one that cannot be written to -----------------


def test_a_full_disk(machine: machines.Machine, opened: ssh.SshRemote) -> None:
    machine.run('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/mnt')
    try:
        opened.write_file('/mnt/small', b'old')
        for path in ('/mnt/small', '/mnt/new/large'):
            with pytest.raises(exception.StepError, match='No space left'):
                opened.write_file(path, b'x' * 1_000_000)
        assert opened.read_file('/mnt/small') == b'old'
        left = opened.run(['find', '/mnt', '-type', 'f']).stdout
        assert left == '/mnt/small\n'
    finally:
        machine.run('umount', '/mnt')


def test_a_root_that_is_read_only(machine: machines.Machine) -> None:
    file = 'validators: [file: {/etc/made: {content: x}}]\n'
    script = 'validators: [script: {x: {inline: "true"}}]\n'
    machine.remount('ro')
    try:
        with ssh.SshRemote(machine.target()) as remote:
            for each in (file, script):
                with pytest.raises(
                    exception.StepFailed, match='Read-only file system'
                ) as caught:
                    manifest.load(each).bind().run(remote)
                assert '\n' not in str(caught.value)
    finally:
        machine.remount('rw')


# -- what is no sshd --------------------------------------------------------


@pytest.mark.parametrize(
    ('sent', 'said'),
    [
        (b'', 'did not let us in within 2 seconds'),
        (b'SSH-2.0-slow\r\n', 'did not let us in within 2 seconds'),
        (b'a banner without an end ' * 1000, 'line too long'),
        (b'banner\r\n' * 100_000, 'anner'),
        (b'SSH-2.0-x\x1b]0;title\x07\r\n' + b'\xff' * 100_000, 'cannot be'),
        (None, 'Connection refused'),
    ],
)
def test_what_is_no_sshd(sent: bytes | None, said: str) -> None:
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    port = listener.getsockname()[1]
    accepted: list[socket.socket] = []

    def serve() -> None:
        connection, _ = listener.accept()
        accepted.append(connection)
        try:
            connection.sendall(sent or b'')
        except OSError:
            return

    # Nobody else gets a port that is bound, and it refuses as long as nobody
    # listens.
    if sent is not None:
        listener.listen()
        threading.Thread(target=serve, daemon=True).start()
    target = ssh_settings.Target(
        ssh_settings.Address('127.0.0.1', port, 'root'),
        settings=ssh_settings.SshSettings(
            connect_timeout=2 if '2 seconds' in said else 60
        ),
    )
    start = time.monotonic()
    with pytest.raises(ssh_connection.HostUnreachable, match=said) as caught:
        ssh.SshRemote(target)
    assert time.monotonic() - start < 50
    assert str(caught.value).isprintable()
    listener.close()
    for each in accepted:
        each.close()


PLAYBOOK = """\
- hosts: all
  tasks:
    - name: the page
      ansible.builtin.template: {src: page.j2, dest: /srv/page, mode: '0640'}
"""


def test_ansible(machine: machines.Machine) -> None:
    """The real one; most of the time it is installed, 25 s in all."""
    files = {'site.yml': PLAYBOOK, 'page.j2': 'of {{ greeting }}\n'}
    step = {
        'ansible': {
            'source': 'site.yml',
            'files': ['page.j2'],
            'variables': ['greeting'],
        }
    }
    wanted = manifest.load(
        {
            'arguments': {'greeting': {'default': "it's"}},
            'validators': [
                {'package': 'ansible-core'},
                {'configuration': step},
            ],
        },
        resources=files,
    )
    with ssh.SshRemote(machine.target(command_timeout=600.0)) as remote:
        first = wanted.run(remote)
        assert [str(each.result) for each in first.steps] == ['changed'] * 2
        assert remote.read_file('/srv/page') == b"of it's\n"
        again = wanted.run(remote)
        assert [str(each.result) for each in again.steps] == ['ok'] * 2
        assert wanted.run(remote, reconcile=False)
        remote.write_file('/srv/page', b'another')
        with pytest.raises(
            exception.NotConforming, match='ansible would change 1 thing'
        ):
            wanted.run(remote, reconcile=False)
        left = remote.run(['ls', '-A', '/root', '/tmp', '/var/tmp']).stdout
    assert 'ansible' not in left
    assert 'imagebuild' not in left
