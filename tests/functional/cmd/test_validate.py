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
"""imagebuild-validate: what it refuses, and what it never says."""

import json
import pathlib

import pytest

from imagebuild.cmd import validate
from tests import ssh_server

MANIFEST = """
validators:
- script:
    look.sh:
      inline: |
        echo "it said right horse, cmlnaHQgaG9yc2U= and right%20horse" >&2
        exit 1
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nothing of whoever runs the tests."""
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('SSH_AUTH_SOCK', raising=False)
    return tmp_path


@pytest.fixture
def run(tmp_path, capsys):
    path = tmp_path / 'm.yaml'
    path.write_text(MANIFEST)

    def run(*argv):
        code = validate.main(['--manifest', str(path), *map(str, argv)])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ('argv', 'said'),
    [
        (['--host', 'a', '--host', 'a'], 'a is named twice'),
        (['--host', 'a', '--host', 'root@a:22'], 'the same machine as a'),
        (['--host', 'a;reboot'], 'name of a host'),
        (['--host', 'a', '--jump', 'b,$(reboot)'], 'name of a host'),
        (['--host', 'x\ny'], 'is not an address'),
        (['--host', 'a', '--parallel', '0'], 'from 1 to 100'),
        (['--host', 'a', '--connect-timeout', 'nan'], 'above 0'),
        ([x for n in range(1001) for x in ('--host', f'h{n}')],
         'These are 1001 machines'),
        (['--host', 'a', '--identity', '/nowhere'], 'cannot be read'),
        (['--host', 'a', '--password-file', '/dev/zero'], 'is larger than'),
        (['--inventory', '/nowhere'], 'cannot be read'),
    ],
)  # fmt: skip
def test_what_is_refused(run, argv, said):
    code, out, err = run(*argv)
    assert code == 2
    assert said in err
    assert 'Traceback' not in err
    assert out == ''


def test_the_users_own_ssh_configuration_is_no_way_in(run, home):
    """It gives names to a shell; an inventory may be somebody else's."""
    made = home / 'made'
    (home / '.ssh').mkdir()
    (home / '.ssh' / 'config').write_text(
        'Match exec "test %h = web"\n  User nobody\n'
    )
    inventory = home / 'inventory.yaml'
    for host in (f'x;touch${{IFS}}{made}', f'x`touch<>{made}`'):
        inventory.write_text(json.dumps({'hosts': [host]}))
        code, _, err = run('--inventory', inventory)
        assert code == 2
        assert 'is not' in err
    assert not made.exists()


def test_a_machine_that_prints_the_password(run, tmp_path):
    """One that is told it by sudo, and a step."""
    (tmp_path / 'password').write_text(f'{ssh_server.PASSWORD}\n')
    (tmp_path / 'id').write_text('#!/bin/sh\necho 1000\n')
    sudo = tmp_path / 'sudo'
    sudo.write_text(
        '#!/bin/sh\n[ "$1" = -k ] || exit 1\n'
        'printf %s "$4" >&2; read -r x; echo "not $x" >&2; exit 1\n'
    )
    for name in ('id', 'sudo'):
        (tmp_path / name).chmod(0o755)
    known = tmp_path / 'known_hosts'

    def shown(shell, *more):
        with ssh_server.SshServer(shell) as server:
            known.write_text(server.known)
            _, out, err = run(
                '--host', f'root@127.0.0.1:{server.port}',
                '--password-file', tmp_path / 'password',
                '--known-hosts', known, '--verbose', *more,
            )  # fmt: skip
        text = out + err
        assert 'horse' not in text
        assert 'cmlnaHQgaG9yc2U' not in text
        return text

    with_sudo = f'PATH={tmp_path}:$PATH; {ssh_server.SHELL}'
    assert 'does not start (not ***)' in shown(with_sudo)
    assert 'does not start (not ***)' in shown(with_sudo, '--json')
    said = 'it said ***, *** and ***'
    assert said in shown(ssh_server.SHELL)
    assert said in shown(ssh_server.SHELL, '--json')


def test_many_machines_that_are_nowhere(run, tmp_path):
    """Each has its message, and memory of each ends with it."""
    inventory = tmp_path / 'inventory.yaml'
    hosts = [{'host': '127.0.0.1', 'port': 1 + n} for n in range(200)]
    inventory.write_text(json.dumps({'hosts': hosts}))
    before = len([*pathlib.Path('/proc/self/fd').iterdir()])
    code, out, _ = run(
        '--inventory', inventory, '--json', '--parallel', '100',
        '--connect-timeout', '20',
    )  # fmt: skip
    document = json.loads(out)
    assert code == 3
    assert {each['result'] for each in document['hosts']} == {'unreachable'}
    assert [each['host'] for each in document['hosts']] == [
        f'127.0.0.1:{1 + n}' if n != 21 else '127.0.0.1' for n in range(200)
    ]
    after = len([*pathlib.Path('/proc/self/fd').iterdir()])
    assert after <= before + 20


# -- values that are on no command line -------------------------------------

HIDING = """
arguments:
  secret: {required: true, hidden: true}
  size: {default: '1'}
  sure: {default: 'false'}
validators:
- script:
    look.sh:
      env_vars: [secret, size, sure]
      inline: |
        [ "$secret/$size/$sure" = "hush hush/007/true" ]
"""


def test_arguments_of_a_file(run, tmp_path):
    (tmp_path / 'm.yaml').write_text(HIDING)
    file = tmp_path / 'arguments.yaml'
    file.write_text('{secret: hush hush, size: 007, sure: true}')
    (tmp_path / 'password').write_text(f'{ssh_server.PASSWORD}\n')
    known = tmp_path / 'known_hosts'
    with ssh_server.SshServer() as server:
        known.write_text(server.known)

        def look(*more):
            code, out, err = run(
                '--host', f'root@127.0.0.1:{server.port}',
                '--password-file', tmp_path / 'password',
                '--known-hosts', known, '--arguments-file', file, *more,
            )  # fmt: skip
            assert 'hush hush' not in out + err
            return code

        assert look() == 0
        # What is said by hand takes precedence.
        assert look('--size', '8') == 1


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('secret: [hush]', '"secret" is no text or number'),
        ('secret:', '"secret" is no text or number'),
        ('[hush]', 'does not map names to values'),
        ('{secret: hush', 'is not valid'),
        ('{secret: hush, colour: hush}', 'colour: unknown argument'),
        (None, 'cannot be read'),
    ],
)
def test_what_is_no_file_of_arguments(run, tmp_path, text, said):
    (tmp_path / 'm.yaml').write_text(HIDING)
    file = tmp_path / 'arguments.yaml'
    if text is not None:
        file.write_text(text)
    code, _, err = run('--host', 'a', '--arguments-file', file)
    assert code == 2
    assert said in err
    assert 'hush' not in err
