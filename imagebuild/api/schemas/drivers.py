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
"""Drivers."""

from __future__ import annotations

from imagebuild.api.schemas import base

DRIVER: base.Schema = base.closed(
    {
        'name': base.text('Its name, for "driver".', 'bootstrap'),
        'options': base.field(
            {'type': 'object', 'additionalProperties': True},
            'JSON schema (draft 2020-12) of "driver_options".',
            {
                '$schema': 'https://json-schema.org/draft/2020-12/schema',
                'type': 'object',
                'properties': {
                    'size': {
                        'description': 'GiB of the disk.',
                        'type': 'integer',
                        'minimum': 1,
                    }
                },
            },
        ),
    }
)

LIST: base.Schema = base.closed(
    {
        'drivers': base.array(
            base.ref('Driver'), 'Those of the conductors that are up.'
        )
    }
)
