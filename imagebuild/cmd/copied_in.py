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
"""``imagebuild-pack --copy-in``: files of this host, while an image is packed.

Packages of an offline directory, or what a vendor gives to customers only,
are in the image while steps run, and no longer when it is done. When a step
fails the image is as it was anyway.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild import exception
from imagebuild import manifest
from imagebuild.remotes.base import Remote

#: Bytes that are in memory at once.
_CHUNK = 16 * 1024**2

_MAKE = r"""
if [ -e "$1" ] || [ -L "$1" ]; then
    echo "$1 is there already" >&2
    exit 1
fi
top=$1
while parent=$(dirname -- "$top") && [ ! -e "$parent" ]; do
    top=$parent
done
mkdir -p -- "$1" && printf '%s' "$top"
"""
_REMOVE = r"""
rm -rf -- "$1"
path=$1
# What was made for it, unless something else is in it now.
while [ "$path" != "$2" ]; do
    path=$(dirname -- "$path")
    rmdir -- "$path" 2> /dev/null || exit 0
done
"""


@dataclasses.dataclass(frozen=True)
class CopiedDirectory:
    """A directory of this host and where it is in the image.

    :ivar source: on this host.
    :ivar target: absolute path in the image.
    """

    source: pathlib.Path
    target: str

    def files(self) -> Iterator[tuple[pathlib.Path, str]]:
        """Its files, and where they are in the image.

        :raises InvalidInput: one of them cannot be copied.
        """

        def refuse(error: OSError) -> None:
            raise exception.InvalidInput(
                f'--copy-in: {error.filename} cannot be read '
                f'({error.strerror}).'
            )

        for where, directories, names in os.walk(self.source, onerror=refuse):
            directories.sort()
            here = pathlib.Path(where)
            links = [
                name for name in directories if (here / name).is_symlink()
            ]
            for name in sorted([*names, *links]):
                path = here / name
                if not path.is_file():
                    raise exception.InvalidInput(
                        f'--copy-in: {path} is not a regular file.'
                    )
                inside = path.relative_to(self.source)
                yield path, f'{self.target}/{inside}'


def parse(texts: Sequence[str]) -> list[CopiedDirectory]:
    """Read the values of the option, and look at the directories.

    :param texts: ``HOST:PATH`` each.
    :raises InvalidInput: one of them is wrong.
    """
    found = []
    for text in texts:
        source, colon, target = text.rpartition(':')
        wrong = manifest.Argument('', type='path').error(target)
        if not (source and colon) or wrong or target == '/':
            raise exception.InvalidInput(
                f'--copy-in: "{text}" is not DIRECTORY:PATH, a directory of '
                'this host and an absolute path in the image.'
            )
        item = CopiedDirectory(pathlib.Path(source), target)
        if not item.source.is_dir():
            raise exception.InvalidInput(
                f'--copy-in: {source} is not a directory.'
            )
        for _ in item.files():
            pass
        found.append(item)
    return found


class WithFiles(manifest.Runnable):
    """What is run while files of this host are in the image.

    :param doing: is told what is done around the steps.
    """

    def __init__(
        self,
        what: manifest.Runnable,
        copied: Sequence[CopiedDirectory],
        doing: Callable[[str], None],
    ) -> None:
        self._what = what
        self._copied = tuple(copied)
        self._doing = doing

    def run(
        self,
        remote: Remote,
        *,
        reconcile: bool = True,
        monitor: manifest.Monitor | None = None,
        cache: manifest.StepCache | None = None,
    ) -> manifest.Report:
        """See :meth:`imagebuild.manifest.Runnable.run`.

        :raises StepError: something is at a place already, or the disk of
            the image is full.
        """
        if not reconcile:
            return self._what.run(remote, reconcile=False, monitor=monitor)
        tops = [self._copy(remote, item) for item in self._copied]
        report = self._what.run(remote, monitor=monitor, cache=cache)
        for item, top in zip(self._copied, tops, strict=True):
            _sh(remote, _REMOVE, item.target, top)
        return report

    def _copy(self, remote: Remote, item: CopiedDirectory) -> str:
        self._doing(f'Copying {item.source} into the image')
        try:
            top = _sh(remote, _MAKE, item.target)
            for path, target in item.files():
                _copy_file(remote, path, target)
        except exception.RemoteCommandFailed as error:
            lines = error.stderr.strip().splitlines()
            raise exception.StepFailed(
                f'--copy-in: {lines[-1] if lines else error}'
            ) from error
        return top

    def plan(
        self, remote: Remote, *, cache: manifest.StepCache | None = None
    ) -> list[manifest.PlannedStep]:
        """See :meth:`imagebuild.manifest.Runnable.plan`."""
        return self._what.plan(remote, cache=cache)

    def content_key(self) -> str:
        """See :meth:`imagebuild.manifest.Runnable.content_key`."""
        return self._what.content_key()


def _copy_file(remote: Remote, path: pathlib.Path, target: str) -> None:
    _sh(remote, 'mkdir -p -- "$(dirname -- "$1")" && : > "$1"', target)
    try:
        with path.open('rb') as file:
            while chunk := file.read(_CHUNK):
                _sh(remote, 'cat >> "$1"', target, stdin=chunk)
    except OSError as error:
        raise exception.InvalidInput(
            f'--copy-in: {path} cannot be read ({error.strerror}).'
        ) from None


def _sh(remote: Remote, text: str, *args: str, stdin: bytes = b'') -> str:
    command = ['/bin/sh', '-c', text, 'imagebuild', *args]
    return remote.run(command, stdin=stdin).stdout
