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
"""An image that a cloud has made becomes the image of an upload.

Nothing of it is computed here: bytes, formats and checksum are Glance's. What
is said about the image changes in one request: before it is the attempt's,
which is reaped with the attempt, and after it is the upload's. So a process
that is killed leaves the one or the other.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from typing import Any

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.common import image_properties
from imagebuild.stores import glance_job
from imagebuild.stores import glance_records
from imagebuild.stores import stamps

LOG = logging.getLogger(__name__)

#: Properties, as shell patterns, that say of which server an image is a
#: snapshot, or what the image was of which that server was made; with the
#: functions of Nova 34 that write them.
_OF_ITS_ORIGIN = (
    # nova/compute/utils.py, create_image and what it calls
    *('instance_uuid', 'user_id', 'image_type', 'instance_owner'),
    # nova/compute/api.py, _populate_instance_for_create
    *('base_image_ref', 'owner_user_name', 'owner_project_name'),
    # nova/compute/manager.py, _build_and_run_instance
    'boot_roles',
    # nova/virt/libvirt/driver.py, _create_snapshot_metadata
    *('image_location', 'image_state', 'owner_id'),
    # openstack/image/v2/_proxy.py: checksums of the bytes of the base image
    'owner_specified.*',
    # What this service says of the base image, where that is one of its own.
    'imagebuild_*',
    # Trusted by other services: nobody says so of this image.
    *image_properties.RESERVED,
)
#: Property: GiB that the disk of the image needs, as the cloud has said.
_LEAST_DISK = 'imagebuild_min_disk'
#: What an image that has data keeps for life.
_FIXED = ('disk_format', 'container_format')


class UnusableImage(exception.EnvironmentFault):
    msg_fmt = 'Image %(id)s, which the build has made, %(reason)s.'


class Adoption:
    """One image that is adopted.

    :param records: the images of this service.
    :param artifact: what the build has made.
    """

    def __init__(
        self,
        client: glance.Glance,
        records: glance_records.Records,
        job: glance_job.Job,
        artifact: artifacts.ImageArtifact,
    ) -> None:
        self._glance = client
        self._records = records
        self._job = job
        self._artifact = artifact

    def attempt(self) -> images.GlanceImage:
        """Do it, or go on with what an earlier call has done.

        :returns: the image, with the stamp of the upload.
        :raises UnusableImage: it is not there, or not what it should be.
        :raises Refused: Glance does not want what is said about it.
        :raises ServiceUnavailable: Glance is away; call again later.
        """
        try:
            found = self._glance.get(self._artifact.image_id)
            is_adopted = stamps.is_of(found, self._job.stamp)
            if not is_adopted and not self._is_of_the_attempt(found):
                raise self._unusable('does not have its mark')
            self._check(found)
            self._remove_former(found.id)
            return found if is_adopted else self._change(found)
        except exception.NotFound as error:
            raise self._unusable('is not in Glance any more') from error

    def _check(self, found: images.GlanceImage) -> None:
        if found.status != 'active':
            raise self._unusable(f'is {found.status} instead of active')
        if not found.size:
            # Of a server that was booted from a volume.
            raise self._unusable('has no data: it only names a volume')
        own = self._glance.project_id()
        # Without Keystone there are no projects.
        if own and found.owner not in (self._job.image.owner, own):
            raise self._unusable(f'belongs to another project, {found.owner}')

    def _is_of_the_attempt(self, found: images.GlanceImage) -> bool:
        """Whether it is no other image: a row may be damaged."""
        stamp = self._artifact.stamp
        read = artifacts.AttemptStamp.from_properties
        return read(found.properties, stamp.service) == stamp

    def _remove_former(self, image_id: str) -> None:
        """Remove what earlier attempts of the build made for the upload."""
        for other in self._records.of_upload(self._job.stamp):
            if other.id == image_id:
                continue
            if other.owner != self._job.image.owner:
                # Whoever owns an image can give it our mark.
                LOG.warning('Image %s only has our mark', other.id)
                continue
            LOG.info('Deleting image %s of an earlier attempt', other.id)
            self._records.remove(other)

    def _change(self, found: images.GlanceImage) -> images.GlanceImage:
        values: dict[str, Any] = {
            **self._job.described,
            **stamps.properties(found.id, self._records.service()),
        }
        # Last of all, when members and stores are right.
        del values['protected']
        # Its disk has a size of its own, which no later change takes back.
        values['min_disk'] = max(values['min_disk'], found.min_disk)
        if found.min_disk:
            values[_LEAST_DISK] = str(found.min_disk)
        if not values['min_ram']:
            del values['min_ram']
        for name in _FIXED:
            del values[name]
        dropped = [
            name
            for name in found.properties
            if name not in values and is_of_origin(name)
        ]
        LOG.info('Adopting image %s', found.id)
        return self._glance.update(found.id, remove_props=dropped, **values)

    def _unusable(self, reason: str) -> UnusableImage:
        return UnusableImage(id=self._artifact.image_id, reason=reason)


def least_disk(image: images.GlanceImage) -> int:
    """GiB that the disk of an image needs; 0 where that is not known."""
    said = image.properties.get(_LEAST_DISK, '')
    # Whoever owns the image can write anything into it.
    return int(said) if re.fullmatch('[0-9]{1,6}', said) else 0


def is_of_origin(name: str) -> bool:
    """Whether a property says something of where an image comes from."""
    return any(fnmatch.fnmatchcase(name, each) for each in _OF_ITS_ORIGIN)
