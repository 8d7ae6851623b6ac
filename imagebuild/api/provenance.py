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
"""Where an image comes from: a statement of in-toto with SLSA's predicate.

It is made of what the database has, when it is asked for: the description as
it was accepted, in which the values of hidden arguments are masked, and the
checksums of what went into the image and of what came out.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.api import views
from imagebuild.common import checksums
from imagebuild.common import release

STATEMENT = 'https://in-toto.io/Statement/v1'
PREDICATE = 'https://slsa.dev/provenance/v1'
#: Raised when the same parameters would mean something else.
BUILD_TYPE = 'urn:openstack:image-build:build:v1'


def statement(
    build: db.Build, images: tuple[db.Image, ...], builder: str
) -> dict[str, Any]:
    """The provenance of images.

    :param build: that has made them.
    :param images: of that build, at least one.
    :param builder: a URI of the service.
    """
    return {
        '_type': STATEMENT,
        'subject': list(_subjects(build, images)),
        'predicateType': PREDICATE,
        'predicate': {
            'buildDefinition': {
                'buildType': BUILD_TYPE,
                'externalParameters': {'request': dict(build.request)},
                'internalParameters': {
                    'architecture': build.architecture,
                    'content_key': build.content_key,
                    'driver': build.driver,
                    'os': build.os or None,
                },
                'resolvedDependencies': list(_dependencies(build)),
            },
            'runDetails': {
                'builder': {
                    'id': builder,
                    'version': {'imagebuild': release.version()},
                },
                'metadata': {
                    'invocationId': build.id,
                    'startedOn': views.time(build.started_at),
                    'finishedOn': views.time(build.finished_at),
                },
            },
        },
    }


def _subjects(
    build: db.Build, images: tuple[db.Image, ...]
) -> Iterator[dict[str, Any]]:
    for image in images:
        if image.os_hash_algo and image.os_hash_value:
            place = f'{image.destination}:' if image.destination else ''
            yield {
                'name': f'{place}{image.image_id}',
                'digest': {image.os_hash_algo: image.os_hash_value},
                'annotations': {
                    'name': build.name,
                    'disk_format': image.disk_format,
                },
            }


def _dependencies(build: db.Build) -> Iterator[dict[str, Any]]:
    """What went into it: base image, steps, and what the request brought."""
    yield from _base_image(build)
    request = build.request
    if request.get('recipe'):
        name = f'recipe {request["recipe"]} {request.get("recipe_version")}'
    else:
        name = 'description'
    if steps := build.base.get('steps_key'):
        # Of a recipe's or manifest's steps, with their scripts and files.
        yield {'name': f'steps of the {name}', 'digest': {'sha256': steps}}
    if request.get('manifest') is not None:
        text = json.dumps(request['manifest'], sort_keys=True)
        yield {'name': 'manifest', 'digest': _digest(text.encode())}
    for path, text in sorted((request.get('resources') or {}).items()):
        yield {'name': f'resource {path}', 'digest': _digest(text.encode())}
    for file in request.get('files') or ():
        content = file.get('content')
        yield {
            'name': f'file {file.get("path")}',
            'digest': _digest(
                base64.b64decode(file.get('content_base64') or '')
                if content is None
                else str(content).encode()
            ),
        }


def _base_image(build: db.Build) -> Iterator[dict[str, Any]]:
    # Neither its path nor its URL, which are the operator's.
    base: Mapping[str, Any] = build.base
    found: dict[str, Any] = {'name': f'base image {build.os}'.strip()}
    if base.get('id'):
        found['uri'] = f'urn:uuid:{base["id"]}'
    try:
        checksum = checksums.Checksum.parse(str(base.get('checksum') or ''))
        found['digest'] = {checksum.algo: checksum.value}
    except exception.InvalidInput:
        if 'uri' not in found:
            return
    yield found


def _digest(content: bytes) -> dict[str, str]:
    return {'sha256': hashlib.sha256(content).hexdigest()}
