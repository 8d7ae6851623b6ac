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
"""Base images as files of this host, looked at before anything opens them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

from imagebuild import exception
from imagebuild.clients import download
from imagebuild.clients import retries
from imagebuild.common import checksums
from imagebuild.common import file_digests
from imagebuild.common import own_files
from imagebuild.common import transfer_progress
from imagebuild.disks import fetching
from imagebuild.disks import image_file
from imagebuild.disks import lock
from imagebuild.disks import replace_check
from imagebuild.drivers import base

_DOWNLOAD = 'download base image'
_CHECK = 'check base image'


@contextlib.contextmanager
def opened(
    image: base.BaseImage, settings: base.Settings, monitor: base.DiskMonitor
) -> Iterator[image_file.ImageInfo]:
    """Have a base image as a file that stays what it is.

    It may be anybody's: it is refused when it refers to another file of
    this host, is damaged, or is not what it should be.

    :param image: of any kind but ``none``.
    :returns: the file, for as long as the block lasts.
    :raises InvalidInput: it cannot be used, and the request named it.
    :raises EnvironmentFault: it is not available; or it cannot be used, and
        the operator's catalogue named it.
    """
    with contextlib.ExitStack() as stack:
        with translate_errors(image):
            if image.kind == 'path':
                path = stack.enter_context(_local(image, settings, monitor))
            else:
                path = _fetched(stack, image, settings, monitor)
            info = _inspected(image, path)
        yield info


def shown(image: base.BaseImage) -> str:
    """A base image as it is called in messages."""
    return f'the base image {location(image)}'


def location(image: base.BaseImage) -> str:
    """Where a base image is: its id in Glance, a URL as it may be shown."""
    if image.kind == 'glance':
        return image.id
    return download.without_password(image.location)


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]


@contextlib.contextmanager
def translate_errors(image: base.BaseImage) -> Iterator[None]:
    """Turn what is wrong with a base image into an error of who can fix it."""
    try:
        yield
    except exception.InvalidInput as error:
        if not image.os:
            # The request named it: its user can choose another.
            raise
        raise exception.EnvironmentFault(
            f'The base image of the operating system "{image.os}" cannot be '
            f'used, which an operator can fix: {error}'
        ) from error


def _fetched(
    stack: contextlib.ExitStack,
    image: base.BaseImage,
    settings: base.Settings,
    monitor: base.DiskMonitor,
) -> pathlib.Path:
    if image.checksum.partition(':')[0] not in checksums.ALGORITHMS:
        raise exception.InvalidImage(
            path=_begin(shown(image)),
            reason='no checksum of it is known that cannot be forged '
            f'({", ".join(checksums.ALGORITHMS)}); store it in Glance again, '
            'or give its checksum in the catalogue',
        )
    # What an attempt has fetched is kept: as long as each gets further, a
    # slow or unsteady server is retried.
    reached = 0

    def on_progress(done: int, total: int) -> None:
        nonlocal reached
        reached = done
        monitor.progress(done, total or image.size, _DOWNLOAD)

    def attempt() -> pathlib.Path:
        return stack.enter_context(
            settings.cache.get(
                _source(image, settings),
                checksum=image.checksum,
                size=image.size,
                what=shown(image),
                on_progress=on_progress,
                on_notice=monitor.notice,
            )
        )

    return retries.retry_while_unavailable(
        attempt,
        timeout=settings.retry_timeout,
        on_notice=monitor.notice,
        progress=lambda: reached,
    )


def _source(image: base.BaseImage, settings: base.Settings) -> fetching.Fetch:
    def of_glance(
        offset: int,
    ) -> AbstractContextManager[download.Download]:
        return settings.glance().data(image.id, offset)

    def of_url(offset: int) -> AbstractContextManager[download.Download]:
        return download.open_url(image.location, offset)

    return of_glance if image.kind == 'glance' else of_url


@contextlib.contextmanager
def _local(
    image: base.BaseImage, settings: base.Settings, monitor: base.DiskMonitor
) -> Iterator[pathlib.Path]:
    path = pathlib.Path(image.location)
    # Nobody who asks for a lock changes it; who does not is found out.
    with lock.lock_image(path, shared=True):
        if image.checksum:
            _verify(path, image, settings, monitor)
        before = replace_check.state_of(path)
        yield path
        if replace_check.state_of(path) != before:
            raise exception.ImageBusy(
                path=path, by=', which has changed it during the build'
            )


def _verify(
    path: pathlib.Path,
    image: base.BaseImage,
    settings: base.Settings,
    monitor: base.DiskMonitor,
) -> None:
    wanted = checksums.Checksum.parse(image.checksum)
    progress = transfer_progress.Throttled(
        lambda done, total: monitor.progress(done, total, _CHECK)
    )
    try:
        found = _digest(path, wanted.algo, settings, progress)
    except OSError as error:
        raise exception.EnvironmentFault(
            f'{path} cannot be read: {error.strerror}.'
        ) from error
    if found != wanted.value:
        raise exception.ChecksumMismatch(
            what=path,
            found=checksums.Checksum(wanted.algo, found),
            expected=wanted,
        )


def _digest(
    path: pathlib.Path,
    algo: str,
    settings: base.Settings,
    progress: transfer_progress.Throttled,
) -> str:
    """The digest of a file, which is read unless nobody has touched it."""
    state = settings.sections.get('DEFAULT', {}).get('state_path')
    # What others can write to, they may change without a trace.
    if not state or not own_files.is_own(path):
        return checksums.compute(path, (algo,), on_progress=progress)[algo]
    digests = file_digests.FileDigests(pathlib.Path(state, 'base-digests'))
    return digests.read(path, algo, on_progress=progress).value


def _inspected(
    image: base.BaseImage, path: pathlib.Path
) -> image_file.ImageInfo:
    try:
        info = image_file.inspect(path)
    except exception.InvalidImage as error:
        # Not by its path in the cache, which means nothing to anybody.
        raise type(error)(
            path=_begin(shown(image)), reason=error.kwargs['reason']
        ) from error
    if image.disk_format and info.format != image.disk_format:
        raise exception.InvalidImage(
            path=_begin(shown(image)),
            reason=f'it should be {image.disk_format}, and its content '
            f'is {info.format}',
        )
    return info
