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

UPLOAD: base.Schema = base.closed(
    {
        'id': base.UUID,
        'build_id': base.UUID,
        'project_id': base.TEXT,
        'destination': {
            **base.TEXT,
            'description': 'Name of a cloud; empty: this one.',
        },
        'disk_format': base.TEXT,
        'status': {'enum': ['queued', 'uploading', 'active', 'error']},
        'status_reason': base.MAYBE_TEXT,
        'image_id': base.MAYBE_TEXT,
        'size': {**base.MAYBE_COUNT, 'description': 'Bytes.'},
        'bytes_done': base.COUNT,
        'checksum': base.closed(
            {
                'os_hash_algo': base.MAYBE_TEXT,
                'os_hash_value': base.MAYBE_TEXT,
            }
        ),
        'created_at': base.TIME,
        'updated_at': base.TIME,
    }
)

LIST: base.Schema = base.listing('uploads', 'Upload')

LIST_QUERY = (
    base.Parameter('build_id', 'Of this build.', base.UUID),
    base.LIMIT,
    base.MARKER,
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)
