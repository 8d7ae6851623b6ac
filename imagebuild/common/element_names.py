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
"""Names of diskimage-builder's elements, in requests and in manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: No more than a word to any shell, and no option.
PATTERN = r'^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$(?!\n)'
MOST = 100

#: The JSON schema of a list of them.
SCHEMA: Mapping[str, Any] = {
    'type': 'array',
    'maxItems': MOST,
    'uniqueItems': True,
    'items': {
        'type': 'string',
        'pattern': PATTERN,
        'x-message': 'is not the name of an element',
    },
    'x-message': f'is not a list of at most {MOST} different names of '
    'elements',
}
