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
"""Runs a program that can read this host and write to a few directories.

It is for programs that must be root and are trusted, but may have defects: a
variable that is empty where a directory was meant costs a workspace, and not
a host. What is hidden it does not see. It keeps nobody out who is root and
wants to: it could mount again what is mounted here.

Run as the only program of mount and process namespaces of its own: the mounts
go with it, however it ends.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.sandbox import mount_calls

# Without other packages: it starts in a moment.
_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from imagebuild.sandbox import host_view
host_view.main(sys.argv[2])
"""
#: Directories for what is temporary: empty ones in their places.
_TEMPORARY = ('/tmp', '/var/tmp', '/dev/shm')  # noqa: S108
_TEMPORARY_OPTIONS = {'mode': '1777', 'size': '1g'}
_HIDDEN_OPTIONS = {'mode': '700', 'size': '64k'}
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def command(
    argv: Sequence[str],
    *,
    writable: Sequence[pathlib.Path],
    readable: Sequence[pathlib.Path] = (),
    hidden: Sequence[pathlib.Path] = (),
    environment: Mapping[str, str],
) -> list[str]:
    """The command that becomes a program; to be confined by the caller.

    :param argv: the program and its arguments.
    :param writable: directories that are there; all else can only be read.
    :param readable: directories that are seen wherever they lie; so are this
        interpreter's.
    :param hidden: directories in whose place empty ones are seen, if they are
        there; so are those for what is temporary.
    :param environment: all variables that the program has.
    """
    top = pathlib.Path(__file__).resolve().parents[2]
    seen = [*readable, top, sys.prefix, sys.base_prefix]
    text = json.dumps(
        {
            'argv': list(argv),
            'writable': [str(each) for each in writable],
            'readable': [str(each) for each in seen],
            'hidden': [str(each) for each in hidden],
            'environment': dict(environment),
        }
    )
    return [
        sys.executable, '-I', '-S', '-X', 'utf8', '-c', _PROGRAM,
        str(top), text,
    ]  # fmt: skip


def become(
    argv: Sequence[str],
    writable: Sequence[str],
    readable: Sequence[str],
    hidden: Sequence[str],
    environment: Mapping[str, str],
) -> None:
    """Change what is seen of the host, and become the program.

    :raises OSError: something of it is not possible.
    """
    emptied = [
        path
        for path in map(os.path.realpath, (*_TEMPORARY, *hidden))
        if os.path.isdir(path)
    ]
    kept = {path: _clone(path) for path in map(os.path.realpath, writable)}
    seen = {
        path: _clone(path)
        for path in map(os.path.realpath, readable)
        if any(_is_below(path, each) for each in emptied)
    }
    mount_calls.make_read_only('/')
    temporary = set(map(os.path.realpath, _TEMPORARY))
    for path in emptied:
        # One may lie below another.
        if os.path.isdir(path):
            _put_empty(
                path,
                _TEMPORARY_OPTIONS if path in temporary else _HIDDEN_OPTIONS,
            )
    for path, tree in sorted(seen.items()):
        _attach(tree, path)
        mount_calls.make_read_only(path)
    for path, tree in sorted(kept.items()):
        _attach(tree, path)
    os.chdir('/')
    os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606


def _clone(path: str) -> int:
    found = os.open(path, _OPEN)
    try:
        return mount_calls.clone_tree(found)
    finally:
        os.close(found)


def _put_empty(path: str, options: Mapping[str, str]) -> None:
    mount = mount_calls.make_mount(
        'tmpfs',
        'none',
        options,
        mount_calls.ATTR_NOSUID | mount_calls.ATTR_NODEV,
    )
    _attach(mount, path)


def _is_below(path: str, directory: str) -> bool:
    return os.path.commonpath((path, directory)) == directory


def _attach(mount: int, path: str) -> None:
    # It lies below a directory that is empty now.
    os.makedirs(path, exist_ok=True)
    target = os.open(path, _OPEN)
    try:
        mount_calls.attach(mount, target)
    finally:
        os.close(target)
        os.close(mount)


def main(text: str) -> None:
    """The program; what is wrong it says on standard error.

    :param text: the arguments of :func:`become`, in JSON.
    """
    try:
        become(**json.loads(text))
    except OSError as error:
        what = error.filename or 'the mounts'
        sys.exit(f'{what}: {error.strerror}')
