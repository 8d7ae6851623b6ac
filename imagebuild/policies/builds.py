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
"""Rules of builds."""

from __future__ import annotations

from imagebuild.policies import base

LIST = 'image-build:builds:list'
LIST_ALL = 'image-build:builds:list:all_projects'
SHOW = 'image-build:builds:show'
LOG = 'image-build:builds:log'
STEPS = 'image-build:builds:steps'
SBOM = 'image-build:builds:sbom'
PROVENANCE = 'image-build:builds:provenance'
PLAN = 'image-build:builds:plan'
CREATE = 'image-build:builds:create'
CREATE_MANIFEST = 'image-build:builds:create:manifest'
CREATE_DRIVER = 'image-build:builds:create:driver'
CREATE_DESTINATIONS = 'image-build:builds:create:destinations'
CREATE_PUBLIC = 'image-build:builds:create:public'
CREATE_COMMUNITY = 'image-build:builds:create:community'
UPDATE = 'image-build:builds:update'
CANCEL = 'image-build:builds:cancel'
DELETE = 'image-build:builds:delete'

_LIST = 'GET /v1/builds'
_SHOW = 'GET /v1/builds/{build_id}'
_MAKE = ('POST /v1/builds', 'POST /v1/builds/plan')

RULES = [
    base.rule(LIST, base.READER_OR_ADMIN, "List the project's builds.", _LIST),
    base.rule(
        LIST_ALL,
        base.ADMIN,
        "List the builds, channels, pipelines and uploads of other projects "
        "('all_projects', 'project_id').",
        _LIST,
        'GET /v1/channels',
        'GET /v1/pipelines',
        'GET /v1/uploads',
    ),
    base.rule(
        SHOW,
        base.READER_OR_ADMIN,
        'Show a build. To those who may not, it does not exist (404).',
        _SHOW,
    ),
    base.rule(
        LOG, base.READER_OR_ADMIN, 'Read the log of a build.', f'{_SHOW}/log'
    ),
    base.rule(
        STEPS,
        base.READER_OR_ADMIN,
        'Show the steps of a build with the ends of their output.',
        f'{_SHOW}/steps',
    ),
    base.rule(
        SBOM,
        base.READER_OR_ADMIN,
        "Show what is in a build's image.",
        f'{_SHOW}/sbom',
    ),
    base.rule(
        PROVENANCE,
        base.READER_OR_ADMIN,
        "Show where a build's image comes from.",
        f'{_SHOW}/provenance',
    ),
    base.rule(
        PLAN,
        base.READER_OR_ADMIN,
        'Show what a build would do. The request is checked against the rules '
        'of creation as well.',
        'POST /v1/builds/plan',
    ),
    base.rule(
        CREATE, base.MEMBER_OR_ADMIN, 'Build an image.', 'POST /v1/builds'
    ),
    base.rule(
        CREATE_MANIFEST,
        base.MEMBER_OR_ADMIN,
        'Give a manifest of one\'s own. Its scripts run as root inside the '
        'image, in the virtual machine that builds it, with the network '
        'that [guestfs] network lets it have.',
        *_MAKE,
    ),
    base.rule(
        CREATE_DRIVER,
        base.MEMBER_OR_ADMIN,
        "Choose the driver, its options or elements instead of taking the "
        "operating system's.",
        *_MAKE,
    ),
    base.rule(
        CREATE_DESTINATIONS,
        base.MEMBER_OR_ADMIN,
        'Name the clouds that the image goes to.',
        *_MAKE,
    ),
    base.rule(
        CREATE_PUBLIC,
        base.ADMIN,
        'Make the image visible to everyone (visibility "public").',
        *_MAKE,
    ),
    base.rule(
        CREATE_COMMUNITY,
        base.MEMBER_OR_ADMIN,
        'Let everyone use the image who knows its id (visibility '
        '"community").',
        *_MAKE,
    ),
    base.rule(
        UPDATE,
        base.MEMBER_OR_ADMIN,
        "Change the metadata of a build's image. A visibility is checked "
        'by the rules of creation as well.',
        f'PATCH {_SHOW.split()[1]}',
    ),
    base.rule(
        CANCEL,
        base.MEMBER_OR_ADMIN,
        'Cancel a build.',
        f'POST {_SHOW.split()[1]}/cancel',
    ),
    base.rule(
        DELETE,
        base.MEMBER_OR_ADMIN,
        'Delete a build, and its image with the last build that uses it.',
        f'DELETE {_SHOW.split()[1]}',
    ),
]
