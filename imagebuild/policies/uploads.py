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
"""Rules of uploads."""

from __future__ import annotations

from imagebuild.policies import base

LIST = 'image-build:uploads:list'
SHOW = 'image-build:uploads:show'
CREATE = 'image-build:uploads:create'
DELETE = 'image-build:uploads:delete'

_ONE = '/v1/uploads/{upload_id}'

RULES = [
    base.rule(
        LIST,
        base.READER_OR_ADMIN,
        "List where the project's images are being or have been uploaded.",
        'GET /v1/uploads',
    ),
    base.rule(
        SHOW,
        base.READER_OR_ADMIN,
        'Show an upload. To those who may not, it does not exist (404).',
        f'GET {_ONE}',
    ),
    base.rule(
        CREATE,
        base.MEMBER_OR_ADMIN,
        'Upload the image of a build to one more cloud.',
        'POST /v1/uploads',
    ),
    base.rule(
        DELETE,
        base.MEMBER_OR_ADMIN,
        'Cancel an upload, or delete the image that it made.',
        f'DELETE {_ONE}',
    ),
]
