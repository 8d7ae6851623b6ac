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
from imagebuild.common import phases
from imagebuild.common import statuses
from imagebuild.db import records

UPDATE = description.CHANGES

_ID = base.field(
    base.UUID, "The build's id.", '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
)
_OS = base.maybe_text(
    'Name of the operating system; null when a base image was given.',
    'debian-12',
)
_DRIVER = base.text('What makes the disk.', 'guestfs')
_ARCHITECTURE = base.text('Processor architecture of the image.', 'x86_64')
_CONTENT_KEY = base.text(
    'SHA-256 of everything that decides what is in the image.',
    'c7ab2d5e0f6cc4d33d05f5b9d0f4e7d5a7a2c7c8f5a3a1d1f24c0f0e3b9a6d10',
)
_IMAGE_ID = 'b2f4e1d0-94c5-4c07-9f5f-0f3a5c6d7e81'

IMAGE: base.Schema = base.closed(
    {
        'destination': base.text('Name of a cloud; empty: this one.', ''),
        'image_id': base.text('Its id in that cloud.', _IMAGE_ID),
        'disk_format': base.text('Its format.', 'qcow2'),
        'status': base.text('"active", "deleting" or "deleted".', 'active'),
        'status_reason': base.maybe_text(
            'Why an image that is to be deleted is still there.', None
        ),
    }
)
_PROGRESS: base.Schema = base.closed(
    {
        'done': base.count('Finished steps.', 4),
        'total': base.count('All steps; 0 before they are known.', 4),
        'step': base.text('What is being done, as a short text.', ''),
        'phase': base.field(
            {'enum': [*phases.ORDER, None]},
            'Where it is: "base_image" is fetched or made, the disk opened '
            '("appliance", in the sandbox, too), the "steps" run, the disk '
            'closed and written ("convert"), the image booted ("boot_test", '
            'where that is asked for), and sent ("upload"), '
            'its checksum computed meanwhile; "checksum" is a phase of '
            'conductors of earlier releases. Null before the first and once '
            'it is active; of one that failed the phase in which it did.',
            None,
        ),
        'phases': base.array(
            base.closed(
                {
                    'name': base.field(
                        {'enum': list(phases.ORDER)}, 'Its name.', 'appliance'
                    ),
                    'seconds': base.field(
                        {'type': 'number'}, 'How long it took so far.', 12.4
                    ),
                }
            ),
            'The phases so far, in order.',
        ),
        'bytes_done': base.maybe_count(
            'Bytes of what is being downloaded, read or uploaded that are '
            'there; null when nothing is.',
            None,
        ),
        'bytes_total': base.maybe_count(
            'All of them; null when not known.', None
        ),
        'percent': base.field(
            {'type': 'integer', 'minimum': 0, 'maximum': 100},
            'How much of it is done, of all phases; 100 only of one that is '
            'active.',
            100,
        ),
        'elapsed': base.maybe_count(
            'Seconds from when a conductor first started it to its end, or to '
            'now.',
            95,
        ),
        'remaining': base.maybe_count(
            'About how many seconds are left, as earlier builds of the '
            'project went; null when that is not known.',
            None,
        ),
    },
    description='How far it is.',
)

#: What came of a boot test.
BOOTED: base.Schema = base.closed(
    {
        'passed': base.field(
            base.BOOLEAN, 'Whether all that was expected holds.', True
        ),
        'seconds': base.field(
            {'type': 'number'}, 'From the start of the machine.', 31.4
        ),
        'reason': base.text(
            'Why it did not come up; empty when it did, or nothing is known.',
            '',
        ),
        'findings': base.array(
            base.closed(
                {
                    'what': base.text('What was expected.', 'port 22'),
                    'holds': base.field(
                        base.BOOLEAN, 'Whether it is so.', True
                    ),
                    'message': base.text('What was found in its place.', ''),
                    'seconds': base.field(
                        {'type': 'number'},
                        'After the start of the machine.',
                        29.8,
                    ),
                }
            ),
            'One for each thing that was expected. In a list of builds it is '
            'empty, and so is "telling".',
        ),
        'telling': base.array(
            base.TEXT, 'Lines of the console that say why it failed.'
        ),
    },
)

BUILD: base.Schema = base.closed(
    {
        'id': _ID,
        'name': base.text('Name of the image.', 'web'),
        'status': base.field(
            {'enum': list(statuses.ALL)}, 'Where it is in its life.', 'active'
        ),
        'status_reason': base.maybe_text(
            'Why it is so, of an error above all.', None
        ),
        'fault': base.field(
            {'enum': ['user', 'service', None]},
            'Of an error: who can correct it.',
            None,
        ),
        'project_id': base.text(
            'Id of the project that it belongs to.',
            '478077fd6842449f845658aee5509589',
        ),
        'user_id': base.text(
            'Id of the user who requested it.',
            'a743f4479cea470fa1d8ccd7579516e9',
        ),
        'os': _OS,
        'driver': _DRIVER,
        'architecture': _ARCHITECTURE,
        'content_key': _CONTENT_KEY,
        'reused_from': base.field(
            base.MAYBE_UUID, 'The build that made the image.', None
        ),
        'pipeline_id': base.field(
            base.MAYBE_UUID, 'The pipeline that started it.', None
        ),
        'image_id': base.maybe_text(
            'Id of the image in this cloud, once it is known.', _IMAGE_ID
        ),
        'images': base.array(IMAGE, 'The image in each cloud.'),
        'checksum': base.CHECKSUM,
        'size': base.maybe_count('Bytes of the image.', 482344960),
        'conductor': base.maybe_text(
            'Name of the conductor that has it.', 'build-1'
        ),
        'attempt': base.count('How often a conductor started it.', 1),
        'requeues': base.count(
            'How many of these attempts do not count: the conductor had no '
            'room, or was stopped.',
            0,
        ),
        'progress': _PROGRESS,
        'boot_test': {
            **BOOTED,
            'type': ['object', 'null'],
            'description': 'What came of its boot test; null without one, '
            'and before it has ended.',
        },
        'delete_when_unused': base.field(
            base.BOOLEAN,
            'Whether it is deleted when no channel has it any more.',
            False,
        ),
        'log_size': base.count('Bytes of its log.', 20480),
        'created_at': base.time('When it was requested.'),
        'started_at': base.maybe_time('When a conductor first started it.'),
        'finished_at': base.maybe_time('When it was over.'),
        'updated_at': base.time('When it last changed.'),
        'request': base.field(
            {'type': 'object'},
            'The request, with its defaults; values of hidden '
            'arguments are masked. In a list it lacks what may be large: '
            'packages, files, manifest, resources, arguments, driver options, '
            'properties, members and boot test.',
            {
                'name': 'web',
                'os': 'debian-12',
                'packages': ['nginx'],
                'disk_format': 'qcow2',
            },
        ),
        'links': base.LINKS,
    }
)

_PATH = base.text('Its place in the request.', 'packages[0]')
_VALIDATOR = base.text('Its kind.', 'package')
_STEP_TEXT = base.text('What it does.', 'package nginx')

STEP: base.Schema = base.closed(
    {
        'attempt': base.count('The attempt that it belongs to.', 1),
        'number': base.count('Its place among the steps of the attempt.', 1),
        'path': _PATH,
        'validator': _VALIDATOR,
        'description': _STEP_TEXT,
        'result': base.text(
            'How it ended: ok, changed, ran, cached, failed or skipped.',
            'changed',
        ),
        'seconds': base.field({'type': 'number'}, 'How long it took.', 21.4),
        'message': base.text('Its message, of a failure above all.', ''),
        'output': base.text('The end of what its commands printed.', ''),
        'created_at': base.time('When it ended.'),
    }
)
STEPS: base.Schema = base.closed(
    {
        'steps': base.array(
            base.ref('Step'), 'In the order in which they were done.'
        ),
        'next': base.text(
            'Where the rest is, when there are very many steps, or very '
            'large ones.'
        ),
    },
    'next',
)
STEPS_QUERY = (
    base.Parameter(
        'marker',
        'Only the steps of the next page, as "next" of an answer has it.',
        {'type': 'integer', 'minimum': 0, 'maximum': 2**53},
    ),
)

PLAN: base.Schema = base.closed(
    {
        'content_key': _CONTENT_KEY,
        'os': _OS,
        'driver': _DRIVER,
        'architecture': _ARCHITECTURE,
        'base': base.closed(
            {
                'kind': base.text('How it is reached.', 'image'),
                'id': base.maybe_text('Its id, of an image.', _IMAGE_ID),
                'checksum': base.maybe_text(
                    'Its checksum, when it is known.', None
                ),
                'size': base.maybe_count('Its bytes, when known.', 418906112),
            },
            description='What the build begins with.',
        ),
        'reuse': base.closed(
            {
                'image_id': base.maybe_text('Id of the image.', None),
                'build_id': base.maybe_text('Id of the build.', None),
            },
            description='The image that would be taken instead of building, '
            'and the build that made it; or the build of the same content '
            'that would be waited for.',
        ),
        'would_build': base.field(
            base.BOOLEAN, 'Whether a new image would be made.', True
        ),
        'steps': base.array(
            base.closed(
                {
                    'path': _PATH,
                    'validator': _VALIDATOR,
                    'description': _STEP_TEXT,
                }
            ),
            'What would be done, in this order.',
        ),
        'conductors': base.field(
            {'type': 'array', 'items': base.TEXT},
            'Those that could build it now.',
            ['build-1'],
        ),
        'waits_for': base.field(
            {'type': 'array', 'items': base.TEXT},
            'Where there is none: those that could, and are down. The build '
            'would wait for them, and end with an error after a while.',
            [],
        ),
    }
)

DELETE_QUERY = (
    base.Parameter(
        'when_unused',
        'Whether one that a channel has is deleted when no channel has it any '
        'more. Without it, that is refused.',
        base.BOOLEAN,
    ),
)

CREATE = description.DESCRIPTION
LIST: base.Schema = base.listing('builds', 'Build')

_SORT = f'({"|".join(records.SORT_KEYS)})(:(asc|desc))?'

LIST_QUERY = (
    base.Parameter(
        'status',
        'Of this status, or of one of several.',
        {'enum': list(statuses.ALL)},
        repeatable=True,
    ),
    base.Parameter('name', 'Of this name.', base.NAME),
    base.Parameter(
        'os', 'Of this operating system.', base.NAME, repeatable=True
    ),
    base.Parameter('driver', 'Of this driver.', base.NAME, repeatable=True),
    base.Parameter(
        'content_key',
        'Of this content.',
        {'type': 'string', 'pattern': '^[0-9a-f]{64}$', 'maxLength': 64},
        repeatable=True,
    ),
    base.Parameter('pipeline_id', 'Started by this pipeline.', base.UUID),
    base.Parameter(
        'sort',
        'Keys to sort by, each with an optional direction: '
        'created_at:desc,name:asc. By default the newest come first.',
        {
            'type': 'string',
            'pattern': f'^{_SORT}(,{_SORT})*$(?!\\n)',
            'maxLength': 255,
            'x-message': 'is not a list of '
            f'{", ".join(records.SORT_KEYS)}, each with ":asc" or ":desc" or '
            'nothing',
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
        'Where to begin, in bytes: X-Next-Offset of the answer before. By '
        'default at the beginning.',
        {'type': 'integer', 'minimum': 0, 'maximum': base.MAX_INT},
    ),
    base.Parameter(
        'limit',
        'At most so many bytes. Characters are never cut in two.',
        {'type': 'integer', 'minimum': 1, 'maximum': 1024 * 1024},
    ),
)
