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
"""Rules of pipelines."""

from __future__ import annotations

from imagebuild.policies import base

LIST = 'image-build:pipelines:list'
SHOW = 'image-build:pipelines:show'
CREATE = 'image-build:pipelines:create'
UPDATE = 'image-build:pipelines:update'
RUN = 'image-build:pipelines:run'
DELETE = 'image-build:pipelines:delete'

_ONE = '/v1/pipelines/{pipeline_id}'

RULES = [
    base.rule(
        LIST,
        base.READER_OR_ADMIN,
        "List the project's pipelines.",
        'GET /v1/pipelines',
    ),
    base.rule(
        SHOW,
        base.READER_OR_ADMIN,
        'Show a pipeline. To those who may not, it does not exist (404).',
        f'GET {_ONE}',
    ),
    base.rule(
        CREATE,
        base.MEMBER_OR_ADMIN,
        'Make a pipeline. Its image is checked by the rules of builds as '
        'well, now: its builds are made later without the user, for the '
        'project.',
        'POST /v1/pipelines',
    ),
    base.rule(
        UPDATE,
        base.MEMBER_OR_ADMIN,
        'Change or pause a pipeline. A new image is checked as for creation.',
        f'PATCH {_ONE}',
    ),
    base.rule(
        RUN,
        base.MEMBER_OR_ADMIN,
        'Have a pipeline run now.',
        f'POST {_ONE}/run',
    ),
    base.rule(
        DELETE,
        base.MEMBER_OR_ADMIN,
        'Delete a pipeline. Its images are deleted with it only if the rule '
        'of deleting builds allows it.',
        f'DELETE {_ONE}',
    ),
]
