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
"""Builds: asked for, looked at, ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from imagebuild import db
from imagebuild import exception
from imagebuild import statuses
from imagebuild.api import call as calls
from imagebuild.api import changes
from imagebuild.api import paging
from imagebuild.api import protection
from imagebuild.api import responses
from imagebuild.api import submission
from imagebuild.api import validation
from imagebuild.api import views
from imagebuild.conf import quota
from imagebuild.policies import builds as policies

PATH = '/v1/builds'

_OVER = (*statuses.ENDED, 'deleting')
_FILTERS = ('status', 'name', 'os', 'driver', 'content_key')
#: Bytes of a log in one answer, unless the request says otherwise.
_LOG_LIMIT = 256 * 1024
#: Bytes that the builds of one page may hold in the database.
_PAGE_BYTES = 4 * 1024 * 1024


def create(call: calls.Call) -> flask.Response:
    """POST /v1/builds"""
    call.context.can(policies.CREATE)
    found = submission.prepare(call)
    submission.reusable(call, found)
    build = submission.create(call, found)
    if build.status == 'queued' and build.leader_id is None:
        call.conductor_api.build(build.id, context=call.context.to_dict())
    elif build.status in _OVER:
        # There was an image already: no conductor ever has this one.
        call.service.notifier.ended(build)
        changes.join(call, build)
    return _accepted(call, build)


def plan(call: calls.Call) -> flask.Response:
    """POST /v1/builds/plan"""
    call.context.can(policies.PLAN)
    found = submission.prepare(call)
    image = submission.reusable(call, found)
    leader = None if image else _being_built(call, found)
    return responses.ok(
        {
            'content_key': found.content_key,
            'os': found.request.get('os'),
            'driver': found.request['driver'],
            'architecture': found.architecture,
            'base': _base(found.base),
            'reuse': {
                'image_id': image.image_id if image else None,
                'build_id': image.build_id if image else leader,
            },
            'would_build': image is None and leader is None,
            'steps': [step.to_dict() for step in found.described.steps],
            'conductors': list(found.conductors),
        }
    )


def _being_built(call: calls.Call, found: submission.Submission) -> str | None:
    """The build of the same content that would be waited for."""
    if found.request['reuse'] != 'always':
        return None
    running, _ = call.database.page_of_builds(
        project_id=call.context.project_id,
        filters={
            'content_key': found.content_key,
            'status': ['queued', 'building', 'uploading'],
            'reuse': 'always',
        },
        sort=[('created_at', 'asc')],
        limit=1,
        max_bytes=_PAGE_BYTES,
    )
    return running[0].id if running else None


def _base(base: Mapping[str, Any]) -> dict[str, Any]:
    """What users may know of a base image; where it lies is not theirs."""
    return {
        'kind': base.get('kind', 'none'),
        'id': base.get('id'),
        'checksum': base.get('checksum'),
        'size': base.get('size'),
    }


def index(call: calls.Call) -> flask.Response:
    """GET /v1/builds"""
    call.context.can(policies.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_build, project_id)
    found, more = call.database.page_of_builds(
        project_id=project_id,
        filters={
            name: call.query[name] for name in _FILTERS if name in call.query
        },
        sort=paging.sort(call),
        limit=paging.limit(call),
        max_bytes=_PAGE_BYTES,
        marker=call.query.get('marker'),
    )
    items = [views.build_summary(build, call.root) for build in found]
    return responses.ok(paging.page(call, 'builds', PATH, items, more=more))


def show(call: calls.Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}"""
    build = _visible(call, build_id)
    return responses.ok(views.build(build, call.root))


def log(call: calls.Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}/log"""
    build = _visible(call, build_id)
    call.context.can(policies.LOG, build)
    text, offset = call.database.read_log(
        build.id,
        call.query.get('offset', 0),
        call.query.get('limit', _LOG_LIMIT),
    )
    return responses.text(text, {'X-Next-Offset': str(offset)})


def steps(call: calls.Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}/steps"""
    build = _visible(call, build_id)
    call.context.can(policies.STEPS, build)
    found = call.database.list_steps(build.id)
    return responses.ok({'steps': [views.step(step) for step in found]})


def update(call: calls.Call, build_id: str) -> flask.Response:
    """PATCH /v1/builds/{build_id}"""
    build = _visible(call, build_id)
    call.context.can(policies.UPDATE, build)
    wanted = changes.prepare(call, build)
    if build.status != 'active':
        raise exception.Conflict(
            what='Build',
            id=build.id,
            status=build.status,
            reason='only an image that is there can be changed',
        )
    call.database.check_growth(
        build, {**build.request, **wanted}, quota.limits(call.service.conf)
    )
    problems = call.conductor_api.update_image(
        build.id, wanted, context=call.context.to_dict()
    )
    validation.refuse(
        exception.Problem(problem['path'], problem['message'])
        for problem in problems
    )
    build = call.database.get_build(build.id)
    return responses.ok(views.build(build, call.root))


def cancel(call: calls.Call, build_id: str) -> flask.Response:
    """POST /v1/builds/{build_id}/cancel"""
    build = _visible(call, build_id)
    call.context.can(policies.CANCEL, build)
    if build.status in _OVER:
        raise exception.Conflict(
            what='Build',
            id=build.id,
            status=build.status,
            reason='there is nothing left to cancel',
        )
    build = call.database.request_cancel(build.id)
    if build.status == 'cancelled':
        call.service.notifier.ended(build)
    elif build.status not in _OVER:
        call.conductor_api.cancel(build.id, context=call.context.to_dict())
    return _accepted(call, build)


def delete(call: calls.Call, build_id: str) -> flask.Response:
    """DELETE /v1/builds/{build_id}"""
    build = _visible(call, build_id)
    call.context.can(policies.DELETE, build)
    protection.check(call, build)
    call.database.delete_build(build.id)
    call.conductor_api.delete(build.id, context=call.context.to_dict())
    return responses.no_content()


def _visible(call: calls.Call, build_id: str) -> db.Build:
    """Look a build up; one that may not be seen does not exist."""
    build = call.database.get_build(build_id)
    if not call.context.may(policies.SHOW, build):
        raise exception.NotFound(what='build', id=build_id)
    return build


def _accepted(call: calls.Call, build: db.Build) -> flask.Response:
    return responses.accepted(
        views.build(build, call.root), f'{call.root}{PATH}/{build.id}'
    )
