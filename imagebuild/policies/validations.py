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
"""Rules of validations."""

from __future__ import annotations

from imagebuild.policies import base

LIST = 'image-build:validations:list'
SHOW = 'image-build:validations:show'
CREATE = 'image-build:validations:create'
RECONCILE = 'image-build:validations:create:reconcile'
OPERATORS_KEY = 'image-build:validations:create:operators_key'
CANCEL = 'image-build:validations:cancel'
DELETE = 'image-build:validations:delete'

_ALL = '/v1/validations'
_ONE = '/v1/validations/{validation_id}'

RULES = [
    base.rule(
        LIST,
        base.READER_OR_ADMIN,
        "List the project's validations.",
        f'GET {_ALL}',
    ),
    base.rule(
        SHOW,
        base.READER_OR_ADMIN,
        'Show a validation. To those who may not, it does not exist (404).',
        f'GET {_ONE}',
    ),
    base.rule(
        CREATE,
        base.MEMBER_OR_ADMIN,
        'Have machines validated, in the networks that the operator allows.',
        f'POST {_ALL}',
    ),
    base.rule(
        RECONCILE,
        base.MEMBER_OR_ADMIN,
        'Have them changed where something does not hold.',
        f'POST {_ALL}',
    ),
    base.rule(
        OPERATORS_KEY,
        base.MEMBER_OR_ADMIN,
        'Have a key of the operator used ([validation] private_keys).',
        f'POST {_ALL}',
    ),
    base.rule(
        CANCEL,
        base.MEMBER_OR_ADMIN,
        'Cancel a validation.',
        f'POST {_ONE}/cancel',
    ),
    base.rule(
        DELETE,
        base.MEMBER_OR_ADMIN,
        'Delete a validation that does not run.',
        f'DELETE {_ONE}',
    ),
]
