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
"""Schemas of channels."""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.common import control_characters
from imagebuild.conf import promotion
from imagebuild.db import CHANNEL_TAG_PREFIX

#: A name of so many characters leaves room in its tag, which Glance limits.
NAME_LENGTH = 255 - len(f'{CHANNEL_TAG_PREFIX}:') - promotion.LONGEST_NAME
#: A tag that no channel gives by itself.
OTHER_TAG: base.Schema = {
    **base.NAME,
    'pattern': rf'^(?!{CHANNEL_TAG_PREFIX})[^{control_characters.CLASS}]*'
    r'$(?!\n)',
    'x-pattern-message': 'holds a control character, or begins with '
    f'"{CHANNEL_TAG_PREFIX}", as those that channels have by themselves',
}
#: Further tags of a channel.
_MOST_TAGS = 16

#: What a request may call one; which there are is the operator's.
NAME: base.Schema = {**base.NAME, 'maxLength': promotion.LONGEST_NAME}
_CHANNEL = base.field(NAME, 'Name of the channel, such as "prod".', 'prod')
_TAGS_TEXT = (
    'Further tags of the current image, which go with the channel: what '
    'Octavia (amp_image_tag) or Trove (image_tags) looks for.'
)
_BUILD_ID = '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
_FORMER_ID = '0d7be6c1-5b1f-4a77-9c02-6f5d0b1c9a44'
_IMAGE_ID = 'b2f4e1d0-94c5-4c07-9f5f-0f3a5c6d7e81'

PROMOTE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['channel'],
    'properties': {
        'channel': _CHANNEL,
        'tags': base.array(
            OTHER_TAG,
            f'{_TAGS_TEXT} Those of before stay when this is not given.',
            maxItems=_MOST_TAGS,
            uniqueItems=True,
        ),
        'current_build_id': base.field(
            base.MAYBE_UUID,
            'The build that must be the current one until then; null: none. '
            'If it is another one, nothing happens (409).',
        ),
    },
    'examples': [{'channel': 'prod', 'tags': ['amphora']}],
}
ROLLBACK: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['channel'],
    'properties': {'channel': _CHANNEL},
    'examples': [{'channel': 'prod'}],
}

CHANNEL: base.Schema = base.closed(
    {
        'id': base.field(
            base.UUID,
            "The channel's id.",
            '6a1c2f7e-0b44-4b0e-8f7e-3d1b5a9c8e21',
        ),
        'name': base.text('Name of its images.', 'web'),
        'channel': _CHANNEL,
        'project_id': base.text(
            'Id of the project that it belongs to.',
            '478077fd6842449f845658aee5509589',
        ),
        'user_id': base.text(
            'Id of the user who has promoted last.',
            'a743f4479cea470fa1d8ccd7579516e9',
        ),
        'current_build_id': base.field(
            base.UUID, 'The build of the current image.', _BUILD_ID
        ),
        'current_image_id': base.maybe_text(
            'Id of the current image in this cloud; null when it is in others '
            'only, or was deleted there.',
            _IMAGE_ID,
        ),
        'previous_build_id': base.field(
            base.MAYBE_UUID,
            'The build that a rollback brings back.',
            _FORMER_ID,
        ),
        'previous_image_id': base.maybe_text(
            'Id of its image in this cloud.',
            '3c9d5d12-7a0f-4c65-8b53-0e1c2d3f4a5b',
        ),
        'tag': base.text(
            'Tag that the current image has.', 'imagebuild_channel:prod:web'
        ),
        'tags': base.array(base.TEXT, _TAGS_TEXT),
        'settled': base.field(
            base.BOOLEAN,
            'Whether the images have got and lost its tags. Which image is '
            'the current one does not depend on it.',
            True,
        ),
        'status_reason': base.maybe_text(
            'What could not be done with the tags.', None
        ),
        'created_at': base.time('When something was promoted first.'),
        'updated_at': base.time('When it last changed.'),
        'links': base.LINKS,
    }
)

PROMOTION: base.Schema = base.closed(
    {
        'action': base.field(
            {'enum': ['promote', 'rollback']}, 'What was done.', 'promote'
        ),
        'build_id': base.field(
            base.UUID, 'The current build from then on.', _BUILD_ID
        ),
        'image_id': base.maybe_text('Id of its image then.', _IMAGE_ID),
        'replaced_build_id': base.field(
            base.MAYBE_UUID, 'The one before; null for the first.', _FORMER_ID
        ),
        'user_id': base.text(
            'Id of the user who did it.', 'a743f4479cea470fa1d8ccd7579516e9'
        ),
        'at': base.time('When.'),
    }
)

_PAGE = base.listing('channels', 'Channel')
LIST: base.Schema = {
    **_PAGE,
    'required': [*_PAGE['required'], 'available'],
    'properties': {
        **_PAGE['properties'],
        'available': base.array(
            base.TEXT, 'Names of the channels that can be promoted to.'
        ),
    },
}
HISTORY: base.Schema = base.closed(
    {
        'history': base.array(
            base.ref('Promotion'), 'The newest first; the last 100.'
        )
    }
)
LIST_QUERY = (
    base.Parameter('name', 'Of images of this name.', base.NAME),
    base.Parameter('channel', 'Of this name of a channel.', NAME),
    base.Parameter(
        'build_id',
        'Those that have this build, as the current one or the one before.',
        base.UUID,
    ),
    base.LIMIT,
    base.MARKER,
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)
