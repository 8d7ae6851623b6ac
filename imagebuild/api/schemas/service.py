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
"""What the service says about itself."""

from __future__ import annotations

from imagebuild.api.schemas import base

_VERSION: base.Schema = base.closed(
    {
        'id': base.TEXT,
        'status': base.TEXT,
        'min_version': base.TEXT,
        'max_version': base.TEXT,
        'updated': base.TEXT,
        'links': base.LINKS,
    }
)

VERSIONS: base.Schema = base.closed(
    {'versions': {'type': 'array', 'items': _VERSION}}
)
VERSION: base.Schema = base.closed({'version': _VERSION})

HEALTH: base.Schema = base.closed(
    {
        'status': {'enum': ['ok', 'error']},
        'checks': {
            'type': 'object',
            'additionalProperties': base.closed(
                {
                    'status': {'enum': ['ok', 'error']},
                    'reason': base.TEXT,
                }
            ),
        },
    }
)

OPENAPI: base.Schema = {'type': 'object'}
