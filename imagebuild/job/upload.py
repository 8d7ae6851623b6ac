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
"""The upload: a finished file into a store."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from imagebuild.common import checksums
from imagebuild.common import phases
from imagebuild.job import channel
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.stores import registry
from imagebuild.stores.base import ImageProperties
from imagebuild.stores.base import Stamp


@dataclasses.dataclass(frozen=True)
class UploadSpec:
    """What is to be uploaded.

    :ivar store: name of the store.
    :ivar path: the file.
    :ivar config: sections by name.
    """

    store: str
    path: pathlib.Path
    image: ImageProperties
    stamp: Stamp
    checksum: checksums.Checksum | None
    config: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> UploadSpec:
        """Read one.

        :raises KeyError: a part is missing.
        :raises TypeError: a part is something else.
        """
        return cls(
            store=document['store'],
            path=pathlib.Path(document['path']),
            image=_properties(document),
            stamp=Stamp(**document['stamp']),
            checksum=_checksum(document.get('hash')),
            config=document['config'],
        )


def run(
    spec: UploadSpec,
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
    monitor.begin(f'uploading to {spec.store}')
    stored = store.upload(
        spec.path,
        spec.image,
        spec.stamp,
        checksum=spec.checksum,
        on_progress=monitor.progress(f'uploading to {spec.store}'),
        on_notice=monitor.notice,
    )
    return dataclasses.asdict(stored)


def _properties(document: Mapping[str, Any]) -> ImageProperties:
    return ImageProperties.from_dict(
        {
            'owner': document['project_id'],
            **document['image'],
            'disk_format': document['disk_format'],
            'container_format': document['container_format'],
        }
    )


def _checksum(given: Mapping[str, str] | None) -> checksums.Checksum | None:
    if not given:
        return None
    return checksums.Checksum(given['algo'], given['value'])
