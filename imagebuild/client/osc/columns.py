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
from collections.abc import Callable
from collections.abc import Iterable
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
    """The arguments of a recipe: a line for each, not its JSON schema."""

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


def shown(
    names: tuple[str, ...], found: tuple[Any, ...]
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and values as cliff's ShowOne wants them."""
    return names, values(found)


Field = tuple[str, Callable[[records.Build], Any]]
StepField = tuple[str, Callable[[records.Step], Any]]

STEPS: Sequence[StepField] = (
    ('Attempt', lambda step: step.attempt),
    ('Number', lambda step: step.number),
    ('Path', lambda step: step.path),
    ('Validator', lambda step: step.validator),
    ('Result', lambda step: step.result),
    ('Seconds', lambda step: round(step.seconds, 1)),
    ('Message', lambda step: step.message),
)
STEPS_LONG: Sequence[StepField] = (
    *STEPS,
    ('Description', lambda step: step.description),
    ('Output', lambda step: step.output),
)


def _size(build: records.Build) -> Any:
    return (
        None if build.size is None else format_columns.SizeColumn(build.size)
    )


def _checksum(build: records.Build) -> str:
    found = build.checksum
    value = found.get('os_hash_value')
    return f'{found.get("os_hash_algo")}:{value}' if value else ''


def _images(build: records.Build) -> Nested:
    return Nested([dict(image.raw) for image in build.images])


def _request(build: records.Build) -> Nested:
    """What was asked for. The service masks the values of what is hidden."""
    return Nested(dict(build.request))


BUILD: Sequence[Field] = (
    ('id', lambda build: build.id),
    ('name', lambda build: build.name),
    ('status', lambda build: build.status),
    ('status_reason', lambda build: build.status_reason),
    ('fault', lambda build: build.fault),
    ('progress', lambda build: Phases(build.progress)),
    ('image_id', lambda build: build.image_id),
    ('images', _images),
    ('size', lambda build: build.size),
    ('checksum', _checksum),
    ('os', lambda build: build.os),
    ('driver', lambda build: build.driver),
    ('reused_from', lambda build: build.reused_from),
    ('content_key', lambda build: build.content_key),
    ('conductor', lambda build: build.conductor),
    ('project_id', lambda build: build.project_id),
    ('user_id', lambda build: build.user_id),
    ('created_at', lambda build: build.created_at),
    ('started_at', lambda build: build.started_at),
    ('finished_at', lambda build: build.finished_at),
    ('request', _request),
)

LIST: Sequence[Field] = (
    ('ID', lambda build: build.id),
    ('Name', lambda build: build.name),
    ('Status', lambda build: build.status),
    ('OS', lambda build: build.os),
    ('Image ID', lambda build: build.image_id),
    ('Created At', lambda build: build.created_at),
)
LONG: Sequence[Field] = (
    *LIST,
    ('Finished At', lambda build: build.finished_at),
    ('Progress', lambda build: DoneOf(build.progress)),
    ('Size', lambda build: _size(build)),
    ('Driver', lambda build: build.driver),
    ('Reused From', lambda build: build.reused_from),
    ('Fault', lambda build: build.fault),
    ('Reason', lambda build: build.status_reason),
)
#: How builds ended, for who waited for several.
ENDED: Sequence[Field] = (
    ('ID', lambda build: build.id),
    ('Name', lambda build: build.name),
    ('Status', lambda build: build.status),
    ('Image ID', lambda build: build.image_id),
    ('Fault', lambda build: build.fault),
    ('Reason', lambda build: build.status_reason),
)
PROJECT: Field = ('Project', lambda build: build.project_id)

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def show(build: records.Build) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """One build as cliff's ShowOne wants it."""
    return tuple(name for name, _ in BUILD), row(BUILD, build)


def row(fields: Sequence[Field], build: records.Build) -> tuple[Any, ...]:
    """The values of one build."""
    return values(value(build) for _, value in fields)


def listed(values: Sequence[str]) -> format_columns.ListColumn:
    """Several values in one column."""
    return format_columns.ListColumn(list(values))
