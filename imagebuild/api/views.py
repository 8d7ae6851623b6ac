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
from collections.abc import Mapping
from typing import Any

from imagebuild import catalogue
from imagebuild import db
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.api import progress
from imagebuild.api import schemas
from imagebuild.destinations import Destination


def time(value: datetime.datetime | None) -> str | None:
    """Return naive UTC as ISO 8601, None for None."""
    if value is None:
        return None
    return value.isoformat(timespec='milliseconds') + 'Z'


def links(root: str, path: str) -> list[dict[str, str]]:
    """Return the link of a thing to itself."""
    return [{'rel': 'self', 'href': f'{root}{path}'}]


def _shown(
    schema: schemas.base.Schema, source: object, **values: Any
) -> dict[str, Any]:
    """Return the fields of a schema.

    :param source: has those that are not among the values as attributes.
    """
    return {
        name: values[name] if name in values else _plain(getattr(source, name))
        for name in schema['properties']
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return time(value)
    return list(value) if isinstance(value, tuple) else value


def build(record: db.Build, root: str) -> dict[str, Any]:
    """Return a build as the API shows it."""
    return _shown(
        schemas.builds.BUILD,
        record,
        status_reason=record.status_reason or None,
        os=record.os or None,
        images=[
            _shown(schemas.builds.IMAGE, image) for image in record.images
        ],
        checksum=_shown(schemas.base.CHECKSUM, record),
        progress=progress.progress(record),
        boot_test=_boot_test(record.boot_test),
        links=links(root, f'/v1/builds/{record.id}'),
    )


def _boot_test(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else _known(schemas.builds.BOOTED, found)


def _known(
    schema: schemas.base.Schema, found: Mapping[str, Any]
) -> dict[str, Any]:
    """What a schema has of a document that another release may have kept."""
    return {name: found.get(name) for name in schema['properties']}


#: Fields of a request that may be large: in a build, but not in a list.
LARGE_FIELDS = frozenset(
    {
        *('packages', 'pip_packages', 'files', 'manifest', 'resources'),
        *('arguments', 'driver_options', 'properties', 'members'),
        'boot_test',
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
    if found['boot_test']:
        found['boot_test'] |= {'findings': [], 'telling': []}
    return found


#: Seconds after which a run that is due is called late.
_LATE = 120


def pipeline(
    record: db.Pipeline, root: str, now: datetime.datetime
) -> dict[str, Any]:
    """Return a pipeline as the API shows it."""
    return _shown(
        schemas.pipelines.PIPELINE,
        record,
        status_reason=record.status_reason or _lateness(record, now),
        image=record.request,
        cron=record.cron or None,
        paused=record.status == 'paused',
        links=links(root, f'/v1/pipelines/{record.id}'),
    )


def channel(record: db.Channel, root: str) -> dict[str, Any]:
    """Return a channel as the API shows it."""
    return _shown(
        schemas.channels.CHANNEL,
        record,
        status_reason=record.status_reason or None,
        settled=record.is_settled,
        links=links(root, f'/v1/channels/{record.id}'),
    )


def promotion(record: db.Promotion) -> dict[str, Any]:
    """Return a change of a channel."""
    return _shown(schemas.channels.PROMOTION, record)


def validation(record: db.Validation, root: str) -> dict[str, Any]:
    """Return a validation as the API shows it."""
    return _shown(
        schemas.validations.VALIDATION,
        record,
        name=record.name or None,
        status_reason=record.status_reason or None,
        links=links(root, f'/v1/validations/{record.id}'),
    )


def validation_summary(record: db.Validation, root: str) -> dict[str, Any]:
    """Return a validation for a list, without what may be large."""
    found = validation(record, root)
    found['request'] = {
        name: value
        for name, value in record.request.items()
        if name not in LARGE_FIELDS
    }
    found['results'] = [{**each, 'steps': []} for each in record.results]
    return found


def _lateness(record: db.Pipeline, now: datetime.datetime) -> str | None:
    late = now - datetime.timedelta(seconds=_LATE)
    if record.is_due(late) and not record.run_requested:
        return (
            f'The run of {time(record.next_run_at)} has not begun: no '
            'conductor that can build it is up, or something that it needs '
            'is away.'
        )
    return None


def pipeline_summary(
    record: db.Pipeline, root: str, now: datetime.datetime
) -> dict[str, Any]:
    """Return a pipeline for a list, without the large fields of its image."""
    found = pipeline(record, root, now)
    found['image'] = {
        name: value
        for name, value in record.request.items()
        if name not in LARGE_FIELDS
    }
    return found


def step(record: db.Step) -> dict[str, Any]:
    """Return a finished step."""
    return _shown(schemas.builds.STEP, record)


def upload(record: db.Upload) -> dict[str, Any]:
    """Return an upload."""
    return _shown(
        schemas.uploads.UPLOAD,
        record,
        status_reason=record.status_reason or None,
        checksum=_shown(schemas.base.CHECKSUM, record),
    )


#: Not the files of its host that it has looked at.
_OFFERED = (
    *('architectures', 'destinations', 'accelerator', 'free_disk'),
    *('free_memory', 'cached_bases', 'cached_layers', 'boot_tests'),
)


def conductor(record: db.Conductor, *, alive: bool) -> dict[str, Any]:
    """Return a conductor.

    :param alive: whether its heartbeat is recent.
    """
    offered = record.capability
    return _shown(
        schemas.conductors.CONDUCTOR,
        record,
        alive=alive,
        **{name: _plain(getattr(offered, name)) for name in _OFFERED},
    )


def destination(found: Destination) -> dict[str, Any]:
    """Return a destination, without how it is reached."""
    disk_format, container_format = found.formats({})
    return _shown(
        schemas.destinations.DESTINATION,
        found,
        disk_format=disk_format,
        container_format=container_format,
    )


def operating_system(entry: catalogue.OperatingSystem) -> dict[str, Any]:
    """Return an operating system, without the source of its image."""
    return _shown(schemas.operating_systems.OPERATING_SYSTEM, entry)


def recipe_summary(recipe: recipes.Recipe, root: str) -> dict[str, Any]:
    """Return a recipe for a list; never raises."""
    name, version = (
        urllib.parse.quote(part, safe='')
        for part in (recipe.name, recipe.version)
    )
    return _shown(
        schemas.recipes.RECIPE_SUMMARY,
        recipe,
        links=links(root, f'/v1/recipes/{name}/{version}'),
    )


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
    schema = argument.type_schema()
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
            case 'integer' | 'port':
                return int(text)
            case 'number' if math.isfinite(float(text)):
                return float(text)
            case 'boolean':
                return text == 'true'
    except ValueError:
        pass
    return text
