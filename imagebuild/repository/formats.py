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
"""Files that are made once however many want them: conversions mostly."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild.common import locked_directory
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.repository import artifacts
from imagebuild.repository import store

#: Writes a file (second argument) from one (first) in another format.
Make = Callable[[pathlib.Path, pathlib.Path], object]
#: Says how many bytes a conversion of a file takes at most.
Room = Callable[[pathlib.Path], int]
#: Writes a file, and says what it is.
Fill = Callable[[pathlib.Path], artifacts.Facts]

_MADE = 'converted'
_POLL = 0.2


def id_of(source_id: str, disk_format: str) -> str:
    """The id of a conversion: there is one for each format."""
    return str(uuid.uuid5(uuid.UUID(source_id), disk_format))


def add_format(
    repository: store.Repository,
    id: str,
    disk_format: str,
    make: Make,
    *,
    room: Room,
    while_waiting: Callable[[], object] = lambda: None,
) -> artifacts.Artifact:
    """Have an artifact in another format; made by the first who asks.

    Others, in this process or another one, wait until it is there. When the
    one that makes it fails or dies, the next one does.

    :param id: of the artifact to convert; in use meanwhile.
    :param make: raises what it likes, which goes on to its caller only.
    :param room: asked before; raises as ``make`` does.
    :param while_waiting: called several times a second; raises to give up.
    :returns: the artifact itself when it has the format.
    :raises ArtifactUnusable: it cannot be used.
    :raises NoSpace: there is less room than ``room`` says and the reserve.
    :raises EnvironmentFault: the repository cannot be written to.
    """
    repository.directory_of(id)
    wanted = id_of(id, disk_format)
    found = _there(repository, wanted)
    if found is not None:
        # Also when the one that it was made from has gone.
        return found
    with repository.hold(id) as held:
        if held.artifact.facts.disk_format == disk_format:
            return held.artifact

        def fill(target: pathlib.Path) -> artifacts.Facts:
            needed = room(held.path) + repository.limits.reserve
            space.check(target.parent, needed)
            make(held.path, target)
            return dataclasses.replace(
                held.artifact.facts,
                disk_format=disk_format,
                checksums={},
                source=held.artifact.id,
            )

        return add_once(repository, wanted, fill, while_waiting=while_waiting)


def add_once(
    repository: store.Repository,
    id: str,
    fill: Fill,
    *,
    while_waiting: Callable[[], object] = lambda: None,
) -> artifacts.Artifact:
    """Have a file in the repository; made by the first who asks.

    As :func:`add_format`.

    :param fill: writes the file that it is given, and returns what is known
        of it; a part that a killed one has left is gone.
    """
    found = _there(repository, id)
    while found is None:
        with _turn(repository, id) as place:
            if place is not None:
                return _fill(repository, fill, place)
        while_waiting()
        time.sleep(_POLL)
        found = _there(repository, id)
    return found


def _there(repository: store.Repository, id: str) -> artifacts.Artifact | None:
    found = repository.get(id)
    return found if found and found.status == artifacts.PRESENT else None


@contextlib.contextmanager
def _turn(
    repository: store.Repository, id: str
) -> Iterator[pathlib.Path | None]:
    """A directory that only one has at a time; None when it is not us."""
    place = repository.incoming / id
    with os_errors.on_write(place):
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o700)
        taken = locked_directory.LockedDirectory.take(place)
    if taken is None:
        yield None
        return
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):
            taken.remove()


def _fill(
    repository: store.Repository, fill: Fill, place: pathlib.Path
) -> artifacts.Artifact:
    id = place.name
    # The one before may have made it.
    found = _there(repository, id)
    if found is not None:
        return found
    target = place / _MADE
    with os_errors.on_write(place):
        # What a killed one has left.
        target.unlink(missing_ok=True)
    return repository.put(target, fill(target), id=id)
