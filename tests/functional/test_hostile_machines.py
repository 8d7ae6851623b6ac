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

import time

import pytest

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
            **{'connect_timeout': 10.0, 'command_timeout': 20.0, **settings}
        ),
    )


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
        ssh.SshRemote(target(server, connect_timeout=2)) as remote,
        pytest.raises(ssh_connection.HostUnreachable, match='did not answer'),
    ):
        remote.run(['true'])
    assert time.monotonic() - start < 8


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
