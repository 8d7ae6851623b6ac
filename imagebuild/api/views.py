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
"""Records of the database as the JSON of answers."""

from __future__ import annotations

import datetime
import math
import urllib.parse
from typing import Any

from imagebuild import catalogue
from imagebuild import db
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.api import progress


def time(value: datetime.datetime | None) -> str | None:
    """Return naive UTC as ISO 8601, None for None."""
    if value is None:
        return None
    return value.isoformat(timespec='milliseconds') + 'Z'


def links(root: str, path: str) -> list[dict[str, str]]:
    """Return the link of a thing to itself."""
    return [{'rel': 'self', 'href': f'{root}{path}'}]


def build(record: db.Build, root: str) -> dict[str, Any]:
    """Return a build as the API shows it."""
    return {
        'id': record.id,
        'name': record.name,
        'status': record.status,
        'status_reason': record.status_reason or None,
        'fault': record.fault,
        'project_id': record.project_id,
        'user_id': record.user_id,
        'os': record.os or None,
        'driver': record.driver,
        'architecture': record.architecture,
        'content_key': record.content_key,
        'reused_from': record.reused_from,
        'image_id': record.image_id,
        'images': [
            {
                'destination': image.destination,
                'image_id': image.image_id,
                'disk_format': image.disk_format,
                'status': image.status,
            }
            for image in record.images
        ],
        'checksum': _checksum(record),
        'size': record.size,
        'conductor': record.conductor,
        'attempt': record.attempt,
        'requeues': record.requeues,
        'progress': progress.progress(record),
        'log_size': record.log_size,
        'created_at': time(record.created_at),
        'started_at': time(record.started_at),
        'finished_at': time(record.finished_at),
        'updated_at': time(record.updated_at),
        'request': record.request,
        'links': links(root, f'/v1/builds/{record.id}'),
    }


#: Fields of a request that may be large: in a build, but not in a list.
LARGE_FIELDS = frozenset(
    {
        *('packages', 'pip_packages', 'files', 'manifest', 'resources'),
        *('arguments', 'driver_options', 'properties', 'members'),
    }
)


def build_summary(record: db.Build, root: str) -> dict[str, Any]:
    """Return a build for a list, without the large fields of its request."""
    found = build(record, root)
    found['request'] = {
        name: value
        for name, value in record.request.items()
        if name not in LARGE_FIELDS
    }
    return found


def _checksum(record: db.Build | db.Upload) -> dict[str, str | None]:
    return {
        'os_hash_algo': record.os_hash_algo,
        'os_hash_value': record.os_hash_value,
    }


def step(record: db.Step) -> dict[str, Any]:
    """Return a finished step."""
    return {
        'attempt': record.attempt,
        'number': record.number,
        'path': record.path,
        'validator': record.validator,
        'description': record.description,
        'result': record.result,
        'seconds': record.seconds,
        'message': record.message,
        'output': record.output,
        'created_at': time(record.created_at),
    }


def upload(record: db.Upload) -> dict[str, Any]:
    """Return an upload."""
    return {
        'id': record.id,
        'build_id': record.build_id,
        'project_id': record.project_id,
        'destination': record.destination,
        'disk_format': record.disk_format,
        'status': record.status,
        'status_reason': record.status_reason or None,
        'image_id': record.image_id,
        'size': record.size,
        'bytes_done': record.bytes_done,
        'checksum': _checksum(record),
        'created_at': time(record.created_at),
        'updated_at': time(record.updated_at),
    }


def conductor(record: db.Conductor, *, alive: bool) -> dict[str, Any]:
    """Return a conductor.

    :param alive: whether its heartbeat is recent.
    """
    return {
        'name': record.name,
        'status': record.status,
        'alive': alive,
        'drivers': list(record.drivers),
        'operating_systems': list(record.operating_systems),
        'architecture': record.architecture,
        'slots': record.slots,
        'running': record.running,
        'version': record.version,
        'started_at': time(record.started_at),
        'heartbeat_at': time(record.heartbeat_at),
    }


def operating_system(entry: catalogue.OperatingSystem) -> dict[str, Any]:
    """Return an operating system, without the source of its image."""
    return {
        'name': entry.name,
        'description': entry.description,
        'architecture': entry.architecture,
        'driver': entry.driver,
        'min_disk': entry.min_disk,
    }


def recipe_summary(recipe: recipes.Recipe, root: str) -> dict[str, Any]:
    """Return a recipe for a list; never raises."""
    return {
        'name': recipe.name,
        'version': recipe.version,
        'description': recipe.description,
        'links': links(
            root,
            '/v1/recipes/'
            + '/'.join(
                urllib.parse.quote(part, safe='')
                for part in (recipe.name, recipe.version)
            ),
        ),
    }


def recipe(found: recipes.Recipe, root: str) -> dict[str, Any]:
    """Return a recipe with its arguments.

    :raises ImageBuildError: it is broken.
    """
    return {
        **recipe_summary(found, root),
        'min_disk': found.min_disk,
        'arguments': arguments_schema(found.arguments()),
    }


def arguments_schema(arguments: Any) -> dict[str, Any]:
    """Return a JSON schema of the values that arguments take."""
    return {
        '$schema': 'https://json-schema.org/draft/2020-12/schema',
        'type': 'object',
        'additionalProperties': False,
        'required': [item.name for item in arguments if item.required],
        'properties': {item.name: _argument(item) for item in arguments},
    }


def _argument(argument: manifest.Argument) -> dict[str, Any]:
    schema: dict[str, Any] = {'type': argument.type}
    if argument.description:
        schema['description'] = argument.description
    if argument.hidden:
        schema['writeOnly'] = True
    elif argument.default is not None:
        schema['default'] = _typed(argument.default, argument.type)
    if argument.choices:
        schema['enum'] = [
            _typed(choice, argument.type) for choice in argument.choices
        ]
    return schema


def _typed(text: str, kind: str) -> Any:
    """Convert a default or choice: arguments keep them as text."""
    try:
        match kind:
            case 'integer':
                return int(text)
            case 'number' if math.isfinite(float(text)):
                return float(text)
            case 'boolean':
                return text == 'true'
    except ValueError:
        pass
    return text
