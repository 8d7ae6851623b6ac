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
"""The upload: a finished file into a store, or an image that is there."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any
from typing import cast
from typing import get_args

from imagebuild import exception
from imagebuild import repository
from imagebuild.common import phases
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.job import channel
from imagebuild.job import fetch_image
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import specs
from imagebuild.stores import base as stores
from imagebuild.stores import registry

#: What qemu calls a format that is not what Glance calls it.
_QEMU_FORMATS = {'vhd': 'vpc'}


class StoreFull(exception.EnvironmentFault):
    """It is the store's room: no other conductor's host has more of it."""

    msg_fmt = 'The store has no room: %(reason)s'


def run(
    spec: specs.UploadSpec,
    events: channel.Events,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> dict[str, Any]:
    """Upload an image.

    :returns: ``result`` of the last event.
    :raises ImageBuildError: it is not in the store.
    """
    store = registry.load(spec.store, spec.config)
    monitor.enter(phases.UPLOAD)
    if spec.made is not None:
        monitor.begin('adopting the image')
        adopted = store.adopt(
            spec.made, spec.properties, spec.stamp, on_notice=monitor.notice
        )
        return dataclasses.asdict(adopted)
    try:
        found = _find(spec, monitor)
    except exception.SourceUnusable:
        events.send('source_unusable')
        raise
    where = spec.destination or spec.store
    with repository.Repository(spec.repository).hold(found.id) as held:
        monitor.begin(f'uploading to {where}')
        try:
            stored = store.upload(
                held.path,
                spec.properties,
                spec.stamp,
                checksum=held.artifact.checksum,
                on_progress=monitor.progress(f'uploading to {where}'),
                on_notice=monitor.notice,
                elsewhere=stores.Elsewhere(spec.copies, _url(spec, held)),
            )
        except exception.LackOfRoom as error:
            raise StoreFull(reason=str(error)) from None
    return dataclasses.asdict(stored)


def _repository(spec: specs.UploadSpec) -> repository.Repository:
    """Where files are, and how much is left free beside them."""
    reserve = 0
    if 'repository' in spec.config:
        settings = repository.Settings.from_config(spec.config)
        reserve = settings.limits.reserve
    limits = repository.Limits(reserve=reserve)
    return repository.Repository(spec.repository, limits)


def _url(spec: specs.UploadSpec, held: repository.Held) -> str:
    """Where the cloud finds the file; '' for nowhere."""
    base = spec.config.get('glance', {}).get('web_download_url')
    if not base:
        return ''
    place = held.path.relative_to(spec.repository)
    return f'{base.rstrip("/")}/{place.as_posix()}'


def _info(
    images: repository.Repository, id: str, path: pathlib.Path
) -> image_file.ImageInfo:
    """What a file is as it was written, never as it looks.

    What a guest has put at the beginning of a raw disk may look like anything.

    :raises InvalidInput: it is not converted from that.
    """
    made = images.get(id)
    for known in get_args(image_file.Format):
        if made is not None and made.facts.disk_format == known:
            size = made.facts.virtual_size
            return image_file.ImageInfo(path, known, size, 0)
    raise exception.InvalidInput(
        'Only images in the formats qcow2 and raw are converted to others.'
    )


def _find(
    spec: specs.UploadSpec, monitor: job_monitor.JobMonitor
) -> repository.Artifact:
    """The file in the format that is wanted."""
    images = _repository(spec)
    artifact = spec.artifact
    if spec.source is not None:
        artifact = fetch_image.fetch(images, spec, spec.source, monitor).id

    def make(source: pathlib.Path, target: pathlib.Path) -> None:
        monitor.begin(f'converting to {spec.disk_format}')
        wanted = _QEMU_FORMATS.get(spec.disk_format, spec.disk_format)
        convert.convert(
            _info(images, artifact, source),
            target,
            cast(convert.TargetFormat, wanted),
            compression='zstd' if wanted == 'qcow2' else None,
            reserve=images.limits.reserve,
        )

    # The conversion is kept, so the next destination finds it.
    return repository.add_format(
        images,
        artifact,
        spec.disk_format,
        make,
        room=lambda source: convert.most_bytes(
            _info(images, artifact, source)
        ),
    )
