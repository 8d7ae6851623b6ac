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

import json
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cliff import columns
from osc_lib.cli import format_columns

from imagebuild.client import records


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
    """Progress in a few words."""

    def human_readable(self) -> str:
        progress = self._value
        if not progress.total:
            return progress.step
        return f'{progress.done}/{progress.total} {progress.step}'.rstrip()

    def machine_readable(self) -> Any:
        return {
            'done': self._value.done,
            'total': self._value.total,
            'step': self._value.step,
        }


Field = tuple[str, Callable[[records.Build], Any]]


def _checksum(build: records.Build) -> str:
    found = build.checksum
    value = found.get('os_hash_value')
    return f'{found.get("os_hash_algo")}:{value}' if value else ''


def _images(build: records.Build) -> Nested:
    return Nested([dict(image.raw) for image in build.images])


def _request(build: records.Build) -> Nested:
    """What was asked for, without values: some of them may be secret."""
    request = dict(build.request)
    if isinstance(request.get('arguments'), dict):
        request['arguments'] = dict.fromkeys(request['arguments'], '***')
    return Nested(request)


BUILD: Sequence[Field] = (
    ('id', lambda build: build.id),
    ('name', lambda build: build.name),
    ('status', lambda build: build.status),
    ('status_reason', lambda build: build.status_reason),
    ('fault', lambda build: build.fault),
    ('progress', lambda build: DoneOf(build.progress)),
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
    ('Size', lambda build: format_columns.SizeColumn(build.size or 0)),
    ('Driver', lambda build: build.driver),
    ('Reused From', lambda build: build.reused_from),
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
    return tuple(value(build) for _, value in fields)


def listed(values: Sequence[str]) -> format_columns.ListColumn:
    """Several words in one column."""
    return format_columns.ListColumn(list(values))
