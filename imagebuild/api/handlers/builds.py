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
"""Builds: create, plan, list, show, update, cancel, delete."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import flask

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import build_request
from imagebuild.api import paging
from imagebuild.api import placement
from imagebuild.api import protection
from imagebuild.api import responses
from imagebuild.api import schemas
from imagebuild.api import validation
from imagebuild.api import views
from imagebuild.api.api_call import Call
from imagebuild.common import statuses
from imagebuild.conf import quota

LOG = logging.getLogger(__name__)

PATH = '/v1/builds'

_FINISHED = (*statuses.ENDED, 'deleting')
_FILTERS = ('status', 'name', 'os', 'driver', 'content_key', 'pipeline_id')
#: Bytes of a log in one answer, unless the request has a limit.
_LOG_LIMIT = 256 * 1024
#: Steps in one answer: nearly always all.
_MOST_STEPS = 2000
#: Fields of a request that an image which is reused may not have yet.
_IMAGE_FIELDS = (
    *('protected', 'tags', 'members', 'properties', 'min_disk', 'min_ram'),
)


def create(call: Call) -> flask.Response:
    """POST /v1/builds"""
    call.context.can(policies.builds.CREATE)
    # Asked although create_build() looks again: what Glance no longer has is
    # struck off here, as the database cannot ask it.
    prepared = build_request.prepare(call)
    build_request.reusable_image(call, prepared)
    build = build_request.create_build(call, prepared)
    if build.status == 'queued' and build.leader_id is None:
        call.conductor_api.build(build.id, to=_to_wake(call, build.id))
    elif build.status in _FINISHED:
        # An image was reused: no conductor ever claims this build, so
        # nobody else would send the notification.
        call.service.notifier.ended(build)
        _update_reused_image(call, build)
    return _accepted(call, build)


def _to_wake(call: Call, build_id: str) -> list[str]:
    """The conductors that are told of a new build; empty for all."""
    try:
        found: list[str] = call.database.conductors_for(
            build_id, alive_within=call.service.conf.conductor.dead_after
        )
    except exception.DatabaseUnavailable:
        # The build is made, whatever fails from here on.
        return []
    return found


def plan(call: Call) -> flask.Response:
    """POST /v1/builds/plan"""
    call.context.can(policies.builds.PLAN)
    prepared = build_request.prepare(call)
    image = build_request.reusable_image(call, prepared)
    leader = None if image else _running_build(call, prepared)
    return responses.ok(
        {
            'content_key': prepared.content_key,
            'os': prepared.entry.name or None,
            'driver': prepared.request['driver'],
            'architecture': prepared.architecture,
            'base': _base(prepared.base),
            'reuse': {
                'image_id': image.image_id if image else None,
                'build_id': image.build_id if image else leader,
            },
            'would_build': image is None and leader is None,
            'steps': [step.to_dict() for step in prepared.described.steps],
            'conductors': list(prepared.conductors),
            'waits_for': list(prepared.waits_for),
        }
    )


def _running_build(
    call: Call, prepared: build_request.BuildRequest
) -> str | None:
    """Return the id of the build of the same content to wait for."""
    if prepared.request['reuse'] != 'always':
        return None
    running, _ = call.database.page_of_builds(
        project_id=call.context.project_id,
        filters={
            'content_key': prepared.content_key,
            'status': list(statuses.UNFINISHED),
            'reuse': 'always',
        },
        sort=[('created_at', 'asc')],
        limit=1,
        max_bytes=paging.MAX_BYTES,
    )
    return running[0].id if running else None


def _base(base: Mapping[str, Any]) -> dict[str, Any]:
    """What users may know of a base image: not its path or URL."""
    return {
        'kind': base.get('kind', 'none'),
        'id': base.get('id'),
        'checksum': base.get('checksum'),
        'size': base.get('size'),
    }


def index(call: Call) -> flask.Response:
    """GET /v1/builds"""
    call.context.can(policies.builds.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_build, project_id)
    found, more = call.database.page_of_builds(
        project_id=project_id,
        filters={
            name: call.query[name] for name in _FILTERS if name in call.query
        },
        sort=paging.sort(call),
        limit=paging.limit(call),
        max_bytes=paging.MAX_BYTES,
        marker=call.query.get('marker'),
    )
    items = [views.build_summary(build, call.root) for build in found]
    return responses.ok(paging.page(call, 'builds', PATH, items, more=more))


def show(call: Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}"""
    build = visible(call, build_id)
    return responses.ok(views.build(build, call.root))


def log(call: Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}/log"""
    build = visible(call, build_id)
    call.context.can(policies.builds.LOG, build)
    text, offset = call.database.read_log(
        build.id,
        call.query.get('offset', 0),
        call.query.get('limit', _LOG_LIMIT),
    )
    return responses.text(text, {'X-Next-Offset': str(offset)})


def steps(call: Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}/steps"""
    build = visible(call, build_id)
    call.context.can(policies.builds.STEPS, build)
    found, more = call.database.page_of_steps(
        build.id,
        limit=_MOST_STEPS,
        max_bytes=paging.MAX_BYTES,
        after=call.query.get('marker', 0),
    )
    answer: dict[str, Any] = {'steps': [views.step(step) for step in found]}
    if more and found:
        place = f'{PATH}/{build.id}/steps?marker={found[-1].id}'
        answer['next'] = f'{call.root}{place}'
    return responses.ok(answer)


def update(call: Call, build_id: str) -> flask.Response:
    """PATCH /v1/builds/{build_id}"""
    build = visible(call, build_id)
    call.context.can(policies.builds.UPDATE, build)
    changes = _image_change(call, build)
    if build.status != 'active':
        raise exception.Conflict(
            what='Build',
            id=build.id,
            status=build.status,
            reason='only an image that is there can be changed',
        )
    # Before the conductor writes to Glance, which cannot be undone.
    call.database.check_growth(
        build, {**build.request, **changes}, quota.limits(call.service.conf)
    )
    problems = _update_image(call, build, changes)
    validation.refuse(
        exception.Problem(problem['path'], problem['message'])
        for problem in problems
    )
    build = call.database.get_build(build.id)
    return responses.ok(views.build(build, call.root))


def _update_image(
    call: Call, build: db.Build, changes: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Have a conductor change the image in the stores."""
    destinations = {image.destination for image in build.images}
    return call.conductor_api.update_image(
        build.id, changes, among=placement.reachable(call, destinations)
    )


def _image_change(call: Call, build: db.Build) -> dict[str, Any]:
    """Validate a request to change the image of a build.

    :returns: the fields that change.
    :raises Forbidden: a policy forbids one of them.
    :raises InvalidRequest: every problem of the request.
    """
    validation.refuse(call.problems)
    changes = schemas.description.with_integers(call.body)
    build_request.authorize(call.context, changes)
    # Fields may be valid each and not together with those that stay.
    whole = schemas.description.with_defaults({**build.request, **changes})
    validation.refuse(
        schemas.description.image_problems(whole, call.service.property_rules)
    )
    return changes


def _update_reused_image(call: Call, build: db.Build) -> None:
    """Apply the metadata that a build requests to the image it reuses.

    Failures are logged only: the image is there and can be used, and a
    request can change the build's fields once more.
    """
    wanted = [build.request.get(name) for name in _IMAGE_FIELDS]
    # What the operating system and the recipe need.
    wanted.append(build.base.get('min_disk'))
    if build.status != 'active' or not any(wanted):
        return
    try:
        problems = _update_image(call, build, {})
    except (exception.EnvironmentFault, exception.NotFound) as error:
        problems = [{'path': '', 'message': str(error)}]
    for problem in problems:
        LOG.warning(
            'The image of build %s was not updated: %s',
            build.id,
            problem['message'],
        )


def cancel(call: Call, build_id: str) -> flask.Response:
    """POST /v1/builds/{build_id}/cancel"""
    build = visible(call, build_id)
    call.context.can(policies.builds.CANCEL, build)
    if build.status in _FINISHED:
        raise exception.Conflict(
            what='Build',
            id=build.id,
            status=build.status,
            reason='there is nothing left to cancel',
        )
    build = call.database.request_cancel(build.id)
    if build.status == 'cancelled':
        call.service.notifier.ended(build)
    elif build.status not in _FINISHED:
        call.conductor_api.cancel(build.id)
    return _accepted(call, build)


def delete(call: Call, build_id: str) -> flask.Response:
    """DELETE /v1/builds/{build_id}"""
    build = visible(call, build_id)
    call.context.can(policies.builds.DELETE, build)
    when_unused = call.query.get('when_unused', False)
    if not when_unused:
        call.database.check_unused(build.id)
    protection.check_images(call, build)
    # The row decides; if the message is lost, a sweep finds the row.
    call.database.delete_build(build.id, when_unused=when_unused)
    call.conductor_api.delete(build.id)
    return responses.no_content()


def visible(call: Call, build_id: str) -> db.Build:
    """Look a build up.

    :raises NotFound: it does not exist, or the user may not see it: the
        answer must not tell which.
    """
    build = call.database.get_build(build_id)
    if not call.context.may(policies.builds.SHOW, build):
        raise exception.NotFound(what='build', id=build_id)
    return build


def _accepted(call: Call, build: db.Build) -> flask.Response:
    return responses.accepted(
        views.build(build, call.root), f'{call.root}{PATH}/{build.id}'
    )
