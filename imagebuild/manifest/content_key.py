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
"""The digest of everything that decides a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.manifest.validators import base

#: Raised when the engine would build something else from the same manifest.
LANGUAGE = 1


def digest(
    validators: Sequence[base.Validator], values: Mapping[str, str]
) -> str:
    """Digest steps and argument values.

    :returns: 64 hexadecimal digits (SHA-256 of canonical JSON).
    """
    canonical = json.dumps(
        {
            'language': LANGUAGE,
            'validators': [validator.key() for validator in validators],
            'values': dict(values),
        },
        sort_keys=True,
        ensure_ascii=True,
        separators=(',', ':'),
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
