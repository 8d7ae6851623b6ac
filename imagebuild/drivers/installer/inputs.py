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
"""The operator's files of an installer, checked before they are used."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import shutil
from typing import BinaryIO

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import os_errors
from imagebuild.disks import confined
from imagebuild.disks import image_file
from imagebuild.drivers.installer import settings

#: Reads what is on a CD or DVD.
_READER = 'isoinfo'
_PIECE = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Copies of this build's own, but for the medium, which is only read."""

    kernel: pathlib.Path
    initrd: pathlib.Path
    medium: pathlib.Path | None = None


def gather(installer: settings.Installer, directory: pathlib.Path) -> Inputs:
    """Copy kernel and initrd.

    :param directory: gets ``kernel`` and ``initrd``.
    :raises ChecksumMismatch: a file is another one than the operator named.
    :raises EnvironmentFault: a file cannot be read, or is not on the medium.
    """
    medium = installer.medium
    if medium:
        _check(medium)
    for name, file in (
        ('kernel', installer.kernel),
        ('initrd', installer.initrd),
    ):
        target = directory / name
        if medium and not file.checksum:
            _take(file.path, medium.path, target)
        else:
            _copy(file, target)
    return Inputs(
        directory / 'kernel',
        directory / 'initrd',
        medium.path if medium else None,
    )


def _check(medium: settings.InputFile) -> None:
    wanted = checksums.Checksum.parse(medium.checksum)
    try:
        found = checksums.compute(medium.path, (wanted.algo,))[wanted.algo]
    except OSError as error:
        raise _unreadable(medium.path, os_errors.reason_of(error)) from error
    _compare(medium.path, wanted, found)


def _copy(file: settings.InputFile, target: pathlib.Path) -> None:
    wanted = checksums.Checksum.parse(file.checksum)
    digest = hashlib.new(wanted.algo)
    try:
        with (
            image_file.open_regular(file.path) as opened,
            open(opened, 'rb', closefd=False) as source,
        ):
            with os_errors.on_write(target), target.open('wb') as made:
                _copied(source, made, digest)
    except exception.InvalidImage as error:
        reason = error.kwargs['reason']
        raise _unreadable(file.path, reason) from error
    _compare(file.path, wanted, digest.hexdigest())


def _copied(source: BinaryIO, target: BinaryIO, digest: hashlib._Hash) -> None:
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)


def _compare(
    path: pathlib.Path, wanted: checksums.Checksum, found: str
) -> None:
    if found != wanted.value:
        raise exception.ChecksumMismatch(
            what=str(path), found=f'{wanted.algo}:{found}', expected=wanted
        )


def _take(
    path: pathlib.Path, medium: pathlib.Path, target: pathlib.Path
) -> None:
    """Copy a file of the medium."""
    if shutil.which(_READER, path=confined.search_path()) is None:
        raise exception.MissingDependency(
            what=f'{_READER}, which reads media of installers,',
            remedy='install genisoimage, or name files of this host with '
            'their checksums as kernel and initrd',
        )
    # What it complains of is not to be in the file.
    command = f'exec {_READER} -R -x "$1" -i "$2" >"$3"'
    confined.run(
        ['sh', '-c', command, 'sh', str(path), str(medium), str(target)],
        writes_to=target,
        name=_READER,
    )
    # It says of what is not there what it says of what is empty.
    if not target.stat().st_size:
        raise _unreadable(path, f'it is not on the medium {medium}')


def _unreadable(path: pathlib.Path, reason: str) -> exception.EnvironmentFault:
    return exception.EnvironmentFault(
        f'The file {path} of an installer cannot be used: {reason}.'
    )
