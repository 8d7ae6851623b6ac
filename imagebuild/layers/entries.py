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
"""One layer in the directory.

``ID/disk.qcow2``
    what was written since the layer under it.
``ID/layer.json``
    what it is; see :class:`Layer`.
``ID/lock``
    locked, shared, by whoever uses the layer, and exclusively by whoever
    makes or removes it (flock(2)); its time is that of the last use.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild.common import checksums
from imagebuild.common import described_files
from imagebuild.common import locked_directory

DISK = 'disk.qcow2'
DESCRIPTION = 'layer.json'
#: Raised when the description changes its form.
_FORM = 1


#: It is not a whole layer.
Damaged = described_files.Damaged


@dataclasses.dataclass(frozen=True)
class Layer:
    """What is known of a layer.

    :ivar uuid: no two ever have the same, whatever they are called.
    :ivar parent: uuid of the layer under it, '' for none. Files of two runs
        are never the same, even where they say the same: a layer fits the
        very one that it was made over, and no other.
    :ivar base: which disk is under them all.
    :ivar virtual_size: bytes that a guest sees.
    :ivar sha256: of its file.
    :ivar stamp: inode, size and time of the last change of its file when it
        was whole.
    :ivar created: seconds since 1970.
    :ivar fetched: when the oldest of what may grow stale was fetched, in it
        or under it; None when there is nothing of that kind.
    :ivar scope: whose it is, '' for everybody's.
    :ivar state: the engine's.
    :ivar base_image: identity of the base image under them all, '' in layers
        of a release that did not note it.
    """

    uuid: str
    parent: str
    base: str
    virtual_size: int
    sha256: str
    stamp: tuple[int, int, int]
    created: float
    fetched: float | None
    scope: str
    state: Mapping[str, Any]
    base_image: str = ''

    def dump(self) -> str:
        """The text of its description."""
        return described_files.dump(dataclasses.asdict(self), _FORM)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read what :meth:`dump` wrote.

        :raises Damaged: it is something else.
        """
        values = described_files.parse(text, _FORM)
        try:
            return cls(**{**values, 'stamp': tuple(values['stamp'])})
        except (TypeError, KeyError) as error:
            raise Damaged from error


def read(directory: pathlib.Path) -> Layer:
    """Read the description of a layer; its file is not looked at.

    :raises Damaged: there is none.
    """
    try:
        return Layer.parse((directory / DESCRIPTION).read_bytes())
    except OSError as error:
        raise Damaged from error


def check_file(directory: pathlib.Path, layer: Layer) -> None:
    """Make sure that the file of a layer is as it was.

    It is read only when somebody has touched it since.

    :raises Damaged: it is not.
    """
    path = directory / DISK
    try:
        if described_files.stamp_of(path) == layer.stamp:
            return
        if checksums.compute(path, ['sha256'])['sha256'] == layer.sha256:
            return
    except OSError as error:
        raise Damaged from error
    raise Damaged


class Held:
    """A layer that is in use: nobody removes it until :meth:`release`.

    :ivar layer: what is known of it.
    """

    def __init__(
        self, used: locked_directory.SharedDirectory, layer: Layer
    ) -> None:
        self.layer = layer
        self._used = used

    @property
    def directory(self) -> pathlib.Path:
        """The directory of the layer."""
        return self._used.path

    @property
    def path(self) -> pathlib.Path:
        """Its file."""
        return self.directory / DISK

    @classmethod
    def take(cls, directory: pathlib.Path) -> Self | None:
        """Use a layer; never waits.

        :returns: None when there is none, or it is being made or removed.
        :raises Damaged: it is not a whole layer.
        """
        used = locked_directory.SharedDirectory.use(directory)
        if used is None:
            return None
        try:
            layer = read(directory)
            check_file(directory, layer)
            used.touch()
        except BaseException:
            used.release()
            raise
        return cls(used, layer)

    def release(self) -> None:
        """Use it no longer."""
        self._used.release()
