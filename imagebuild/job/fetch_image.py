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
"""The file of an image that is in a store, back into the repository."""

from __future__ import annotations

import pathlib

from imagebuild import exception
from imagebuild import repository
from imagebuild.clients import retries
from imagebuild.common import space
from imagebuild.common import transfer_progress
from imagebuild.disks import fetching
from imagebuild.disks import image_file
from imagebuild.job import job_monitor
from imagebuild.job import specs
from imagebuild.stores import registry

_RETRY_TIMEOUT = 300.0


def fetch(
    images: repository.Repository,
    spec: specs.UploadSpec,
    source: specs.ImageSource,
    monitor: job_monitor.JobMonitor,
) -> repository.Artifact:
    """Have the file of an image in the repository.

    :raises SourceUnusable: the image does not give it back, now or ever.
    :raises NoSpace: there is no room for it.
    """
    where = source.destination or 'this cloud'

    def make(target: pathlib.Path) -> repository.Facts:
        what = f'the image in {where}'
        monitor.begin(f'downloading {what}')
        try:
            _download(source, target, what, images.limits.reserve, monitor)
            virtual_size = _virtual_size(source, target)
        except (
            exception.InvalidInput,
            exception.ChecksumMismatch,
            # For as long as it is waited for, which is long.
            exception.ServiceUnavailable,
        ) as error:
            raise exception.SourceUnusable(
                where=where, reason=str(error).rstrip('.')
            ) from error
        return repository.Facts(
            build_id=source.build_id,
            project_id=spec.project_id,
            content_key=spec.content_key,
            disk_format=source.disk_format,
            virtual_size=virtual_size,
            checksums={source.checksum.algo: source.checksum.value},
        )

    return repository.add_once(images, source.artifact, make)


def _download(
    source: specs.ImageSource,
    target: pathlib.Path,
    what: str,
    reserve: int,
    monitor: job_monitor.JobMonitor,
) -> None:
    store = registry.load(source.store, source.config)
    section = source.config.get('glance', {})
    fetcher = fetching.Fetching(
        part=target,
        fetch=lambda offset: store.data(source.image_id, offset),
        wanted=source.checksum,
        size=source.size,
        what=what,
        make_room=lambda size: space.check(target.parent, size + reserve),
        progress=transfer_progress.Throttled(
            monitor.progress(f'downloading {what}')
        ),
        on_notice=monitor.notice,
    )
    retries.retry_while_unavailable(
        fetcher.run,
        timeout=float(section.get('retry_timeout', _RETRY_TIMEOUT)),
        on_notice=monitor.notice,
        progress=lambda: target.stat().st_size if target.exists() else 0,
    )


def _virtual_size(source: specs.ImageSource, path: pathlib.Path) -> int:
    """What a guest sees; 0 where that is of no use to anybody.

    :raises InvalidImage: the file is not what it should be.
    """
    if source.disk_format == 'raw':
        # Whatever it looks like: a guest has written it.
        return path.stat().st_size
    if source.disk_format != 'qcow2':
        return 0
    found = image_file.inspect(path)
    if found.format != 'qcow2':
        raise exception.InvalidImage(path=path, reason='it is not qcow2')
    return found.virtual_size
