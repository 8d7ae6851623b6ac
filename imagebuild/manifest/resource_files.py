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
"""The files that a manifest may name: its scripts and other resources."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from collections.abc import Sequence

#: Bytes of one script; it travels to the guest in one message.
MAX_BYTES = 2 * 1024 * 1024
#: Bytes of one file that is written in pieces; it is held in memory.
MAX_FILE_BYTES = 64 * 1024 * 1024


class ResourceError(Exception):
    """A resource cannot be used; the message has the reason."""


class Resources:
    """Directories and texts in which resources are looked up.

    :param roots: directories, searched in order; nothing outside them is read.
    :param texts: name to content, for manifests that did not come from a
        directory; looked up first.
    """

    def __init__(
        self,
        roots: Sequence[pathlib.Path] = (),
        texts: Mapping[str, str | bytes] | None = None,
    ) -> None:
        self.roots = tuple(pathlib.Path(root) for root in roots)
        self._texts = {
            name: text.encode() if isinstance(text, str) else text
            for name, text in (texts or {}).items()
        }

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """Return a resource's content.

        :param name: relative to one of the roots.
        :param limit: bytes that it may have.
        :raises ResourceError: it is not there, not a regular file, too
            large, or lies outside (also by a symbolic link).
        """
        if name in self._texts:
            return self._limited(name, self._texts[name], limit)
        if not name or '\0' in name:
            raise ResourceError(f'"{name!r}" is not a file name')
        if pathlib.PurePosixPath(name).is_absolute():
            raise ResourceError(
                f'"{name}" is absolute; resources are named relative to '
                'the resource roots'
            )
        for root in self.roots:
            path = self._inside(root, name)
            if path is not None:
                return self._content(name, path, limit)
        where = ', '.join(str(root) for root in self.roots) or 'none given'
        raise ResourceError(
            f'there is no file "{name}" in the resource roots ({where})'
        )

    @staticmethod
    def _inside(root: pathlib.Path, name: str) -> pathlib.Path | None:
        # Links are resolved before anything is opened: one that leads out of
        # the root is refused, whatever it is called.
        real_root = root.resolve()
        try:
            path = (real_root / name).resolve()
            there = path.exists()
        except (OSError, RuntimeError, ValueError) as error:
            raise ResourceError(f'"{name}" cannot be read') from error
        if not path.is_relative_to(real_root):
            raise ResourceError(f'"{name}" lies outside the resource roots')
        return path if there else None

    def _content(self, name: str, path: pathlib.Path, limit: int) -> bytes:
        if not path.is_file():
            raise ResourceError(f'"{name}" is not a regular file')
        try:
            if path.stat().st_size > limit:
                raise _too_large(name, limit)
            return path.read_bytes()
        except OSError as error:
            raise ResourceError(
                f'"{name}" cannot be read: {error.strerror}'
            ) from error

    @staticmethod
    def _limited(name: str, content: bytes, limit: int) -> bytes:
        if len(content) > limit:
            raise _too_large(name, limit)
        return content


def _too_large(name: str, limit: int) -> ResourceError:
    return ResourceError(f'"{name}" is larger than {limit // 1024**2} MiB')
