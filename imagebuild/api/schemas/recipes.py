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
"""Recipes."""

from __future__ import annotations

from imagebuild.api.schemas import base

_SUMMARY = {
    'name': base.text('Its name.', 'redis'),
    'version': base.text('Its version.', '7'),
    'description': base.text('What it makes.', 'Redis, a key-value store'),
    'links': base.LINKS,
}

RECIPE_SUMMARY: base.Schema = base.closed(_SUMMARY)
RECIPE: base.Schema = base.closed(
    {
        **_SUMMARY,
        'min_disk': base.count('GiB that a disk with it needs at least.', 2),
        'arguments': {
            'type': 'object',
            'description': 'A JSON schema of the arguments.',
        },
    }
)

LIST: base.Schema = base.closed(
    {
        'recipes': base.array(
            base.ref('RecipeSummary'), 'All recipes of the service.'
        )
    }
)
