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
"""Versions, health, metrics and OpenAPI document of the service."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import flask
import prometheus_client

from imagebuild import exception
from imagebuild.api import health
from imagebuild.api import metrics
from imagebuild.api import microversion
from imagebuild.api import offers
from imagebuild.api import openapi
from imagebuild.api import responses
from imagebuild.api import views
from imagebuild.api.api_call import Call


def versions(call: Call) -> flask.Response:
    """GET /"""
    return responses.ok({'versions': [_version(call)]})


def version(call: Call) -> flask.Response:
    """GET /v1"""
    return responses.ok({'version': _version(call)})


def _version(call: Call) -> dict[str, object]:
    return {
        'id': f'v{microversion.MAX}',
        'status': 'CURRENT',
        'min_version': str(microversion.MIN),
        'max_version': str(microversion.MAX),
        'updated': '2026-11-21T00:00:00Z',
        'links': views.links(call.root, '/v1'),
    }


def document(call: Call) -> flask.Response:
    """GET /openapi.json"""
    drivers: Mapping[str, Mapping[str, Any]] | None = None
    # Without the database it describes all else.
    with contextlib.suppress(exception.DatabaseUnavailable):
        drivers = call.service.driver_schemas.get(
            lambda: offers.driver_schemas(
                call.service.conductors(accepting=False)
            )
        )
    return responses.ok(
        openapi.document(call.service.routes, call.root, drivers or {})
    )


def healthcheck(call: Call) -> flask.Response:
    """GET /healthcheck"""
    found = health.check(call.service)
    status = 200 if all(each.ok for each in found.values()) else 503
    accepted = flask.request.accept_mimetypes
    # Plain text for load balancers and curl, whose Accept is */*.
    if accepted.best_match(['text/plain', 'application/json']) == (
        'application/json'
    ):
        return responses.ok(health.view(found), status)
    return responses.text(health.text(found), status=status)


def scrape(call: Call) -> flask.Response:
    """GET /metrics"""
    found = call.service.scraped.get(
        lambda: prometheus_client.generate_latest(
            metrics.collect(call.service)
        )
    )
    if found is None:
        raise exception.ServiceUnavailable(
            service='image-build',
            reason='what is asked for is still being read for another request',
        )
    return responses.text(
        found,
        content_type=prometheus_client.CONTENT_TYPE_LATEST,
    )
