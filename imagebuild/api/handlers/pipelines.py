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
"""Pipelines: create, list, show, update, run, delete."""

from __future__ import annotations

import flask

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import paging
from imagebuild.api import pipeline_request
from imagebuild.api import protection
from imagebuild.api import responses
from imagebuild.api import schemas
from imagebuild.api import views
from imagebuild.api.api_call import Call
from imagebuild.conf import quota

PATH = '/v1/pipelines'


def create(call: Call) -> flask.Response:
    """POST /v1/pipelines"""
    call.context.can(policies.pipelines.CREATE)
    found = pipeline_request.columns(call)
    name = call.body['name']
    record = call.database.create_pipeline(
        {
            'keep': schemas.pipelines.DEFAULT_KEEP,
            'max_failures': schemas.pipelines.DEFAULT_MAX_FAILURES,
            'current_tag': pipeline_request.default_tag(name),
            **found,
            'name': name,
            'status': 'paused' if call.body.get('paused') else 'active',
            'project_id': call.context.project_id or '',
        },
        quotas=quota.limits(call.service.conf),
    )
    call.conductor_api.pipeline(record.id)
    response = responses.ok(_shown(call, record), 201)
    response.headers['Location'] = f'{call.root}{PATH}/{record.id}'
    return response


def index(call: Call) -> flask.Response:
    """GET /v1/pipelines"""
    call.context.can(policies.pipelines.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_pipeline, project_id)
    found, more = call.database.page_of_pipelines(
        project_id=project_id,
        name=call.query.get('name'),
        status=call.query.get('status'),
        limit=paging.limit(call),
        max_bytes=paging.MAX_BYTES,
        marker=call.query.get('marker'),
    )
    now = call.database.now()
    items = [views.pipeline_summary(each, call.root, now) for each in found]
    return responses.ok(paging.page(call, 'pipelines', PATH, items, more=more))


def show(call: Call, pipeline_id: str) -> flask.Response:
    """GET /v1/pipelines/{pipeline_id}"""
    return responses.ok(_shown(call, _visible(call, pipeline_id)))


def update(call: Call, pipeline_id: str) -> flask.Response:
    """PATCH /v1/pipelines/{pipeline_id}"""
    record = _visible(call, pipeline_id)
    call.context.can(policies.pipelines.UPDATE, record)
    record = call.database.update_pipeline(
        pipeline_id,
        pipeline_request.columns(call, record),
        paused=call.body.get('paused'),
        quotas=quota.limits(call.service.conf),
    )
    call.conductor_api.pipeline(record.id)
    return responses.ok(_shown(call, record))


def run(call: Call, pipeline_id: str) -> flask.Response:
    """POST /v1/pipelines/{pipeline_id}/run"""
    record = _visible(call, pipeline_id)
    call.context.can(policies.pipelines.RUN, record)
    record = call.database.update_pipeline(pipeline_id, {}, run=True)
    call.conductor_api.pipeline(record.id)
    return responses.accepted(
        _shown(call, record), f'{call.root}{PATH}/{record.id}'
    )


def delete(call: Call, pipeline_id: str) -> flask.Response:
    """DELETE /v1/pipelines/{pipeline_id}"""
    record = _visible(call, pipeline_id)
    call.context.can(policies.pipelines.DELETE, record)
    if call.query.get('delete_images'):
        # All of them before the first is deleted.
        for build in call.database.builds_of_pipeline(pipeline_id):
            call.context.can(policies.builds.DELETE, build)
            protection.check(call, build)
    _, running = call.database.delete_pipeline(pipeline_id)
    if running is not None:
        _stop(call, running)
    if call.query.get('delete_images'):
        # Again: its last build may have ended since.
        for build in call.database.builds_of_pipeline(pipeline_id):
            _delete_build(call, build.id)
    return responses.no_content()


def _stop(call: Call, build: db.Build) -> None:
    """Say that a build was cancelled, or is to be."""
    if build.status == 'cancelled':
        call.service.notifier.ended(build)
    elif build.cancel_requested:
        call.conductor_api.cancel(build.id)


def _delete_build(call: Call, build_id: str) -> None:
    try:
        # One that was promoted since goes when no channel has it any more.
        call.database.delete_build(build_id, when_unused=True)
    except exception.NotFound:
        return
    call.conductor_api.delete(build_id)


def _visible(call: Call, pipeline_id: str) -> db.Pipeline:
    """Look a pipeline up.

    :raises NotFound: it does not exist, or the user may not see it: the
        answer must not tell which.
    """
    record = call.database.get_pipeline(pipeline_id)
    if not call.context.may(policies.pipelines.SHOW, record):
        raise exception.NotFound(what='pipeline', id=pipeline_id)
    return record


def _shown(call: Call, record: db.Pipeline) -> dict[str, object]:
    return views.pipeline(record, call.root, call.database.now())
