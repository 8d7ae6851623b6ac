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
"""The script at the end of an installation, run by a shell of this host."""

import base64
import pathlib
import re
import shlex
import subprocess
from typing import Any

from imagebuild.boot import mirror_network
from imagebuild.drivers.installer import InstallerOptions
from imagebuild.drivers.installer import late_script

WORD = 'imagebuild-0123456789abcdef'
HASH = '$6$rounds=5000$salt$' + 'x' * 86
KEY = 'ssh-ed25519 ' + 'A' * 68
FULL: dict[str, Any] = {
    'installer': 'one',
    'root_password_hash': HASH,
    'users': [
        {
            'name': 'ann',
            'ssh_keys': [f"{KEY} ann's \"key\" $(id)"],
            'sudo': True,
        },
        {'name': 'bob', 'password_hash': HASH, 'sudo': True},
    ],
}


def run_script(
    tmp_path: pathlib.Path, options: dict[str, Any]
) -> tuple[int, str, str]:
    """Run it, with programs and places of this test in it.

    :returns: exit code, what the console has, what the programs were told.
    """
    programs = tmp_path / 'bin'
    programs.mkdir(exist_ok=True)
    log, console = tmp_path / 'log', tmp_path / 'console'
    for each in (log, console):
        each.write_text('')
    for name in ('passwd', 'chpasswd', 'useradd', 'install', 'chown', 'id'):
        path = programs / name
        path.write_text(
            f'#!/bin/sh\necho "{name} $*" >>{log}\n'
            + ('cat >>' + str(log) + '\n' if name == 'chpasswd' else '')
            + ('exit 1\n' if name == 'id' else '')
        )
        path.chmod(0o755)
    (programs / 'getent').write_text(
        f'#!/bin/sh\nmkdir -p {tmp_path}/$2/.ssh\n'
        f'echo "$2:x:1:1::{tmp_path}/$2:/bin/sh"\n'
    )
    (programs / 'getent').chmod(0o755)
    (tmp_path / 'etc/apt/apt.conf.d').mkdir(parents=True, exist_ok=True)
    (tmp_path / 'etc/apt/apt.conf').write_text(
        f'Acquire::http::Proxy "{mirror_network.PROXY}";\n'
    )
    (tmp_path / 'etc/environment').write_text(
        f'LANG=C\nhttp_proxy={mirror_network.PROXY}\n'
    )
    script = tmp_path / 'late'
    text = late_script.script(InstallerOptions.parse(options), WORD)
    text, made = re.subn(r'^.*mknod .*\n', '', text, flags=re.MULTILINE)
    assert made == 1
    text = text.replace('/dev/ttyS0', str(console))
    text = text.replace('/etc/', f'{tmp_path}/etc/')
    text = text.replace(f'>{console}', f'>>{console}')
    # Nothing of this host is written to.
    left = text.replace(str(tmp_path), '')
    for place in re.findall(r'(?<![\w.}/])(/[a-z]+/\S*)', left):
        assert place in ('/bin/bash', '/dev/null', '/console') or (
            place.startswith('/etc/') and f'{tmp_path}{place}' in text
        ), place
    script.write_text(text)
    ended = subprocess.run(
        ['sh', str(script)],
        env={'PATH': f'{programs}:/usr/bin:/bin'},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not script.exists()
    return ended.returncode, console.read_text(), log.read_text()


def test_script(tmp_path: pathlib.Path) -> None:
    made = tmp_path / 'made'
    command = f"printf '%s' 'it'\"'\"'s' >{made}\necho \"$HOME\" more"
    options = {**FULL, 'late_commands': ['true', command]}
    code, console, log = run_script(tmp_path, options)
    assert code == 0, console
    assert made.read_text() == "it's"
    assert console.count(f'{WORD} done\n') == 3
    assert f'root:{HASH}\n' in log
    assert f'bob:{HASH}\n' in log
    assert 'useradd -m -s /bin/bash ann\n' in log
    assert 'passwd -l ann\n' in log
    # As arguments they would be seen.
    assert not re.search(rf'(passwd|useradd).*{re.escape(HASH)}', log)
    keys = (tmp_path / 'ann/.ssh/authorized_keys').read_text()
    assert keys == f"{KEY} ann's \"key\" $(id)\n"
    rules = (tmp_path / 'etc/sudoers.d/90-imagebuild').read_text()
    assert rules == (
        'ann ALL=(ALL:ALL) NOPASSWD: ALL\nbob ALL=(ALL:ALL) ALL\n'
    )
    assert not (tmp_path / 'etc/apt/apt.conf').exists()
    assert (tmp_path / 'etc/environment').read_text() == 'LANG=C\n'


def test_script_fails(tmp_path: pathlib.Path) -> None:
    options = {'installer': 'one', 'late_commands': ['true', 'exit 7', 'id']}
    code, console, _ = run_script(tmp_path, options)
    assert code == 1
    assert f'{WORD} failed 2 7\n' in console
    assert 'done' not in console
    assert 'runs 3' not in console


def test_commands_write_the_script(tmp_path: pathlib.Path) -> None:
    """Pieces of a script that is longer than a command may be."""
    text = f"printf %s 'é' >{tmp_path}/out #" + 'x' * 200_000
    commands = late_script.commands(text)
    assert max(map(len, commands)) < 100_000
    for command in commands:
        moved = command.replace(late_script.PATH, f'{tmp_path}/late')
        subprocess.run(['sh', '-ec', moved], check=True, timeout=60)
        assert shlex.split(command)
    assert (tmp_path / 'out').read_text() == 'é'
    assert (tmp_path / 'late').read_text() == text
    encoded = ''.join(re.findall(r'printf %s (\S+)', ' '.join(commands)))
    assert base64.b64decode(encoded).decode() == text
