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
"""Where an image is already: clouds and conductors may copy it from there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.conductor.conductor_context import JobConfig
from imagebuild.job import specs
from imagebuild.stores.base import ImageCopy


def in_other_regions(
    images: Sequence[db.Image], config: Mapping[str, Any], open: JobConfig
) -> list[ImageCopy]:
    """Images that the Glance of a destination may copy (glance-download).

    It asks the other Glance with the token that it was asked with, so that
    has to be in the same cloud, in a region with a name.

    :param images: of one content.
    :param config: sections of the destination, as ``open`` has them.
    :param open: gives those of other destinations.
    """
    return [
        ImageCopy(
            image_id=image.image_id,
            region=region,
            disk_format=image.disk_format,
            container_format=image.container_format,
            checksum=checksum_of(image),
        )
        for image in images
        if image.status == 'active'
        for region in _regions(image.destination, config, open)
    ]


def source(image: db.Image, open: JobConfig) -> specs.ImageSource:
    """What the job of an upload is told of an image that has its file.

    :raises SourceUnusable: it is not there any more, or its destination
        cannot be used here.
    """
    where = image.destination or 'this cloud'
    checksum = checksum_of(image)
    if image.status != 'active' or checksum is None or not image.size:
        raise exception.SourceUnusable(where=where, reason='it is gone')
    try:
        config = open(image.destination)
    except exception.ImageBuildError as error:
        raise exception.SourceUnusable(
            where=where, reason=str(error).rstrip('.')
        ) from error
    return specs.ImageSource(
        destination=image.destination,
        store=str(config['destination']['store']),
        image_id=image.image_id,
        build_id=image.build_id,
        disk_format=image.disk_format,
        size=image.size,
        checksum=checksum,
        # One file for all uploads that want it, and for a later attempt.
        artifact=str(uuid.uuid5(uuid.UUID(image.id), 'file')),
        config=config,
    )


def checksum_of(image: db.Image) -> checksums.Checksum | None:
    """What the store of an image has computed; None if that is not known."""
    if not image.os_hash_algo or not image.os_hash_value:
        return None
    return checksums.Checksum(image.os_hash_algo, image.os_hash_value)


def _regions(
    destination: str, config: Mapping[str, Any], open: JobConfig
) -> Iterator[str]:
    """The region of a destination, if it is one of the same cloud."""
    try:
        other = open(destination)
    except exception.ImageBuildError:
        # It was taken out, or cannot be used now.
        return
    stores = {each['destination']['store'] for each in (config, other)}
    region = other.get('glance', {}).get('region_name')
    if region and stores == {'glance'} and _cloud(config) == _cloud(other):
        yield str(region)


def _cloud(config: Mapping[str, Any]) -> str:
    return str(config['keystone'].get('auth_url') or '').rstrip('/')
