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
"""Rules of channels."""

from __future__ import annotations

from imagebuild.policies import base

LIST = 'image-build:channels:list'
SHOW = 'image-build:channels:show'
PROMOTE = 'image-build:channels:promote'
ROLLBACK = 'image-build:channels:rollback'
DELETE = 'image-build:channels:delete'

_ONE = '/v1/channels/{channel_id}'

RULES = [
    base.rule(
        LIST,
        base.READER_OR_ADMIN,
        "List the project's channels.",
        'GET /v1/channels',
    ),
    base.rule(
        SHOW,
        base.READER_OR_ADMIN,
        'Show a channel and its history. To those who may not, it does not '
        'exist (404).',
        f'GET {_ONE}',
        f'GET {_ONE}/history',
    ),
    base.rule(
        PROMOTE,
        base.MEMBER_OR_ADMIN,
        'Make the image of a build the current one of a channel. Its name is '
        "there as %(channel)s: with \"... and (role:release or not "
        "'prod':%(channel)s)\" only a role of one's own promotes to prod.",
        'POST /v1/builds/{build_id}/promote',
    ),
    base.rule(
        ROLLBACK,
        base.MEMBER_OR_ADMIN,
        'Take a build back from a channel. It may look at %(channel)s, too.',
        'POST /v1/builds/{build_id}/rollback',
    ),
    base.rule(
        DELETE,
        base.MEMBER_OR_ADMIN,
        'Delete a channel. Its images stay. It may look at %(channel)s, too.',
        f'DELETE {_ONE}',
    ),
]
