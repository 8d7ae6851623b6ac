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
"""A guest of a few megabytes: it has a shell, and says that it is a Debian."""

import pathlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

_START = 1024 * 1024
_SIZE = 64 * 1024 * 1024
_PROGRAMS = tuple(
    'sh cat sleep sync rm ls mkdir true env ln mkfifo chmod chown mv cp kill '
    'mktemp head tail id setsid timeout dd stat readlink mount umount sed tr '
    'wc grep find touch cut date sort uname rmdir tee cmp'.split()
)
_FILES = {
    'etc/os-release': 'ID=debian\nVERSION_ID="12"\nNAME=Debian\n',
    'etc/debian_version': '12.0\n',
    'etc/fstab': 'LABEL=root / ext4 defaults 0 1\n',
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
    'etc/group': 'root:x:0:\n',
    'var/lib/dpkg/status': '',
}
_DIRECTORIES = (
    'tmp', 'root', 'proc', 'sys', 'dev', 'run', 'usr/bin', 'var/tmp',
    'etc/apt',
)  # fmt: skip

#: Three steps; each leaves a file, however often it runs. The second waits.
MANIFEST = """\
arguments: {{round: {{default: '{round}'}}}}
validators:
- script:
    one: {{inline: '{first}cat /etc/os-release >/etc/said-one; sync'}}
- script:
    waits:
      inline: |
        echo {round} >/etc/said-two
        sleep {seconds}
- script: {{three: {{inline: 'echo three {round} >/etc/said-three'}}}}
"""


def make(
    path: pathlib.Path, more: Mapping[str, str] | None = None
) -> pathlib.Path:
    """Make the disk: raw, of 66 MiB, most of them never written.

    :param more: programs by the names that they get there.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        tree = pathlib.Path(name, 'tree')
        _fill(tree, {**{each: each for each in _PROGRAMS}, **(more or {})})
        part = pathlib.Path(name, 'part')
        for file, size in ((part, _SIZE), (path, _SIZE + 2 * _START)):
            with file.open('wb') as made:
                made.truncate(size)
        subprocess.run(
            ['mke2fs', '-q', '-t', 'ext4', '-L', 'root', '-d', tree, part],
            check=True,
        )
        subprocess.run(
            ['sfdisk', '-q', '--no-tell-kernel', path],
            input=b'label: gpt\nstart=1MiB, size=64MiB\n',
            check=True,
        )
        subprocess.run(
            ['dd', f'if={part}', f'of={path}', 'bs=1M', 'seek=1']
            + ['conv=notrunc,sparse', 'status=none'],
            check=True,
        )
    return path


def _fill(tree: pathlib.Path, programs: Mapping[str, str]) -> None:
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True)
    (tree / 'tmp').chmod(0o1777)
    (tree / 'sbin').symlink_to('usr/bin')
    for name in ('bin', 'lib', 'lib64'):
        (tree / 'usr' / name).mkdir(exist_ok=True)
        (tree / name).symlink_to(f'usr/{name}')
    for name, program in programs.items():
        found = shutil.which(program)
        assert found, program
        shutil.copy(found, tree / 'usr/bin' / name)
        needed = subprocess.run(['ldd', found], capture_output=True, text=True)
        for word in needed.stdout.split():
            if word.startswith('/'):
                target = tree / word[1:]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)
    for name, text in _FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def manifest(number: int, seconds: float) -> str:
    """The manifest of a round.

    The first step is that of every other round, or, every other time, one
    that no layer has.
    """
    first = f': {number}; ' if random.random() < 0.5 else ''
    return MANIFEST.format(round=number, seconds=seconds, first=first)


def problem(disk: pathlib.Path, number: int) -> str:
    """What is wrong with a disk on which the manifest of a round has run.

    :returns: '' when it is whole and has all files.
    """
    device = f'{disk}?offset={_START}'
    check = subprocess.run(
        ['e2fsck', '-f', '-n', device], capture_output=True, text=True
    )
    if check.returncode:
        return f'e2fsck: {check.stdout[-300:]}'
    wanted = {
        'one': _FILES['etc/os-release'],
        'two': f'{number}\n',
        'three': f'three {number}\n',
    }
    for name, text in wanted.items():
        found = subprocess.run(
            ['debugfs', '-R', f'cat /etc/said-{name}', device],
            capture_output=True,
            text=True,
        )
        if found.stdout != text:
            return f'said-{name} is {found.stdout!r}'
    return ''
