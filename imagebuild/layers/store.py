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
"""The directory in which layers are kept.

``secret``
    what keys are made with: without it nobody can tell from a key which
    values led to it.
``layers/ID/``
    see :mod:`imagebuild.layers.entries`.
``incoming/``
    what is being written, each in a locked directory; renamed when it is
    whole, and removed by whoever opens the store when its writer is gone.
``facts/``
    what runs have learned of bases.

Any number of processes use it at once. Nothing in it is needed: what is
damaged, or does not fit, is removed and made again by some later build.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import hashlib
import heapq
import hmac
import json
import logging
import os
import pathlib
import secrets
import time
from collections.abc import Mapping
from typing import Any

from imagebuild.common import described_files
from imagebuild.common import locked_directory
from imagebuild.common import os_errors
from imagebuild.common import own_files
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import file_copy
from imagebuild.layers import entries

LOG = logging.getLogger(__name__)

_SECRET = 'secret'  # noqa: S105
_LAYERS = 'layers'
_INCOMING = 'incoming'
_FACTS = 'facts'
_SECRET_BYTES = 32
#: What link(2) answers where there can be no second name.
_CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is kept.

    :ivar max_bytes: on the host's disk, 0 for no limit.
    :ivar max_age: seconds that something may lie unused, 0 for no limit.
    :ivar reserve: bytes that must be free for anything to be kept.
    """

    max_bytes: int = 0
    max_age: float = 0
    reserve: int = 0


class Store:
    """A directory with layers.

    :param directory: made if it is not there; nobody else may look into it.
    :raises InvalidInput: it is somebody else's, or others may write to it.
    :raises EnvironmentFault: it cannot be made or written to.
    """

    def __init__(
        self, directory: pathlib.Path, limits: Limits | None = None
    ) -> None:
        # Other programs, in other directories, are given paths in it.
        self.directory = directory = pathlib.Path(os.path.abspath(directory))
        self._limits = limits or Limits()
        with os_errors.on_write(directory):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700, parents=True)
            own_files.check_private(directory, 'Layers')
            for name in (_LAYERS, _INCOMING, _FACTS):
                (directory / name).mkdir(mode=0o700, exist_ok=True)
            locked_directory.sweep(
                locked_directory.listed(directory / _INCOMING),
                left_by='a killed build',
            )
            self._secret = self._read_secret()

    def _read_secret(self) -> bytes:
        path = self.directory / _SECRET
        with contextlib.suppress(FileNotFoundError):
            found = path.read_bytes()
            if len(found) == _SECRET_BYTES:
                return found
        # Several may come here at once: the first one to be there counts.
        with self._incoming() as directory:
            new = directory / _SECRET
            described_files.write(new, secrets.token_bytes(_SECRET_BYTES))
            if path.exists() and path.stat().st_size != _SECRET_BYTES:
                path.unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
        return path.read_bytes()

    def _incoming(self) -> contextlib.AbstractContextManager[pathlib.Path]:
        """A directory to write something in, removed afterwards."""
        return locked_directory.temporary(self.directory / _INCOMING)

    def digest(self, content: str) -> str:
        """A digest that nobody without the store's secret can make.

        :returns: 64 hexadecimal digits.
        """
        return hmac.new(
            self._secret, content.encode(), hashlib.sha256
        ).hexdigest()

    # -- facts ---------------------------------------------------------------

    def facts(self, base: str) -> Mapping[str, Any] | None:
        """What a run has learned of a base.

        :param base: hexadecimal digits.
        """
        path = self.directory / _FACTS / f'{base}.json'
        try:
            found = json.loads(path.read_bytes())
            os.utime(path)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def learn(self, base: str, facts: Mapping[str, Any]) -> None:
        """Keep what a run has learned of a base.

        :raises OSError: it cannot be written.
        """
        with self._incoming() as directory:
            new = directory / 'facts'
            new.write_text(json.dumps(facts))
            os.replace(new, self.directory / _FACTS / f'{base}.json')

    # -- layers --------------------------------------------------------------

    def take(self, name: str) -> entries.Held | None:
        """Use a layer.

        :param name: hexadecimal digits.
        :returns: None when there is none that can be used; what is damaged
            is removed.
        """
        directory = self.directory / _LAYERS / name
        try:
            return entries.Held.take(directory)
        except entries.Damaged:
            LOG.warning('The layer %s is damaged, and is removed', name)
            self._remove(directory)
        except OSError as error:
            LOG.warning('The layer %s cannot be used: %s', name, error)
        return None

    def put(
        self, name: str, disk: pathlib.Path, layer: entries.Layer
    ) -> entries.Held | None:
        """Keep a layer, in place of one that had its name.

        :param disk: its file, which nobody changes any more; it stays where
            it is.
        :param layer: ``sha256`` and ``stamp`` are filled in.
        :returns: the layer in use; None when it is not kept, since another
            run uses the one that had its name.
        :raises OSError: it cannot be kept; likewise.
        """
        made = locked_directory.LockedDirectory.make(
            self.directory / _INCOMING
        )
        incoming, lock = made.path, made.give()
        target = self.directory / _LAYERS / name
        try:
            whole = _fill(incoming, disk, layer)
            if not self._remove(target):
                raise FileExistsError
            os.rename(incoming, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                locked_directory.remove_tree(incoming)
            os.close(lock)
            if isinstance(error, OSError) and error.errno in (
                None,
                errno.EEXIST,
                errno.ENOTEMPTY,
            ):
                return None
            raise
        convert.flush(target.parent)
        used = locked_directory.SharedDirectory.of_maker(target, lock)
        return None if used is None else entries.Held(used, whole)

    def remove(self, name: str) -> None:
        """Remove a layer, unless it is in use."""
        self._remove(self.directory / _LAYERS / name)

    @staticmethod
    def _remove(directory: pathlib.Path) -> bool:
        """Remove a layer, unless it is in use.

        :returns: whether there is none any more.
        """
        try:
            taken = locked_directory.LockedDirectory.take(directory)
            if taken is not None:
                taken.remove()
            return not directory.exists()
        except OSError as error:
            LOG.warning('%s cannot be removed: %s', directory, error)
            return False

    # -- limits --------------------------------------------------------------

    def has_room(self, size: int) -> bool:
        """Whether layers may be kept at all.

        :param size: bytes on the host's disk of all that a run keeps.
        :raises OSError: the directory is gone.
        """
        free = space.free(self.directory)
        most = self._limits.max_bytes
        return free >= self._limits.reserve and (not most or size <= most)

    def bases(self, limit: int) -> dict[str, int]:
        """Over which base images there are layers, and how many.

        :param limit: of at most so many layers, those written last.
        :returns: number of layers by the identity of the base image.
        """
        found: collections.Counter[str] = collections.Counter()
        directories = []
        for directory in locked_directory.listed(self.directory / _LAYERS):
            with contextlib.suppress(OSError):
                directories.append((directory.stat().st_mtime, directory))
        for _, directory in sorted(directories, reverse=True)[:limit]:
            with contextlib.suppress(entries.Damaged):
                if base := entries.read(directory).base_image:
                    found[base] += 1
        return dict(found)

    def size(self) -> int:
        """Bytes that the layers take on the host's disk."""
        return sum(item.size for item in self._entries().values())

    def bound(self) -> None:
        """Remove what exceeds the limits, and what cannot be used.

        What lay unused for longest goes first, and no layer before those
        that were made over it; what is in use stays.
        """
        self._sweep_facts()
        kept = self._entries()
        known = {item.layer.uuid for item in kept.values()}
        for item in list(kept.values()):
            orphan = item.layer.parent and item.layer.parent not in known
            if orphan and self._remove(item.directory):
                del kept[item.layer.uuid]
        self._evict(kept)

    def _evict(self, kept: dict[str, _Entry]) -> None:
        children: dict[str, int] = {}
        for item in kept.values():
            parent = item.layer.parent
            children[parent] = children.get(parent, 0) + 1
        total = sum(item.size for item in kept.values())
        oldest = time.time() - (self._limits.max_age or float('inf'))
        most = self._limits.max_bytes or float('inf')
        leaves = [
            (item.used, uuid)
            for uuid, item in kept.items()
            if uuid not in children
        ]
        heapq.heapify(leaves)
        while leaves and (total > most or leaves[0][0] < oldest):
            _used, uuid = heapq.heappop(leaves)
            if not self._remove(kept[uuid].directory):
                continue
            total -= kept[uuid].size
            parent = kept[uuid].layer.parent
            if parent in kept:
                children[parent] -= 1
                if not children[parent]:
                    heapq.heappush(leaves, (kept[parent].used, parent))

    def _entries(self) -> dict[str, _Entry]:
        """Every layer that is whole, by its uuid; others are removed."""
        found = {}
        for directory in locked_directory.listed(self.directory / _LAYERS):
            try:
                layer = entries.read(directory)
                used = os.stat(directory / locked_directory.LOCK).st_mtime
                size = os.stat(directory / entries.DISK).st_blocks * 512
            except (entries.Damaged, OSError):
                self._remove(directory)
                continue
            found[layer.uuid] = _Entry(directory, layer, used, size)
        return found

    def _sweep_facts(self) -> None:
        if not self._limits.max_age:
            return
        oldest = time.time() - self._limits.max_age
        for path in locked_directory.listed(self.directory / _FACTS):
            with contextlib.suppress(OSError):
                if os.stat(path).st_mtime < oldest:
                    os.unlink(path)


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A layer as its directory shows it.

    :ivar used: seconds since 1970.
    :ivar size: bytes on the host's disk.
    """

    directory: pathlib.Path
    layer: entries.Layer
    used: float
    size: int


def _fill(
    directory: pathlib.Path, disk: pathlib.Path, layer: entries.Layer
) -> entries.Layer:
    """Put the files of a layer into a directory, and on the disk."""
    path = directory / entries.DISK
    _link_or_copy(disk, path)
    with path.open('rb') as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    whole = dataclasses.replace(
        layer, sha256=digest, stamp=described_files.stamp_of(path)
    )
    described_files.write(
        directory / entries.DESCRIPTION, whole.dump().encode()
    )
    convert.flush(directory)
    return whole


def _link_or_copy(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
    else:
        return
    file_copy.copy_file(source, target)
