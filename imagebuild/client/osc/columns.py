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
"""How values are shown."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cliff import columns
from osc_lib.cli import format_columns

from imagebuild.client import records
from imagebuild.client.osc import progress_text


class Nested(columns.FormattableColumn[Any]):
    """Mappings and lists, over several lines."""

    def human_readable(self) -> str:
        return (
            json.dumps(self._value, indent=2, ensure_ascii=False)
            if self._value
            else ''
        )


class Steps(columns.FormattableColumn[Sequence[Mapping[str, Any]]]):
    """Steps of a plan, one a line."""

    def human_readable(self) -> str:
        return '\n'.join(
            f'{number}. {step.get("description") or step.get("path")}'
            for number, step in enumerate(self._value, 1)
        )


class DoneOf(columns.FormattableColumn[records.Progress]):
    """Progress in one line."""

    def human_readable(self) -> str:
        return progress_text.summary(self._value)

    def machine_readable(self) -> Any:
        found = {
            field.name: getattr(self._value, field.name)
            for field in dataclasses.fields(records.Progress)
            if field.name != 'raw'
        }
        # As in the answer of the service.
        return {
            **found,
            'phase': self._value.phase or None,
            'phases': [dict(each) for each in self._value.phases],
        }


class Phases(DoneOf):
    """Progress in one line, and how long each phase took."""

    def human_readable(self) -> str:
        lines = (
            super().human_readable(),
            progress_text.durations(self._value),
        )
        return '\n'.join(filter(None, lines))


class Arguments(columns.FormattableColumn[Mapping[str, Any]]):
    """What a JSON schema describes: a line for each, not the schema."""

    def human_readable(self) -> str:
        required = self._value.get('required') or ()
        return '\n'.join(
            _argument(name, schema, name in required)
            for name, schema in (self._value.get('properties') or {}).items()
        )


def _argument(name: str, schema: Mapping[str, Any], required: bool) -> str:
    facts = (
        [str(schema['type'])] if isinstance(schema.get('type'), str) else []
    )
    if schema.get('enum'):
        facts.append('one of ' + ', '.join(map(str, schema['enum'])))
    if required:
        facts.append('required')
    elif schema.get('default') is not None:
        facts.append(f'default: {schema["default"]}')
    line = f'{name} ({"; ".join(facts)})' if facts else name
    what = schema.get('description')
    return f'{line}: {what}' if what else line


class Absent(columns.FormattableColumn[None]):
    """What there is not: null to programs, nothing to people."""

    def __init__(self) -> None:
        super().__init__(None)

    def human_readable(self) -> str:
        return ''

    # Rows are sorted by columns that only some of them have.
    def __lt__(self, other: object) -> bool:
        return not isinstance(other, Absent)

    def __gt__(self, other: object) -> bool:
        return False


def values(found: Iterable[Any]) -> tuple[Any, ...]:
    """A row; what is empty was null in the service's answer."""
    return tuple(
        Absent() if value is None or value == '' else value for value in found
    )


Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]
Shown = tuple[tuple[str, ...], tuple[Any, ...]]
#: The name of a column, and what gives its value for a record.
Field = tuple[str, Callable[[Any], Any]]


def shown(fields: Sequence[Field], record: object) -> Shown:
    """One record as cliff's ShowOne wants it."""
    names = tuple(name for name, _ in fields)
    return names, values(value(record) for _, value in fields)


def table(fields: Sequence[Field], found: Iterable[object]) -> Table:
    """Records as cliff's Lister wants them."""
    names = tuple(name for name, _ in fields)
    return names, [shown(fields, record)[1] for record in found]


def _same(*names: str) -> Iterator[Field]:
    """Columns that show the attribute of their name: ``OS``, ``Image ID``."""
    for name in names:
        attribute = name.lower().replace(' ', '_')
        yield name, operator.attrgetter(attribute)


def listed(values: Sequence[str]) -> format_columns.ListColumn:
    """Several values in one column."""
    return format_columns.ListColumn(list(values))


def _size(build: records.Build) -> Any:
    return _bytes(build.size)


def _bytes(number: int | None) -> Any:
    return None if number is None else format_columns.SizeColumn(number)


def _checksum(build: records.Build) -> str:
    found = build.checksum
    value = found.get('os_hash_value')
    return f'{found.get("os_hash_algo")}:{value}' if value else ''


def _images(build: records.Build) -> Nested:
    return Nested([dict(image.raw) for image in build.images])


def _request(build: records.Build) -> Nested:
    """What was asked for. The service masks the values of what is hidden."""
    return Nested(dict(build.request))


def _boot_test(build: records.Build) -> Nested | None:
    """What came of it, or nothing."""
    return Nested(dict(build.boot_test)) if build.boot_test else None


def _possible(lacking: Mapping[str, Sequence[str]]) -> list[str]:
    """What a conductor can, and of what it cannot the reasons."""
    return [
        f'no {name} ({"; ".join(reasons)})' if reasons else name
        for name, reasons in lacking.items()
    ]


STEPS: Sequence[Field] = (
    *_same('Attempt', 'Number', 'Path', 'Validator', 'Result'),
    ('Seconds', lambda step: round(step.seconds, 1)),
    *_same('Message'),
)
STEPS_LONG = (*STEPS, *_same('Description', 'Output'))

BUILD: Sequence[Field] = (
    *_same('id', 'name', 'status', 'status_reason', 'fault'),
    ('progress', lambda build: Phases(build.progress)),
    ('boot_test', _boot_test),
    *_same('image_id'),
    ('images', _images),
    *_same('size'),
    ('checksum', _checksum),
    *_same('os', 'driver', 'reused_from', 'content_key', 'conductor'),
    *_same('project_id', 'user_id', 'created_at', 'started_at', 'finished_at'),
    ('request', _request),
)
_REASON: Field = ('Reason', lambda build: build.status_reason)
LIST = tuple(_same('ID', 'Name', 'Status', 'OS', 'Image ID', 'Created At'))
LONG: Sequence[Field] = (
    *LIST,
    *_same('Finished At'),
    ('Progress', lambda build: DoneOf(build.progress)),
    ('Size', _size),
    *_same('Driver', 'Reused From', 'Fault'),
    _REASON,
)
#: How builds ended, for who waited for several.
ENDED = (
    *_same('ID', 'Name', 'Status', 'Image ID', 'Reused From', 'Fault'),
    _REASON,
)
PROJECT: Field = ('Project', lambda build: build.project_id)

PIPELINES: Sequence[Field] = (
    *_same('ID', 'Name', 'Status', 'Next Run At', 'Last Run At'),
    ('Current Image', lambda found: found.current_image_id),
)
PIPELINES_LONG: Sequence[Field] = (
    *PIPELINES,
    *_same('Cron', 'Max Age', 'Keep', 'Failures'),
    ('Running Build', lambda found: found.running_build_id),
    _REASON,
)
PIPELINE: Sequence[Field] = (
    *_same('id', 'name', 'status', 'status_reason', 'cron', 'max_age'),
    *_same('next_run_at', 'last_run_at', 'run_requested'),
    *_same('running_build_id', 'last_build_id', 'failures', 'max_failures'),
    *_same('keep', 'current_tag', 'current_image_id', 'current_build_id'),
    *_same('project_id', 'user_id', 'created_at', 'updated_at'),
    ('image', lambda found: Nested(dict(found.image))),
)

CHANNELS: Sequence[Field] = (
    *_same('ID', 'Name', 'Channel'),
    ('Current Image', lambda found: found.current_image_id),
    *_same('Updated At'),
)
CHANNELS_LONG: Sequence[Field] = (
    *CHANNELS,
    ('Current Build', lambda found: found.current_build_id),
    ('Previous Build', lambda found: found.previous_build_id),
    ('Tags', lambda found: Nested(list(found.tags))),
    *_same('Settled'),
    _REASON,
)
CHANNEL: Sequence[Field] = (
    *_same('id', 'name', 'channel', 'current_image_id', 'current_build_id'),
    *_same('previous_image_id', 'previous_build_id', 'tag'),
    ('tags', lambda found: Nested(list(found.tags))),
    *_same('settled', 'status_reason'),
    *_same('project_id', 'user_id', 'created_at', 'updated_at'),
)
PROMOTIONS: Sequence[Field] = (
    *_same('At', 'Action', 'Build ID', 'Image ID', 'Replaced Build ID'),
    *_same('User ID'),
)

VALIDATIONS: Sequence[Field] = (
    *_same('ID', 'Name', 'Status', 'Created At', 'Finished At'),
    _REASON,
)
VALIDATION: Sequence[Field] = (
    *_same('id', 'name', 'status', 'status_reason', 'timeout'),
    *_same('project_id', 'user_id', 'created_at', 'started_at', 'finished_at'),
    ('results', lambda found: Nested([dict(each) for each in found.results])),
    ('request', _request),
)

PACKAGES: Sequence[Field] = (
    *_same('Name', 'Version', 'Type', 'Architecture', 'Image ID'),
    *_same('Destination', 'Build ID', 'Build Name'),
)

UPLOADS: Sequence[Field] = (
    *_same('ID', 'Build ID', 'Destination', 'Disk Format', 'Status'),
    *_same('Bytes Done', 'Size'),
    ('Image', lambda found: found.image_id),
)
UPLOAD: Sequence[Field] = (
    *_same('id', 'build_id', 'destination', 'disk_format', 'status'),
    *_same('status_reason', 'image_id', 'size', 'bytes_done'),
    ('checksum', lambda found: Nested(dict(found.checksum))),
    *_same('project_id', 'created_at', 'updated_at'),
)

PLAN: Sequence[Field] = (
    *_same('would_build'),
    ('reused_image_id', lambda plan: plan.reuse.get('image_id')),
    ('reused_from', lambda plan: plan.reuse.get('build_id')),
    *_same('content_key', 'driver'),
    ('steps', lambda plan: Steps(plan.steps)),
    ('conductors', lambda plan: listed(plan.conductors)),
    ('waits_for', lambda plan: listed(plan.waits_for)),
)

RECIPES = tuple(_same('Name', 'Version', 'Description'))
RECIPE: Sequence[Field] = (
    *_same('name', 'version', 'description', 'min_disk'),
    ('arguments', lambda recipe: Arguments(recipe.arguments)),
)
DESTINATIONS: Sequence[Field] = (
    *_same('Name', 'Description', 'Disk Format', 'Container Format'),
    ('Max Image Size', lambda found: _bytes(found.max_image_size or None)),
)
DRIVERS: Sequence[Field] = (
    *_same('Name'),
    ('Options', lambda driver: Arguments(driver.options)),
)
OPERATING_SYSTEMS = tuple(
    _same('Name', 'Description', 'Architecture', 'Driver', 'Min Disk')
)
CONDUCTORS: Sequence[Field] = (
    *_same('Name', 'Status', 'Alive', 'Running', 'Slots'),
    ('Drivers', lambda found: listed(found.drivers)),
    ('Operating Systems', lambda found: listed(found.operating_systems)),
    *_same('Architecture'),
    ('Isolation', lambda found: listed(_possible(found.isolations))),
    ('Boot Test', lambda found: listed(_possible(found.boot_tests))),
    *_same('Heartbeat At'),
)
CONDUCTORS_LONG: Sequence[Field] = (
    *CONDUCTORS,
    ('Destinations', lambda found: listed(found.destinations)),
    *_same('Accelerator'),
    ('Free Disk', lambda found: _bytes(found.free_disk)),
    ('Free Memory', lambda found: _bytes(found.free_memory)),
    ('Cached Bases', lambda found: len(found.cached_bases)),
    ('Cached Layers', lambda found: sum(found.cached_layers.values())),
    *_same('Version'),
)
