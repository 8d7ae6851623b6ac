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
"""Uploads."""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.common import statuses

UPLOAD: base.Schema = base.closed(
    {
        'id': base.field(base.UUID, "The upload's id."),
        'build_id': base.field(base.UUID, 'The build that made the image.'),
        'project_id': base.text('Id of the project that it belongs to.'),
        'destination': base.text('Name of a cloud; empty: this one.'),
        'disk_format': base.text('Format of the image there.', 'qcow2'),
        'status': base.field(
            {'enum': list(statuses.UPLOAD)},
            'Where it is in its life.',
            'active',
        ),
        'status_reason': base.maybe_text(
            'Why it is so, of an error above all.', None
        ),
        'image_id': base.maybe_text('Id of the image there.'),
        'size': base.maybe_count('Bytes of the image.', 482344960),
        'bytes_done': base.count('Bytes that are there already.', 482344960),
        'checksum': base.CHECKSUM,
        'created_at': base.time('When it was requested.'),
        'updated_at': base.time('When it last changed.'),
    }
)

CREATE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['build_id', 'destination'],
    'properties': {
        'build_id': base.field(base.UUID, 'The build whose image it is.'),
        'destination': {
            **base.NAME,
            'description': 'Name of the cloud, as the operator calls it.',
        },
        'disk_format': {
            'enum': ['qcow2', 'raw', 'vmdk', 'vhd', 'vdi'],
            'description': 'Format of the image there; by default what the '
            'request of the build says, or else the cloud.',
        },
    },
}

LIST: base.Schema = base.listing('uploads', 'Upload')

LIST_QUERY = (
    base.Parameter('build_id', 'Of this build.', base.UUID),
    base.Parameter(
        'status',
        'Of this status, or of one of several.',
        {'enum': list(statuses.UPLOAD)},
        repeatable=True,
    ),
    base.LIMIT,
    base.MARKER,
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)
