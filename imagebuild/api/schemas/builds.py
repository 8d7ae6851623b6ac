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
"""Builds."""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.api.schemas import description

STATUSES = [
    'queued',
    'building',
    'uploading',
    'active',
    'error',
    'cancelled',
    'deleting',
]
UPDATE = description.CHANGES
SORT_KEYS = ['created_at', 'finished_at', 'name', 'os', 'status', 'updated_at']

_ID = {**base.UUID, 'description': "The build's id."}

BUILD: base.Schema = base.closed(
    {
        'id': _ID,
        'name': base.TEXT,
        'status': {'enum': STATUSES},
        'status_reason': base.MAYBE_TEXT,
        'fault': {
            'enum': ['user', 'service', None],
            'description': 'Of an error: who can mend it.',
        },
        'project_id': base.TEXT,
        'user_id': base.TEXT,
        'os': base.MAYBE_TEXT,
        'driver': base.TEXT,
        'architecture': base.TEXT,
        'content_key': base.TEXT,
        'reused_from': {
            **base.MAYBE_UUID,
            'description': 'The build that made the image.',
        },
        'image_id': {
            **base.MAYBE_TEXT,
            'description': 'Id of the image in this cloud, once it is known.',
        },
        'images': {
            'type': 'array',
            'items': base.closed(
                {
                    'destination': {
                        **base.TEXT,
                        'description': 'Name of a cloud; empty: this one.',
                    },
                    'image_id': base.TEXT,
                    'disk_format': base.TEXT,
                    'status': base.TEXT,
                }
            ),
        },
        'checksum': base.closed(
            {
                'os_hash_algo': base.MAYBE_TEXT,
                'os_hash_value': base.MAYBE_TEXT,
            }
        ),
        'size': {**base.MAYBE_COUNT, 'description': 'Bytes.'},
        'conductor': base.MAYBE_TEXT,
        'attempt': {
            **base.COUNT,
            'description': 'How often a conductor began it.',
        },
        'progress': base.closed(
            {'done': base.COUNT, 'total': base.COUNT, 'step': base.TEXT}
        ),
        'log_size': {**base.COUNT, 'description': 'Bytes.'},
        'created_at': base.TIME,
        'started_at': base.MAYBE_TIME,
        'finished_at': base.MAYBE_TIME,
        'updated_at': base.TIME,
        'request': {
            'type': 'object',
            'description': 'What was asked for, with its defaults; values of '
            'hidden arguments are "***".',
        },
        'links': base.LINKS,
    }
)

STEP: base.Schema = base.closed(
    {
        'attempt': base.COUNT,
        'number': base.COUNT,
        'path': {
            **base.TEXT,
            'description': 'Its place in the request, such as packages[0].',
        },
        'validator': base.TEXT,
        'description': base.TEXT,
        'result': base.TEXT,
        'seconds': {'type': 'number'},
        'message': base.TEXT,
        'output': {**base.TEXT, 'description': 'The end of what it printed.'},
        'created_at': base.TIME,
    }
)
STEPS: base.Schema = base.closed(
    {'steps': {'type': 'array', 'items': base.ref('Step')}}
)

PLAN: base.Schema = base.closed(
    {
        'content_key': base.TEXT,
        'os': base.MAYBE_TEXT,
        'driver': base.TEXT,
        'architecture': base.TEXT,
        'base': base.closed(
            {
                'kind': base.TEXT,
                'id': base.MAYBE_TEXT,
                'checksum': base.MAYBE_TEXT,
                'size': base.MAYBE_COUNT,
            }
        ),
        'reuse': base.closed(
            {
                'image_id': base.MAYBE_TEXT,
                'build_id': base.MAYBE_TEXT,
            },
            description='The image that would be taken instead of building, '
            'and the build that made it; or the build of the same content '
            'that would be waited for.',
        ),
        'would_build': {'type': 'boolean'},
        'steps': {
            'type': 'array',
            'items': base.closed(
                {
                    'path': base.TEXT,
                    'validator': base.TEXT,
                    'description': base.TEXT,
                }
            ),
        },
        'conductors': {
            'type': 'array',
            'items': base.TEXT,
            'description': 'Those that could build it now.',
        },
    }
)

CREATE = description.DESCRIPTION
LIST: base.Schema = base.listing('builds', 'Build')

_SORT = f'({"|".join(SORT_KEYS)})(:(asc|desc))?'

LIST_QUERY = (
    base.Parameter('status', 'Of this status.', {'enum': STATUSES}),
    base.Parameter('name', 'Of this name.', base.NAME),
    base.Parameter('os', 'Of this operating system.', base.NAME),
    base.Parameter('driver', 'Of this driver.', base.NAME),
    base.Parameter(
        'content_key',
        'Of this content.',
        {'type': 'string', 'pattern': '^[0-9a-f]{64}$', 'maxLength': 64},
    ),
    base.Parameter(
        'sort',
        'Keys to sort by, each with an optional direction: '
        'created_at:desc,name:asc. By default the newest come first.',
        {
            'type': 'string',
            'pattern': f'^{_SORT}(,{_SORT})*$(?!\\n)',
            'maxLength': 255,
            'x-message': f'is not a list of {", ".join(SORT_KEYS)}, each '
            'with ":asc" or ":desc" or nothing',
        },
    ),
    base.LIMIT,
    base.MARKER,
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)

LOG_QUERY = (
    base.Parameter(
        'offset',
        'Where to begin, in bytes: what X-Next-Offset of the answer before '
        'said. By default at the beginning.',
        {'type': 'integer', 'minimum': 0, 'maximum': base.MAX_INT},
    ),
    base.Parameter(
        'limit',
        'At most so many bytes. Characters are never cut in two.',
        {'type': 'integer', 'minimum': 1, 'maximum': 1024 * 1024},
    ),
)
