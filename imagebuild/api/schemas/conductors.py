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
"""Conductors."""

from __future__ import annotations

from imagebuild.api.schemas import base

CONDUCTOR: base.Schema = base.closed(
    {
        'name': base.TEXT,
        'status': {'enum': ['up', 'draining', 'down']},
        'alive': {
            'type': 'boolean',
            'description': 'Whether it was heard of lately.',
        },
        'drivers': {'type': 'array', 'items': base.TEXT},
        'operating_systems': {
            'type': 'array',
            'items': base.TEXT,
            'description': 'Empty: all.',
        },
        'architecture': base.TEXT,
        'slots': {**base.COUNT, 'description': 'Builds at once.'},
        'running': base.COUNT,
        'version': base.TEXT,
        'started_at': base.TIME,
        'heartbeat_at': base.TIME,
    }
)

LIST: base.Schema = base.closed(
    {'conductors': {'type': 'array', 'items': base.ref('Conductor')}}
)
