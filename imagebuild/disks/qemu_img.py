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
"""Runs qemu-img: formats are always given, its refusals translated."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.disks import image_file

_LOCKED = ('Failed to get "', 'Failed to get shared "', 'Failed to lock byte')
#: Messages of qemu-img that refuse an image, unless the host is the reason.
_REFUSED = ('Could not open', 'Check failed', 'qcow2: ')
_OF_THE_HOST = (
    'Permission denied',
    'No such file or directory',
    'Input/output error',
    'Cannot allocate memory',
    'Too many open files',
    'No space left on device',
    'Operation not permitted',
)
_DAMAGED = 2
_LEAKS = 3


@dataclasses.dataclass(frozen=True)
class QemuImg:
    """How qemu-img is run.

    :ivar on_start: called with the process id of each command.
    :ivar cancelled: asked now and then; True stops the command.
    :ivar watch: called now and then; what it raises stops the command.
    """

    on_start: Callable[[int], None] | None = None
    cancelled: Callable[[], bool] | None = None
    watch: Callable[[], object] | None = None

    def run(
        self,
        arguments: Sequence[str],
        *,
        image: pathlib.Path,
        writes_to: pathlib.Path | None = None,
        good_exit_codes: Collection[int] = (0,),
    ) -> str:
        """Run one command.

        :param image: the image in question, for messages.
        :param writes_to: the file written, for messages.
        :returns: its standard output.
        :raises ImageBusy: another qemu process uses the image.
        :raises InvalidImage: what the image holds is refused.
        :raises EnvironmentFault: see :func:`host_command.run`.
        """
        try:
            return host_command.run(
                ['qemu-img', *arguments],
                on_start=self.on_start,
                writes_to=writes_to or image,
                good_exit_codes=good_exit_codes,
                watch=self.watch or host_command.unless(self.cancelled),
            )
        except exception.HostCommandFailed as error:
            if any(text in str(error) for text in _LOCKED):
                raise exception.ImageBusy(path=image, by='') from error
            refusal = _refusal(str(error.kwargs['reason']))
            if refusal:
                raise exception.InvalidImage(
                    path=image, reason=f'qemu-img refuses it: {refusal}'
                ) from error
            raise

    def check(
        self,
        image: image_file.ImageInfo,
        *,
        stored_at: pathlib.Path | None = None,
    ) -> None:
        """Refuse a qcow2 image whose clusters do not fit together.

        Also finds one that was cut off. Leaked clusters are harmless. A raw
        image has nothing to check.

        :param image: the image.
        :param stored_at: the file to check in place of ``image.path``.
        :raises InvalidImage: it is damaged.
        """
        if image.format != 'qcow2':
            return
        options = options_of(image, stored_at=stored_at)
        try:
            self.run(
                ['check', '-q', '--image-opts', options],
                image=image.path,
                good_exit_codes=(0, _LEAKS),
            )
        except exception.HostCommandFailed as error:
            if error.kwargs['exit_code'] != _DAMAGED:
                raise
            raise exception.InvalidImage(
                path=image.path,
                reason='it is damaged or cut off; repair it first '
                '(qemu-img check -r all) or fetch it again',
            ) from error


def _refusal(reason: str) -> str:
    """Why an image is refused; '' when the host is what failed."""
    refused = any(text in reason for text in _REFUSED)
    if not refused or any(text in reason for text in _OF_THE_HOST):
        return ''
    # Without the description of the image, which names files of the host.
    last = re.sub(r"'[^']*': ", '', ' '.join(reason.split()))
    last = re.sub(r'qemu-img: |Could not open ', '', last)
    return last[:300].rstrip('.')


def options_of(
    image: image_file.ImageInfo,
    *,
    stored_at: pathlib.Path | None = None,
    prefix: str = '',
    discard: bool = False,
) -> str:
    """Describe an image and all under it for ``--image-opts``.

    Said this way, nothing in the headers is looked up: neither a format nor
    a backing file's name, so a copy of an image works in any directory.

    :param image: the image.
    :param stored_at: the file to use in place of ``image.path``.
    :param prefix: where in a larger description it goes, ``backing.``.
    :param discard: let what is trimmed be freed in the file.
    """
    path = str(stored_at or image.path).replace(',', ',,')
    options = [
        f'{prefix}driver={image.format}',
        f'{prefix}file.driver=file',
        f'{prefix}file.filename={path}',
    ]
    if discard:
        options += [f'{prefix}discard=unmap', f'{prefix}file.discard=unmap']
    if image.data_file:
        name = str(image.data_file).replace(',', ',,')
        options += [
            f'{prefix}data-file.driver=file',
            f'{prefix}data-file.filename={name}',
        ]
    if image.backing:
        options.append(options_of(image.backing, prefix=f'{prefix}backing.'))
    return ','.join(options)
