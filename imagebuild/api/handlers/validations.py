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
"""Validations of machines: create, list, show, cancel, delete."""

from __future__ import annotations

import flask

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import paging
from imagebuild.api import responses
from imagebuild.api import validation_request
from imagebuild.api import views
from imagebuild.api.api_call import Call

PATH = '/v1/validations'


def create(call: Call) -> flask.Response:
    """POST /v1/validations"""
    call.context.can(policies.validations.CREATE)
    record = call.database.create_validation(
        validation_request.columns(call),
        limit=call.service.conf.validation.max_per_project,
    )
    # Has conductors look for a job of this id, whatever its kind.
    call.conductor_api.upload(record.id)
    return responses.accepted(
        views.validation(record, call.root),
        f'{call.root}{PATH}/{record.id}',
    )


def index(call: Call) -> flask.Response:
    """GET /v1/validations"""
    call.context.can(policies.validations.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_validation, project_id)
    found, more = call.database.page_of_validations(
        project_id=project_id,
        status=call.query.get('status'),
        limit=paging.limit(call),
        max_bytes=paging.MAX_BYTES,
        marker=call.query.get('marker'),
    )
    items = [views.validation_summary(each, call.root) for each in found]
    return responses.ok(
        paging.page(call, 'validations', PATH, items, more=more)
    )


def show(call: Call, validation_id: str) -> flask.Response:
    """GET /v1/validations/{validation_id}"""
    record = _visible(call, validation_id)
    return responses.ok(views.validation(record, call.root))


def cancel(call: Call, validation_id: str) -> flask.Response:
    """POST /v1/validations/{validation_id}/cancel"""
    record = _visible(call, validation_id)
    call.context.can(policies.validations.CANCEL, record)
    record = call.database.cancel_validation(validation_id)
    if record.status == 'running':
        call.conductor_api.cancel(record.id)
    return responses.accepted(
        views.validation(record, call.root),
        f'{call.root}{PATH}/{record.id}',
    )


def delete(call: Call, validation_id: str) -> flask.Response:
    """DELETE /v1/validations/{validation_id}"""
    record = _visible(call, validation_id)
    call.context.can(policies.validations.DELETE, record)
    call.database.delete_validation(validation_id)
    return responses.no_content()


def _visible(call: Call, validation_id: str) -> db.Validation:
    """Look a validation up.

    :raises NotFound: it does not exist, or the user may not see it: the
        answer must not tell which.
    """
    record = call.database.get_validation(validation_id)
    if not call.context.may(policies.validations.SHOW, record):
        raise exception.NotFound(what='validation', id=validation_id)
    return record
