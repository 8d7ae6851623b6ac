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
"""Whether what has arrived in Glance is what should be there.

Glance's plugin image_conversion makes another image of what is imported: the
bytes differ by design, and the checksum that Glance computes is of its own
work. Whether that is wanted only the operator knows, so it is refused unless
the configuration says otherwise. Where the format is the same, other bytes are
damage, whatever has done it.
"""

from __future__ import annotations

import logging

from imagebuild import exception
from imagebuild.clients import images
from imagebuild.common import checksums
from imagebuild.stores import glance_job
from imagebuild.stores import import_watch
from imagebuild.stores import importing
from imagebuild.stores import sending

LOG = logging.getLogger(__name__)


def check(
    record: images.GlanceImage,
    job: glance_job.Job,
    settings: glance_job.Settings,
    attempt: importing.Attempt | None,
) -> None:
    """Compare an image that is active with what was to be uploaded.

    :param attempt: how it got there; None when somebody else did it.
    :raises ChecksumMismatch: it is something else.
    :raises ImportFailed: Glance has converted it, and must not.
    """
    if record.disk_format != job.image.disk_format:
        _check_conversion(record, job, settings, attempt)
        return
    with job.content(attempt) as content:
        _compare(record, content)


def _check_conversion(
    record: images.GlanceImage,
    job: glance_job.Job,
    settings: glance_job.Settings,
    attempt: importing.Attempt | None,
) -> None:
    told = (
        f'Glance has converted it from {job.image.disk_format} to '
        f'{record.disk_format}'
    )
    if not settings.accept_converted:
        raise import_watch.ImportFailed(
            id=record.id,
            what=attempt.method if attempt else 'the import',
            reason=f'{told}, and [glance] accept_converted is not set',
        )
    job.notice(f'Image {record.id}: {told}; its checksum is that of Glance.')


def _compare(record: images.GlanceImage, content: glance_job.Content) -> None:
    if len(content) and record.size != len(content):
        raise exception.ChecksumMismatch(
            f'Image {record.id} has {record.size} bytes in Glance, and '
            f'{len(content)} were sent.'
        )
    is_file = isinstance(content, sending.HashedFile)
    if not record.os_hash_algo and is_file:
        LOG.warning('Glance has no checksum of image %s', record.id)
        return
    expected = content.digest(record.os_hash_algo)
    if not expected:
        raise exception.ChecksumMismatch(
            f'The checksum of image {record.id} ({record.checksum or "none"}) '
            'cannot be compared with anything.'
        )
    if expected != record.os_hash_value:
        raise exception.ChecksumMismatch(
            what=f'Image {record.id}',
            found=record.checksum,
            expected=checksums.Checksum(record.os_hash_algo, expected),
        )
