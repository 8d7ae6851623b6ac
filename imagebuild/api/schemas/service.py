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
"""Versions, health and OpenAPI document of the service."""

from __future__ import annotations

from imagebuild.api.schemas import base

_VERSION: base.Schema = base.closed(
    {
        'id': base.text('Of the version.', 'v1'),
        'status': base.text('Of the version.', 'CURRENT'),
        'min_version': base.text('The first microversion.', '1.0'),
        'max_version': base.text('The last microversion.', '1.0'),
        'updated': base.text('When it last changed.', '2026-11-01T00:00:00Z'),
        'links': base.LINKS,
    }
)

VERSIONS: base.Schema = base.closed(
    {'versions': base.array(_VERSION, 'All versions of the API.')}
)
VERSION: base.Schema = base.closed(
    {'version': base.field(_VERSION, 'The version.')}
)

HEALTH: base.Schema = base.closed(
    {
        'status': base.field(
            {'enum': ['ok', 'error']}, 'Error when any check has one.'
        ),
        'checks': {
            'type': 'object',
            'description': 'Each check by its name.',
            'examples': [{'database': {'status': 'ok', 'reason': ''}}],
            'additionalProperties': base.closed(
                {
                    'status': base.field(
                        {'enum': ['ok', 'error']}, 'How it went.'
                    ),
                    'reason': base.text('Why.'),
                }
            ),
        },
    }
)

OPENAPI: base.Schema = {'type': 'object'}
