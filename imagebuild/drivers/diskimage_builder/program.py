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
"""disk-image-create, confined, and what it prints."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import sys
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common import control_characters
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.disks import confined
from imagebuild.disks import host_command
from imagebuild.sandbox import host_view

NAME = 'disk-image-create'

#: A build of Debian prints half a MiB.
_MOST_OUTPUT = 64 * 1024 * 1024
_LONGEST_LINE = 4096
#: What a reason is made of, from the end.
_LAST_LINES = 400
_MOST_ERRORS = 3
# Of apt, dnf, zypper, of diskimage-builder itself, and of shells. The words
# of another program that follow them only repeat it.
_ERRORS = re.compile(
    r'^(?:E: |Error: |ERROR: |error: |mmdebstrap: error |dpkg: error )'
    r'|Exception: |Element .* not found|: command not found$'
    r'|No match for argument|Package .* not found'
)
_NO_ERRORS = re.compile(r'apt-get .* failed$|mmdebstrap failed to run')
_UNKNOWN_PACKAGE = (
    re.compile(r'E: Unable to locate package (?P<name>\S+)'),
    re.compile(r"E: Package '(?P<name>[^']+)' has no installation candidate"),
    re.compile(r'No match for argument: (?P<name>\S+)'),
    re.compile(r"No provider of '(?P<name>[^']+)' found"),
)
#: In lines of dib-run-parts of what runs in the image.
_PREFIX = re.compile(r'^(?:> )+')

#: Directories that hold what elements have no business with.
HIDDEN = tuple(map(pathlib.Path, ('/etc/imagebuild', '/root', '/home')))


@dataclasses.dataclass(frozen=True)
class Request:
    """What disk-image-create is to make.

    :ivar elements: names, that of the operating system among them.
    :ivar base: whether its element "base" is included.
    :ivar packages: extra ones.
    :ivar elements_path: directories of elements, besides those of
        diskimage-builder itself.
    :ivar environment: all variables that it has, besides where it works.
    :ivar cache: directory of downloads, None for one that is thrown away.
    :ivar timeout: seconds.
    """

    elements: Sequence[str]
    base: bool
    packages: Sequence[str]
    elements_path: Sequence[pathlib.Path]
    environment: Mapping[str, str]
    cache: pathlib.Path | None
    timeout: float


class UnknownPackages(exception.InvalidInput):
    msg_fmt = 'There is no package "%(name)s" for %(label)s.'


def find() -> str | None:
    """Where disk-image-create is, None when it is not installed."""
    own = pathlib.Path(sys.executable).parent
    return shutil.which(NAME, path=f'{own}:{confined.search_path()}')


def run(
    request: Request,
    workspace: pathlib.Path,
    on_line: Callable[[str], None],
) -> pathlib.Path:
    """Make the archive of a tree.

    :param workspace: directory for all of it.
    :param on_line: called with each line that it prints.
    :returns: the archive.
    :raises UnknownPackages: one of the extra packages is not known.
    :raises EnvironmentFault: it failed, or took too long.
    """
    with os_errors.on_write(workspace):
        for name in ('home', 'temporary', 'cache'):
            (workspace / name).mkdir()
        if request.cache is not None:
            request.cache.mkdir(parents=True, exist_ok=True)
    output = _Output(workspace / 'output', on_line)
    writable = [workspace, *filter(None, (request.cache,))]
    try:
        confined.run(
            host_view.command(
                _argv(request, workspace),
                writable=writable,
                readable=request.elements_path,
                hidden=HIDDEN,
                environment=_environment(request, workspace),
            ),
            writes_to=workspace,
            confinement=confined.Confinement(
                network=True, without=confined.HOST_CAPABILITIES
            ),
            files=host_command.Files(output=output.path),
            timeout=request.timeout,
            watch=output.poll,
            name=NAME,
        )
    except exception.HostCommandFailed as error:
        output.poll()
        unknown = output.unknown_package()
        if unknown in request.packages:
            raise UnknownPackages(
                name=unknown, label=' '.join(request.elements)
            ) from error
        raise exception.HostCommandFailed(
            program=NAME,
            exit_code=error.kwargs['exit_code'],
            reason=output.why() or error.kwargs['reason'],
        ) from error
    output.poll()
    return workspace / 'image.tar'


def _argv(request: Request, workspace: pathlib.Path) -> list[str]:
    argv = [
        find() or NAME, '-a', 'amd64', '-t', 'tar',
        '-o', str(workspace / 'image'), '--no-tmpfs',
        '--image-cache', str(request.cache or workspace / 'cache'),
    ]  # fmt: skip
    if not request.base:
        argv.append('-n')
    if request.packages:
        argv.extend(['-p', ','.join(request.packages)])
    return [*argv, '--', *request.elements]


def _environment(request: Request, workspace: pathlib.Path) -> dict[str, str]:
    own = pathlib.Path(sys.executable).parent
    cache = request.cache or workspace / 'cache'
    return {
        'LANG': 'C.UTF-8',
        **request.environment,
        'HOME': str(workspace / 'home'),
        'LOGNAME': 'root',
        'USER': 'root',
        # Those of the host first: elements mean its programs.
        'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:'
        f'/bin:{own}',
        'TMPDIR': str(workspace / 'temporary'),
        'TMP_DIR': str(workspace / 'temporary'),
        'ELEMENTS_PATH': ':'.join(map(str, request.elements_path)),
        'DIB_LOCKFILES': str(cache / 'locks'),
        'DIB_NO_TIMESTAMP': '1',
        'DIB_PYTHON_EXEC': sys.executable,
    }


class _Output:
    """What it prints, read while it is written.

    :param path: the file that it goes to.
    :param on_line: called with each line.
    """

    def __init__(
        self, path: pathlib.Path, on_line: Callable[[str], None]
    ) -> None:
        self.path = path
        self._on_line = on_line
        self._at = 0
        self._begun = b''
        self._last: list[str] = []

    def poll(self) -> None:
        """Read what is new.

        :raises HostCommandFailed: it is more than anybody would read.
        """
        try:
            with self.path.open('rb') as file:
                file.seek(self._at)
                new = file.read(_MOST_OUTPUT)
        except FileNotFoundError:
            return
        self._at += len(new)
        *lines, self._begun = (self._begun + new).split(b'\n')
        self._begun = self._begun[:_LONGEST_LINE]
        for line in lines:
            text = control_characters.escaped(
                line[:_LONGEST_LINE].decode(errors='replace').rstrip(),
                layout=True,
            )
            if text:
                self._last = [*self._last[-_LAST_LINES:], text]
                self._on_line(text)
        if self._at > _MOST_OUTPUT:
            raise exception.HostCommandFailed(
                program=NAME,
                exit_code='none',
                reason=f'it printed more than {space.human(_MOST_OUTPUT)}',
            )

    def why(self) -> str:
        """The first errors among the last lines; '' when none is marked."""
        plain = [_PREFIX.sub('', line) for line in self._last]
        found = [
            line
            for line in plain
            if _ERRORS.search(line) and not _NO_ERRORS.search(line)
        ]
        return '; '.join(list(dict.fromkeys(found))[:_MOST_ERRORS]) or (
            plain[-1] if plain else ''
        )

    def unknown_package(self) -> str:
        """A package that the package manager does not know, '' for none."""
        for line in self._last:
            for pattern in _UNKNOWN_PACKAGE:
                if match := pattern.search(line):
                    return match['name']
        return ''
