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
"""Pipelines."""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.api.schemas import description
from imagebuild.common import schedule
from imagebuild.common import statuses

#: Begins the tag of a current image, unless the request names one. With a
#: name of NAME_LENGTH it is as long as Glance lets it be.
TAG_PREFIX = 'imagebuild_pipeline:'
NAME_LENGTH = 200
#: The current image, and the one before: servers are still made of it.
MIN_KEEP = 2
DEFAULT_KEEP = 2
DEFAULT_MAX_FAILURES = 3
_MAX_KEEP = 1000

#: Fields of a description that a pipeline decides.
NOT_IN_IMAGE = ('reuse', 'max_age')

_NAME: base.Schema = {**base.NAME, 'maxLength': NAME_LENGTH}
_TAG: base.Schema = base.field(
    base.NAME,
    'Tag of the current image; "imagebuild_pipeline:" and the name by '
    'default.',
    'imagebuild_pipeline:web',
)
_CRON = {**base.NAME, 'maxLength': schedule.MAX_LENGTH}
_CRON_TEXT = (
    'When it runs: five fields as in crontab(5), or @daily and the like; '
    'in UTC.'
)
_AGE = base.integer('', minimum=1)
_AGE_TEXT = (
    'Seconds after which the current image is built again, instead of "cron". '
    'Without both it runs on request only.'
)
_KEEP: base.Schema = {
    'type': 'integer',
    'minimum': MIN_KEEP,
    'maximum': _MAX_KEEP,
    'description': 'Images that are kept, the current one among them.',
}
_MAX_FAILURES: base.Schema = {
    'type': 'integer',
    'minimum': 0,
    'maximum': 1000,
    'description': 'Failures in a row after which it stops; 0: never.',
}

#: A description without what a pipeline decides. Its name is the pipeline's
#: by default.
IMAGE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'properties': {
        name: schema
        for name, schema in description.DESCRIPTION['properties'].items()
        if name not in NOT_IN_IMAGE
    },
    'description': 'What is built: the fields of a build, without "reuse" and '
    '"max_age".',
    'examples': [{'os': 'debian-12', 'packages': ['nginx']}],
}

CREATE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['name', 'image'],
    'properties': {
        'name': base.field(_NAME, 'Name, unique in the project.'),
        'image': IMAGE,
        'cron': base.field(_CRON, _CRON_TEXT),
        'max_age': {**_AGE, 'description': _AGE_TEXT},
        'keep': {**_KEEP, 'default': DEFAULT_KEEP},
        'max_failures': {**_MAX_FAILURES, 'default': DEFAULT_MAX_FAILURES},
        'current_tag': _TAG,
        'paused': {
            **base.BOOLEAN,
            'default': False,
            'description': 'Whether it runs on request only.',
        },
    },
    'examples': [
        {
            'name': 'web',
            'image': {'os': 'debian-12', 'packages': ['nginx']},
            'cron': '0 3 * * *',
            'keep': 3,
        }
    ],
}

UPDATE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'minProperties': 1,
    'properties': {
        'image': IMAGE,
        'cron': base.field({**_CRON, 'type': ['string', 'null']}, _CRON_TEXT),
        'max_age': {
            **_AGE,
            'type': ['integer', 'null'],
            'description': _AGE_TEXT,
        },
        'keep': _KEEP,
        'max_failures': _MAX_FAILURES,
        'current_tag': _TAG,
        'paused': base.field(base.BOOLEAN, 'Whether it runs on request only.'),
    },
    'examples': [{'cron': '0 4 * * 0', 'paused': False}],
}

_BUILD_ID = '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'

PIPELINE: base.Schema = base.closed(
    {
        'id': base.field(
            base.UUID,
            "The pipeline's id.",
            '9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4',
        ),
        'name': base.text('Its name.', 'web'),
        'status': base.field(
            {'enum': list(statuses.PIPELINE)},
            '"active"; "paused"; or "error": stopped after too many failures '
            'in a row, until it is changed or run.',
            'active',
        ),
        'status_reason': base.maybe_text('Why it is so.', None),
        'project_id': base.text(
            'Id of the project that it belongs to.',
            '478077fd6842449f845658aee5509589',
        ),
        'user_id': base.text(
            'Id of the user who gave the image; its builds have it, too.',
            'a743f4479cea470fa1d8ccd7579516e9',
        ),
        'image': base.field(
            {'type': 'object'},
            'What is built, with its defaults; values of hidden arguments '
            'are masked. In a list it lacks what may be large.',
            {'name': 'web', 'os': 'debian-12', 'packages': ['nginx']},
        ),
        'cron': base.maybe_text('When it runs.', '0 3 * * *'),
        'max_age': base.maybe_count('Age of an image that is built again.'),
        'keep': base.count('Images that are kept.', 3),
        'max_failures': base.count('Failures in a row that stop it.', 3),
        'current_tag': _TAG,
        'paused': base.field(base.BOOLEAN, 'Whether it is paused.', False),
        'failures': base.count('Failures in a row, until now.', 0),
        'run_requested': base.field(
            base.BOOLEAN, 'Whether a run was requested that has not begun.'
        ),
        'running_build_id': base.field(
            base.MAYBE_UUID, 'The build of the run that is under way.', None
        ),
        'last_build_id': base.field(
            base.MAYBE_UUID, 'The build of the last run.', _BUILD_ID
        ),
        'current_build_id': base.field(
            base.MAYBE_UUID, 'The build of the current image.', _BUILD_ID
        ),
        'current_image_id': base.maybe_text(
            'Id of the current image in this cloud.',
            'b2f4e1d0-94c5-4c07-9f5f-0f3a5c6d7e81',
        ),
        'last_run_at': base.maybe_time('When the last run began.'),
        'next_run_at': base.maybe_time('When the next run is due.'),
        'created_at': base.time('When it was made.'),
        'updated_at': base.time('When it last changed.'),
        'links': base.LINKS,
    }
)

LIST: base.Schema = base.listing('pipelines', 'Pipeline')

LIST_QUERY = (
    base.Parameter('name', 'Of this name.', base.NAME),
    base.Parameter(
        'status', 'Of this status.', {'enum': list(statuses.PIPELINE)}
    ),
    base.LIMIT,
    base.MARKER,
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)
DELETE_QUERY = (
    base.Parameter(
        'delete_images',
        'Whether its builds are deleted, too, and their images with them.',
        base.BOOLEAN,
    ),
)
