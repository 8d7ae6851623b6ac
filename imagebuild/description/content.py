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
"""The digest of everything that decides an image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from imagebuild.description import description as descriptions
from imagebuild.manifest import content_key as manifest_key

#: Raised when the service would make another image of the same request.
GENERATION = 1

#: How a build is cleaned up before it is closed; part of its content. The
#: image is for many machines: nothing of one of them stays in it.
FINISH: Mapping[str, bool] = {'generalize': True, 'keep_cache': False}


def content_key(
    description: descriptions.Description,
    base: Mapping[str, Any],
    request: Mapping[str, Any],
) -> str:
    """Digest everything that decides the content of an image.

    Two requests with the same key get the same image. Names, tags,
    visibility and the like are not content.

    :param description: what is inside.
    :param base: what the base resolved to: ``identity``, and ``driver`` if
        the request names none.
    :param request: the body of the request: ``disk_format``,
        ``container_format``, ``driver``, ``driver_options``,
        ``architecture``; a default that is spelled out makes no difference.
        ``driver_options`` are those that the build will use, the
        catalogue's included.
    :returns: 64 hexadecimal digits.
    :raises StepFailed: a recipe that is a plugin cannot tell its own.
    """
    facts = {
        'architecture': request.get('architecture') or 'x86_64',
        'base': base.get('identity') or '',
        'container_format': request.get('container_format') or 'bare',
        'description': description.content_key(),
        'disk_format': request.get('disk_format') or 'qcow2',
        'driver': request.get('driver') or base.get('driver') or 'guestfs',
        'driver_options': request.get('driver_options') or {},
        'finish': dict(FINISH),
        'generation': GENERATION,
        'language': manifest_key.LANGUAGE,
    }
    text = json.dumps(
        facts, sort_keys=True, ensure_ascii=True, separators=(',', ':')
    )
    return hashlib.sha256(text.encode()).hexdigest()
