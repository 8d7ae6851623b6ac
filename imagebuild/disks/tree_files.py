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
"""The files of a tree that will be a root file system, seen from outside.

Its absolute links point into this host as long as it is not a root: nothing
here follows them to there.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
from collections.abc import Iterable

from imagebuild import exception

#: As many links as the kernel follows for one path.
_MOST_LINKS = 40


class Tree:
    """A tree that will be a root file system.

    :param path: its directory.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def find(self, name: str) -> pathlib.Path | None:
        """Where a file is whose path, as the tree's own programs see it, may
        lead through links.

        :param name: relative to the root.
        :returns: its path on this host; None when there is nothing.
        """
        place, left, links = self.path, name.split('/')[::-1], 0
        while left:
            part = left.pop()
            if part in ('', '.'):
                continue
            if part == '..':
                place = self.path if place == self.path else place.parent
                continue
            entry = place / part
            if entry.is_symlink():
                links += 1
                if links > _MOST_LINKS:
                    return None
                target = os.readlink(entry)
                left.extend(target.split('/')[::-1])
                place = self.path if target.startswith('/') else place
                continue
            if not entry.exists():
                return None
            place = entry
        return place

    def find_file(self, name: str) -> pathlib.Path | None:
        """The same for a regular file."""
        found = self.find(name)
        if found is not None and stat.S_ISREG(found.lstat().st_mode):
            return found
        return None

    def names(self, directory: str) -> list[str]:
        """What is in a directory, sorted; empty when there is none."""
        found = self.find(directory)
        if found is None or not found.is_dir():
            return []
        return sorted(os.listdir(found))

    def read(self, name: str, default: str = '') -> str:
        """The text of a file, or the default when there is none."""
        found = self.find_file(name)
        if found is None:
            return default
        return found.read_text(encoding='utf-8', errors='replace')

    def make_directory(self, name: str) -> pathlib.Path:
        """Make a directory and those above it, where they are missing.

        :raises InvalidInput: there is a link in its place.
        """
        path = self._inside(f'{name}/x').parent
        path.mkdir(parents=True, exist_ok=True)
        return path

    def copy_files(self, directory: str, target: str) -> None:
        """Copy the regular files of a directory into another one."""
        to = self.make_directory(target)
        for name in self.names(directory):
            found = self.find_file(f'{directory}/{name}')
            if found is not None:
                (to / name).unlink(missing_ok=True)
                shutil.copy(found, to / name)

    def write(self, name: str, content: str) -> None:
        """Write a file, mode 0644, in place of whatever is there.

        :param name: relative to the root.
        """
        path = self._inside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o644)

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link in place of whatever file is there."""
        path = self._inside(name)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def copy_in(self, source: pathlib.Path, name: str) -> None:
        """Copy a file of the host, mode 0644."""
        path = self._inside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o644)

    def has(self, name: str) -> bool:
        """Whether there is a file or a link of that name."""
        path = self._inside(name)
        return path.is_symlink() or path.exists()

    def remove(self, patterns: Iterable[str]) -> None:
        """Remove files and links by shell patterns."""
        for pattern in patterns:
            for path in list(self.path.glob(pattern)):
                if path.is_symlink() or not path.is_dir():
                    self._inside(str(path.relative_to(self.path))).unlink()

    def _inside(self, name: str) -> pathlib.Path:
        path = self.path / name.lstrip('/')
        for parent in path.relative_to(self.path).parents:
            if (self.path / parent).is_symlink():
                raise exception.InvalidInput(
                    f'The tree has a link where a directory belongs: {parent}.'
                )
        return path
