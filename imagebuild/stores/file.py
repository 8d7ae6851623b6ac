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
"""The store ``file``: a directory, for one machine without Glance.

Each image is a directory named by its id, with the files ``image`` and
``metadata.json``. The metadata have the names that Glance uses, so that a
script that reads them can be moved to a cloud. The directory appears with both
in it, by a rename: what is there is whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import BinaryIO
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import image_properties
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.common import transfer_progress
from imagebuild.disks import convert
from imagebuild.disks import fetching
from imagebuild.disks import workspaces
from imagebuild.stores import base
from imagebuild.stores import image_change
from imagebuild.stores import metadata
from imagebuild.stores import sending

IMAGE = 'image'
METADATA = 'metadata.json'

_HASH = 'sha512'
_PORTION = 4 * 1024 * 1024


class FileStore(base.Store):
    """A directory of images.

    :param directory: made when it is not there, readable by everybody who may
        read its parent.
    :param reserve: bytes that are left free on its file system.
    """

    name: ClassVar[str] = 'file'

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        reserve: int = 0,
        rules: image_properties.Rules | None = None,
    ) -> None:
        self.directory = directory
        self._rules = rules or image_properties.Rules()
        self._reserve = reserve

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Self:
        """See :meth:`base.Store.from_config`.

        :param config: ``file_store`` (its ``folder`` is required),
            ``disks`` (``space_reserve``) and ``glance`` (which properties
            an image may have).
        """
        directory = config.get('file_store', {}).get('folder')
        if not directory:
            raise exception.EnvironmentFault(
                'The store "file" has no directory to put images into.'
            )
        reserve = int(config.get('disks', {}).get('space_reserve') or 0)
        return cls(
            pathlib.Path(directory),
            reserve=reserve * 1024 * 1024,
            rules=image_properties.Rules.from_section(
                config.get('glance', {})
            ),
        )

    def upload(
        self,
        path: pathlib.Path | None,
        image: base.ImageProperties,
        stamp: base.Stamp,
        *,
        checksum: checksums.Checksum | None = None,
        on_progress: transfer_progress.OnProgress | None = None,
        on_notice: base.OnNotice | None = None,
        elsewhere: base.Elsewhere = base.Elsewhere(),
    ) -> base.StoredImage:
        """See :meth:`base.Store.upload`; it takes files of this host only."""
        described = {
            **metadata.described(image, stamp, self._rules),
            'members': sorted(set(image.members)),
        }
        # Of the upload's id: another attempt finds what this one has made.
        image_id = str(uuid.uuid5(uuid.NAMESPACE_OID, stamp.upload_id))
        target = self.directory / image_id
        with os_errors.on_write(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        # What an upload left that was killed; another one that still works
        # holds its lock.
        workspaces.sweep(target)
        stored = self._read(target)
        if stored is None:
            if path is None:
                raise exception.EnvironmentFault(
                    'The store "file" has no way to get an image whose file '
                    'is not on this host.'
                )
            self._write(target, path, described, checksum, on_progress)
        else:
            kept = {**described, **_of_content(stored)}
            _write_json(target / METADATA, kept)
        return _stored(self._require(target))

    def _write(
        self,
        target: pathlib.Path,
        path: pathlib.Path,
        described: Mapping[str, Any],
        checksum: checksums.Checksum | None,
        on_progress: transfer_progress.OnProgress | None,
    ) -> None:
        with (
            sending.HashedFile(path, _HASH, checksum, on_progress) as source,
            workspaces.Workspace(target) as workspace,
            os_errors.on_write(target),
        ):
            space.check(self.directory, len(source) + self._reserve)
            made = workspace.path / 'made'
            made.mkdir(mode=0o755)
            with (made / IMAGE).open('xb') as file:
                while portion := source.read(_PORTION):
                    file.write(portion)
            source.verify()
            content = {
                'id': target.name,
                'status': 'active',
                'size': len(source),
                'os_hash_algo': _HASH,
                'os_hash_value': source.digest(_HASH),
                'created_at': _now(),
            }
            _write_json(made / METADATA, {**described, **content})
            # Before the rename, so that a power failure leaves all or nothing.
            convert.flush(made / IMAGE)
            convert.flush(made)
            # What is there is not whole: _read took it for nothing.
            shutil.rmtree(target, ignore_errors=True)
            os.rename(made, target)
            convert.flush(self.directory)

    def delete(self, image_id: str, *, hide_undeletable: bool = False) -> None:
        """See :meth:`base.Store.delete`."""
        with self._changing(image_id) as (target, found):
            if found is not None:
                self._delete(target, found, hide_undeletable)

    def _delete(
        self, target: pathlib.Path, found: dict[str, Any], hide: bool
    ) -> None:
        if not found.get(base.UPLOAD_ID):
            raise exception.Forbidden(rule='only images of builds are deleted')
        if found.get('protected'):
            if hide and not found.get('os_hidden'):
                found['os_hidden'] = True
                _write_json(target / METADATA, found)
            hidden = bool(found.get('os_hidden'))
            raise base.protected(target.name, hidden=hidden)
        self._remove(target)

    def _remove(self, target: pathlib.Path) -> None:
        with os_errors.on_write(target):
            # First the name, so that no half of an image is ever found.
            gone = self.directory / f'.{target.name}.deleted'
            shutil.rmtree(gone, ignore_errors=True)
            os.rename(target, gone)
            shutil.rmtree(gone)

    def update(self, image_id: str, change: image_change.ImageChange) -> None:
        """See :meth:`base.Store.update`."""
        change.check(self._rules)
        with self._changing(image_id) as (target, found):
            if found is None:
                raise exception.NotFound(what='image', id=image_id)
            _write_json(target / METADATA, _changed(found, change))

    def change_tags(
        self,
        image_id: str,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
    ) -> None:
        """See :meth:`base.Store.change_tags`."""
        with self._changing(image_id) as (target, found):
            if found is None:
                raise exception.NotFound(what='image', id=image_id)
            tags = base.changed_tags(found.get('tags') or (), add, remove)
            _write_json(target / METADATA, {**found, 'tags': tags})

    def exists(self, image_id: str) -> bool:
        """See :meth:`base.Store.exists`."""
        return self._find(image_id)[1] is not None

    def is_protected(self, image_id: str) -> bool:
        """See :meth:`base.Store.is_protected`."""
        _, found = self._find(image_id)
        return bool(found and found.get('protected'))

    def list_stamped(
        self, *, limit: int = base.MOST_STAMPED
    ) -> Iterator[base.StampedImage]:
        """See :meth:`base.Store.list_stamped`.

        A directory belongs to one service: all of it is taken to be its own.
        """
        return itertools.islice(self._each_stamped(), limit)

    def _each_stamped(self) -> Iterator[base.StampedImage]:
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return
        except OSError as error:
            raise exception.ServiceUnavailable(
                service=self.name, reason=os_errors.reason_of(error)
            ) from error
        for name in names:
            found = self._find(name)[1]
            stamp = base.Stamp.from_properties(found or {})
            if found and stamp and found.get('id') == name:
                yield base.StampedImage(
                    image_id=name,
                    stamp=stamp,
                    status='active',
                    created_at=str(found.get('created_at', '')),
                    protected=bool(found.get('protected')),
                    hidden=bool(found.get('os_hidden')),
                )

    def find(self, stamp: base.Stamp) -> base.StoredImage | None:
        """See :meth:`base.Store.find`."""
        for target in self._stamped(stamp):
            return _stored(self._require(target))
        return None

    @contextlib.contextmanager
    def data(
        self, image_id: str, offset: int = 0
    ) -> Iterator[fetching.Stream]:
        """See :meth:`base.Store.data`."""
        target, found = self._find(image_id)
        if found is None:
            raise exception.NotFound(what='image', id=image_id)
        with _opened(target / IMAGE) as file:
            file.seek(offset)
            yield _Content(file, offset, int(found['size']))

    def discard(self, stamp: base.Stamp) -> int:
        """See :meth:`base.Store.discard`."""
        found = list(self._stamped(stamp))
        for target in found:
            self._remove(target)
        return len(found)

    def _stamped(self, stamp: base.Stamp) -> Iterator[pathlib.Path]:
        target = self.directory / str(
            uuid.uuid5(uuid.NAMESPACE_OID, stamp.upload_id)
        )
        if self._read(target) is not None:
            yield target

    @contextlib.contextmanager
    def _changing(
        self, image_id: str
    ) -> Iterator[tuple[pathlib.Path, dict[str, Any] | None]]:
        """As :meth:`_find`, while nobody else changes the image."""
        target, found = self._find(image_id)
        lock = None if found is None else _locked(target / METADATA)
        if lock is None:
            yield target, None
            return
        try:
            # Again: another one may have changed it until now.
            yield target, self._read(target)
        finally:
            os.close(lock)

    def _find(
        self, image_id: str
    ) -> tuple[pathlib.Path, dict[str, Any] | None]:
        """The directory of an image, and its metadata if it is there."""
        try:
            # Of an id that is one: never a path of another's.
            target = self.directory / str(uuid.UUID(image_id))
        except ValueError:
            return self.directory, None
        return target, self._read(target)

    def _read(self, target: pathlib.Path) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((target / METADATA).read_text())
            size = (target / IMAGE).stat().st_size
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            raise exception.ServiceUnavailable(
                service=self.name, reason=os_errors.reason_of(error)
            ) from error
        return found if found.get('size') == size else None

    def _require(self, target: pathlib.Path) -> dict[str, Any]:
        found = self._read(target)
        if found is None:
            raise exception.ServiceUnavailable(
                service=self.name, reason=f'{target} has just vanished'
            )
        return found


@dataclasses.dataclass(frozen=True)
class _Content:
    """An image's bytes; see :class:`fetching.Stream`."""

    file: BinaryIO
    offset: int
    total: int

    def __iter__(self) -> Iterator[bytes]:
        while portion := self.file.read(_PORTION):
            yield portion


def _opened(path: pathlib.Path) -> BinaryIO:
    try:
        return path.open('rb')
    except OSError as error:
        raise exception.ServiceUnavailable(
            service=FileStore.name, reason=os_errors.reason_of(error)
        ) from error


_CONTENT = (
    'id',
    'status',
    'size',
    'os_hash_algo',
    'os_hash_value',
    'created_at',
)


def _of_content(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in _CONTENT if name in found}


def _stored(found: Mapping[str, Any]) -> base.StoredImage:
    return base.StoredImage(
        image_id=found['id'],
        size=found['size'],
        os_hash_algo=found['os_hash_algo'],
        os_hash_value=found['os_hash_value'],
        disk_format=str(found.get('disk_format') or ''),
    )


def _changed(
    found: Mapping[str, Any], change: image_change.ImageChange
) -> dict[str, Any]:
    """The metadata of an image after a change."""
    change = change.applied_to(
        visibility=str(found.get('visibility') or ''),
        tags=found.get('tags') or (),
        properties=found,
        min_disk=int(found.get('min_disk') or 0),
        min_ram=int(found.get('min_ram') or 0),
    )
    values = {**found, **metadata.changed(change)}
    for name in change.dropped:
        del values[name]
    if change.only_adds:
        tags = {*(found.get('tags') or ()), *(change.tags or ())}
        values['tags'] = sorted(tags)
    members = found.get('members') or ()
    if change.members is not None:
        kept = members if change.only_adds else ()
        members = {*kept, *change.members}
    if values.get('visibility') != 'shared':
        members = ()
    values['members'] = sorted(members)
    return values


def _locked(path: pathlib.Path) -> int | None:
    """Wait for the lock of a file that is only ever replaced.

    :returns: a descriptor that holds it; None when the file is gone.
    """
    with os_errors.on_write(path):
        while True:
            try:
                lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Whoever had it has put another file there.
                if os.path.samestat(os.fstat(lock), os.stat(path)):
                    return lock
            except FileNotFoundError:
                # Opened again, which tells whether it is gone for good.
                pass
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


def _write_json(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    new = path.with_name(f'.{path.name}.new')
    with os_errors.on_write(path):
        new.write_text(json.dumps(values, indent=2, sort_keys=True) + '\n')
        convert.flush(new)
        os.replace(new, path)


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return now.isoformat().replace('+00:00', 'Z')
