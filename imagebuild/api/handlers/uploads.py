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
"""Uploads of images: create, list, show, delete."""

from __future__ import annotations

import flask

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import offers
from imagebuild.api import paging
from imagebuild.api import placement
from imagebuild.api import protection
from imagebuild.api import responses
from imagebuild.api import validation
from imagebuild.api import views
from imagebuild.api.api_call import Call
from imagebuild.exception import Problem

PATH = '/v1/uploads'


def create(call: Call) -> flask.Response:
    """POST /v1/uploads"""
    call.context.can(policies.uploads.CREATE)
    validation.refuse(call.problems)
    body = call.body
    build = _build(call, body['build_id'])
    call.context.can(policies.uploads.CREATE, build)
    validation.refuse(
        offers.unknown_destinations(call, {'destination': body['destination']})
    )
    planned = call.conductor_api.plan_upload(
        build.id,
        body['destination'],
        body.get('disk_format'),
        among=placement.reachable(call, [body['destination']]),
    )
    if planned['problems']:
        raise exception.InvalidRequest(
            [Problem(**each) for each in planned['problems']]
        )
    upload = call.database.add_upload(
        build.id,
        planned['upload'],
        seconds=call.service.conf.conductor.dead_after,
    )
    call.conductor_api.upload(upload.id)
    return responses.accepted(
        views.upload(upload), f'{call.root}{PATH}/{upload.id}'
    )


def show(call: Call, upload_id: str) -> flask.Response:
    """GET /v1/uploads/{upload_id}"""
    return responses.ok(views.upload(_visible(call, upload_id)))


def delete(call: Call, upload_id: str) -> flask.Response:
    """DELETE /v1/uploads/{upload_id}"""
    upload = _visible(call, upload_id)
    call.context.can(policies.uploads.DELETE, upload)
    protection.check_upload(call, upload)
    call.database.delete_upload(upload.id)
    call.conductor_api.delete(upload.build_id)
    return responses.no_content()


def _visible(call: Call, upload_id: str) -> db.Upload:
    """Look an upload up.

    :raises NotFound: it does not exist, or the user may not see it.
    """
    upload = call.database.get_upload(upload_id)
    if not call.context.may(policies.uploads.SHOW, upload):
        raise exception.NotFound(what='upload', id=upload_id)
    return upload


def _build(call: Call, build_id: str) -> db.Build:
    build = call.database.get_build(build_id)
    if not call.context.may(policies.builds.SHOW, build):
        raise exception.NotFound(what='build', id=build_id)
    return build


def index(call: Call) -> flask.Response:
    """GET /v1/uploads"""
    call.context.can(policies.uploads.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_upload, project_id)
    found = call.database.list_uploads(
        project_id=project_id,
        build_id=call.query.get('build_id'),
        status=call.query.get('status'),
        # One more than is shown tells whether there is another page.
        limit=paging.limit(call) + 1,
        marker=call.query.get('marker'),
    )
    items = [views.upload(upload) for upload in found]
    size = paging.limit(call)
    return responses.ok(
        paging.page(
            call, 'uploads', PATH, items[:size], more=len(items) > size
        )
    )
