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
"""What the new system's own shell does at the end of an installation.

The same for every family: users, root's password, the request's commands.
Whoever can write a command is root in that system anyway; what it cannot do
is to become a line of an answer file, since the script is a file of its own
or encoded.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator

from imagebuild.boot import mirror_network
from imagebuild.drivers.installer import options

#: Where it is while it runs.
PATH = '/var/tmp/imagebuild-late'  # noqa: S108
_HEAD = """\
set -eu
rm -f "$0"
[ -c /dev/ttyS0 ] || mknod -m 600 /dev/ttyS0 c 4 64
word=@WORD@
say() {
    for turn in 1 2 3; do
        printf '\\n%s %s\\n' "$word" "$*" >/dev/ttyS0
    done
}
run() {
    number=$1
    say "runs $number"
    sh -c "$2" </dev/null >/dev/ttyS0 2>&1 && return
    say "failed $number $?"
    exit 1
}
"""
# Nobody's proxy is there when the system runs.
_TAIL = """\
for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/* /etc/dnf/dnf.conf \\
    /etc/yum.repos.d/* /etc/environment; do
    if [ -f "$file" ] && grep -qF @PROXY@ "$file"; then
        grep -vF @PROXY@ "$file" >"$file.new" || :
        cat "$file.new" >"$file"
        rm "$file.new"
        [ -s "$file" ] || rm "$file"
    fi
done
rm -f /etc/cloud/cloud.cfg.d/99-installer.cfg \\
    /etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg
say done
"""
_SUDO = '/etc/sudoers.d/90-imagebuild'
#: Characters of an encoded script in one command.
_PIECE = 60000


def script(asked: options.InstallerOptions, word: str) -> str:
    """Write it.

    :param word: begins each line that it says on the console.
    """
    lines = [_filled(_HEAD, word).rstrip()]
    lines += _password('root', asked.root_password_hash)
    for user in asked.people:
        lines += _user(user)
    for number, command in enumerate(asked.late_commands, 1):
        lines.append(f'run {number} {shlex.quote(command)}')
    return '\n'.join([*lines, _filled(_TAIL, word)])


def _filled(text: str, word: str) -> str:
    values = {'WORD': word, 'PROXY': mirror_network.PROXY}
    return re.sub(r'@([A-Z]+)@', lambda found: values[found[1]], text)


def _password(name: str, hashed: str) -> Iterator[str]:
    # Not as an argument: those are seen by everybody in the system.
    if hashed:
        entry = shlex.quote(f'{name}:{hashed}')
        yield f"printf '%s\\n' {entry} | chpasswd -e"
    else:
        yield f'passwd -l {name}'


def _user(user: options.User) -> Iterator[str]:
    name = user.name
    yield f'id {name} >/dev/null 2>&1 || useradd -m -s /bin/bash {name}'
    yield from _password(name, user.password_hash)
    if user.ssh_keys:
        keys = shlex.quote('\n'.join(user.ssh_keys))
        yield f'home=$(getent passwd {name} | cut -d: -f6)'
        yield f'install -d -m 700 -o {name} "$home/.ssh"'
        yield f"printf '%s\\n' {keys} >\"$home/.ssh/authorized_keys\""
        yield f'chown -R {name}: "$home/.ssh"'
        yield 'chmod 600 "$home/.ssh/authorized_keys"'
    if user.sudo:
        rule = 'ALL' if user.password_hash else 'NOPASSWD: ALL'
        yield 'mkdir -p /etc/sudoers.d'
        yield f"printf '%s\\n' '{name} ALL=(ALL:ALL) {rule}' >>{_SUDO}"
        yield f'chmod 440 {_SUDO}'


def commands(text: str) -> list[str]:
    """Commands for a shell that write the script and run it.

    Nothing in them has a meaning for a shell, for YAML or for a kickstart.
    """
    encoded = base64.b64encode(text.encode()).decode()
    pieces = [
        encoded[start : start + _PIECE]
        for start in range(0, len(encoded), _PIECE)
    ]
    written = [f'printf %s {each} >>{PATH}.b64' for each in pieces]
    return [
        f'rm -f {PATH}.b64',
        *written,
        f'base64 -d {PATH}.b64 >{PATH} && rm {PATH}.b64 && sh {PATH}',
    ]
