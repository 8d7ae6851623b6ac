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
"""Uploads of images to their destinations."""

from __future__ import annotations

import flask

from imagebuild import policies
from imagebuild.api import paging
from imagebuild.api import responses
from imagebuild.api import views
from imagebuild.api.api_call import Call

PATH = '/v1/uploads'


def index(call: Call) -> flask.Response:
    """GET /v1/uploads"""
    call.context.can(policies.uploads.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_upload, project_id)
    found = call.database.list_uploads(
        project_id=project_id,
        build_id=call.query.get('build_id'),
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
