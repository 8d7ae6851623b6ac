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
"""A request for a pipeline: validated, and its image as a build's is.

The image is prepared as that of a build, with the rights of the user who
asks, since nobody is there to ask for its builds later. What it resolves to is
forgotten: each run finds it again.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild import sealing
from imagebuild.api import build_request
from imagebuild.api import schemas
from imagebuild.api import validation
from imagebuild.api.api_call import Call
from imagebuild.common import json_schema
from imagebuild.common import schedule
from imagebuild.common.counts import counted
from imagebuild.exception import Problem

_IMAGE = 'image'
#: What each run resolves, unless the request says it.
_RESOLVED = ('driver', 'recipe_version')


def columns(call: Call, row: db.Pipeline | None = None) -> dict[str, Any]:
    """Validate the body of a call.

    :param row: the pipeline that it changes, None for a new one.
    :returns: columns of the pipeline that it gives.
    :raises Forbidden: a policy does not let the user have such an image.
    :raises InvalidRequest: every problem of the request.
    :raises NoConductor, ServiceUnavailable: as for a build.
    """
    problems = list(call.problems)
    bad = {json_schema_root(problem.path) for problem in problems}
    body = {k: v for k, v in call.body.items() if k not in bad}
    found = _schedule_columns(body, row)
    problems += _schedule_problems(call, found, body, row)
    for name in ('keep', 'max_failures', 'current_tag'):
        if name in body:
            value = body[name]
            found[name] = value if isinstance(value, str) else int(value)
    problems += _keep_problems(call, found)
    name = row.name if row else body.get('name') or 'image'
    prepared = _image(call, name, problems)
    if prepared is not None:
        found |= _image_columns(call, prepared)
    validation.refuse(problems + _tag_problems(found, body, row))
    return found


def json_schema_root(path: str) -> str:
    """The field of a request that a path begins with."""
    return path.partition('.')[0].partition('[')[0]


def _schedule_columns(
    body: Mapping[str, Any], row: db.Pipeline | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # The one that is given takes the place of the other.
    if 'cron' in body:
        found['cron'] = body['cron'] or ''
        if found['cron'] and row is not None and 'max_age' not in body:
            found['max_age'] = None
    if 'max_age' in body:
        age = body['max_age']
        found['max_age'] = None if age is None else int(age)
        if age is not None and row is not None and 'cron' not in body:
            found['cron'] = ''
    return found


def _schedule_problems(
    call: Call,
    found: dict[str, Any],
    body: Mapping[str, Any],
    row: db.Pipeline | None,
) -> Iterator[Problem]:
    """Find what is wrong with a schedule, and normalize its line of cron."""
    if body.get('cron') and body.get('max_age') is not None:
        yield Problem('max_age', 'with "cron" there is no "max_age"')
    least = call.service.conf.pipelines.min_interval
    too_often = (
        'it would run more often than every '
        f'{counted(least, "second")}, which is the least of this service'
    )
    if (age := found.get('max_age')) is not None and age < least:
        yield Problem('max_age', too_often)
    if not found.get('cron'):
        return
    try:
        found['cron'] = schedule.normalized(found['cron'])
    except schedule.InvalidSchedule as error:
        yield Problem('cron', f'it {error}')
        return
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    shortest = schedule.shortest(found['cron'], now)
    if shortest is not None and shortest < least:
        yield Problem('cron', too_often)


def _keep_problems(call: Call, found: Mapping[str, Any]) -> Iterator[Problem]:
    most = call.service.conf.pipelines.max_keep
    if found.get('keep', 0) > most:
        yield Problem(
            'keep', f'this service keeps at most {counted(most, "image")}'
        )


def _image(
    call: Call, name: str, problems: list[Problem]
) -> build_request.BuildRequest | None:
    """Prepare the image as that of a build.

    :param name: of the image, unless it has one.
    :param problems: what is wrong with it is added here.
    :returns: None without an image, or one that is not right.
    """
    given = call.body.get(_IMAGE)
    if not isinstance(given, Mapping):
        return None
    inner = [
        Problem(problem.path.removeprefix(f'{_IMAGE}.'), problem.message)
        for problem in problems
        if problem.path.startswith(f'{_IMAGE}.')
    ]
    unknown = any(problem.path == _IMAGE for problem in problems)
    description = {'name': name, **given}
    try:
        prepared = build_request.prepare(
            dataclasses.replace(call, read=lambda: (description, inner))
        )
    except exception.InvalidRequest as error:
        problems += [
            Problem(_below(problem.path), problem.message)
            for problem in error.errors
        ]
        return None
    masked = [
        Problem(
            json_schema.join(f'{_IMAGE}.arguments', name),
            f'"{value}" stands for a hidden value: give that again',
        )
        for name, value in prepared.secrets.items()
        if value == build_request.MASK
    ]
    problems += masked
    return None if unknown or masked else prepared


def _below(path: str) -> str:
    if not path:
        return _IMAGE
    return f'{_IMAGE}{path}' if path.startswith('[') else f'{_IMAGE}.{path}'


def _image_columns(
    call: Call, prepared: build_request.BuildRequest
) -> dict[str, Any]:
    given = call.body[_IMAGE]
    dropped = {
        *schemas.pipelines.NOT_IN_IMAGE,
        *(name for name in _RESOLVED if name not in given),
    }
    if isinstance(given.get('os'), Mapping) and 'base_image' not in given:
        # Each run takes what is in the channel then.
        dropped.add('base_image')
    keys = call.service.conf.encryption_keys
    secrets = prepared.secrets
    return {
        'user_id': call.context.user_id,
        'os': prepared.entry.name,
        'entry': prepared.entry.to_dict(),
        'driver': given.get('driver') or '',
        'request': {
            name: value
            for name, value in prepared.request.items()
            if name not in dropped
        },
        'secrets': sealing.seal(keys, secrets) if secrets else None,
    }


def _tag_problems(
    found: Mapping[str, Any],
    body: Mapping[str, Any],
    row: db.Pipeline | None,
) -> list[Problem]:
    """Find a tag that old images would keep because the request has it."""
    request = found.get('request') or (row.request if row else {})
    if row is not None:
        tag = found.get('current_tag', row.current_tag)
    else:
        tag = found.get('current_tag') or default_tag(body.get('name', ''))
    if tag not in (request.get('tags') or ()):
        return []
    path = 'current_tag' if 'current_tag' in body else json_schema.join(
        _IMAGE, 'tags'
    )  # fmt: skip
    return [
        Problem(path, f'only the current image has the tag "{tag}", so it is '
                'none of the tags of all images')
    ]  # fmt: skip


def default_tag(name: str) -> str:
    """The tag of the current image of a pipeline of this name."""
    return f'{schemas.pipelines.TAG_PREFIX}{name}'
