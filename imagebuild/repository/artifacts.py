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
"""One artifact in the directory.

``ID/image``
    the file.
``ID/artifact.json``
    what it is; see :class:`Artifact`.
``ID/corrupt``
    there when the file is not what it was; says what is wrong with it.
``ID/lock``
    locked, shared, by whoever uses the artifact, and exclusively by whoever
    makes or removes it (flock(2)); its time is that of the last use.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import stat
import uuid
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild.common import checksums
from imagebuild.common import described_files

IMAGE = 'image'
DESCRIPTION = 'artifact.json'
CORRUPT_MARK = 'corrupt'

PRESENT = 'present'
LOST = 'lost'
CORRUPT = 'corrupt'

#: What is computed when nobody knows a checksum; Glance's.
HASH = 'sha512'
#: Raised when the description changes its form.
_FORM = 1


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a file that is put into the repository.

    :ivar build_id: the build that made it.
    :ivar disk_format: ``qcow2``, ``raw`` and so on.
    :ivar virtual_size: bytes that a guest sees.
    :ivar checksums: hexadecimal digest by algorithm, of the whole file. It is
        believed; without one the file is read once.
    :ivar source: id of the artifact that it was converted from, '' for none.
    """

    build_id: str
    project_id: str
    content_key: str
    disk_format: str
    virtual_size: int
    checksums: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source: str = ''

    def is_same_file(self, other: Facts) -> bool:
        """Whether two may well be facts of the same file."""
        both = self.checksums.keys() & other.checksums.keys()
        return (self.build_id, self.disk_format, self.source) == (
            other.build_id,
            other.disk_format,
            other.source,
        ) and all(
            self.checksums[each] == other.checksums[each] for each in both
        )


@dataclasses.dataclass(frozen=True)
class Artifact:
    """What is known of a file in the repository.

    :ivar id: a UUID.
    :ivar facts: what was known when it was put in; ``checksums`` has at
        least one.
    :ivar size: bytes of the file.
    :ivar stamp: of the file when its checksum was right.
    :ivar created_at: seconds since 1970.
    :ivar checked_at: seconds since 1970, when its checksum was right.
    :ivar status: ``present``, ``lost`` (the file is gone) or ``corrupt``.
    :ivar reason: what is wrong, '' for nothing.
    """

    id: str
    facts: Facts
    size: int
    stamp: described_files.Stamp
    created_at: float
    checked_at: float
    status: str = PRESENT
    reason: str = ''

    @property
    def checksum(self) -> checksums.Checksum:
        """The checksum that the file is checked by."""
        known = self.facts.checksums
        algo = HASH if HASH in known else min(known)
        return checksums.Checksum(algo, known[algo])

    def row(self) -> dict[str, Any]:
        """What the database is told of it (``Database.add_artifact``)."""
        return {
            'id': self.id,
            'build_id': self.facts.build_id,
            'project_id': self.facts.project_id,
            'source_id': self.facts.source or None,
            'disk_format': self.facts.disk_format,
            'size': self.size,
            'virtual_size': self.facts.virtual_size,
            'os_hash_algo': self.checksum.algo,
            'os_hash_value': self.checksum.value,
            'status': self.status,
            'status_reason': self.reason,
        }

    def dump(self) -> bytes:
        """The text of its description."""
        values = dataclasses.asdict(self)
        # They are what is found, not what is noted.
        del values['status'], values['reason']
        return described_files.dump(values, _FORM).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read what :meth:`dump` wrote.

        :raises described_files.Damaged: it is something else.
        """
        values: dict[str, Any] = described_files.parse(text, _FORM)
        try:
            facts = Facts(**values.pop('facts'))
            stamp = tuple(values.pop('stamp'))
            made = cls(facts=facts, stamp=stamp, **values)
        except (TypeError, KeyError) as error:
            raise described_files.Damaged from error
        if not facts.checksums:
            raise described_files.Damaged
        return made


def is_id(text: str) -> bool:
    """Whether a text is the id of an artifact, as such directories have."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def look(directory: pathlib.Path) -> Artifact | None:
    """Read a description and look at its file, without reading that.

    :returns: None when there is no description, or a damaged one.
    :raises OSError: other than that nothing is there.
    """
    try:
        text = (directory / DESCRIPTION).read_bytes()
        found = Artifact.parse(text)
    except (FileNotFoundError, NotADirectoryError, described_files.Damaged):
        return None
    if found.id != directory.name:
        return None
    try:
        status = os.lstat(directory / IMAGE)
    except FileNotFoundError:
        return dataclasses.replace(
            found, status=LOST, reason='its file is gone'
        )
    wrong = _mark(directory)
    if not stat.S_ISREG(status.st_mode):
        wrong = 'its file was replaced by something else'
    elif status.st_size != found.size:
        wrong = f'its file has {status.st_size} bytes, not {found.size}'
    if wrong:
        return dataclasses.replace(found, status=CORRUPT, reason=wrong)
    return found


def _mark(directory: pathlib.Path) -> str:
    """What is wrong with a file, as it was noted; '' for nothing."""
    with contextlib.suppress(OSError):
        text = (directory / CORRUPT_MARK).read_text(errors='replace')
        return text.strip() or 'it was marked as corrupt'
    return ''


def mark(directory: pathlib.Path, reason: str) -> None:
    """Note that a file is not what it was.

    :raises OSError: it cannot be noted.
    """
    described_files.replace(directory / CORRUPT_MARK, reason.encode())


def renew(directory: pathlib.Path, artifact: Artifact) -> None:
    """Note that the checksum of a file is right.

    :param artifact: with its new stamp and time.
    :raises OSError: it cannot be noted.
    """
    described_files.replace(directory / DESCRIPTION, artifact.dump())
    (directory / CORRUPT_MARK).unlink(missing_ok=True)
