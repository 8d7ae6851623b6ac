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
"""Answers, as handlers give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import flask


def ok(content: Any, status: int = 200) -> flask.Response:
    """Return a JSON answer."""
    return flask.Response(
        json.dumps(content), status=status, mimetype='application/json'
    )


def json_text(content: bytes) -> flask.Response:
    """Return an answer that is JSON already."""
    return flask.Response(content, mimetype='application/json')


def accepted(content: Any, location: str) -> flask.Response:
    """Return a JSON answer to what goes on after it (202).

    :param location: URL of the resource that shows the progress.
    """
    response = ok(content, 202)
    response.headers['Location'] = location
    return response


def no_content() -> flask.Response:
    """Return an answer without a body (204)."""
    response = flask.Response(status=204)
    # Flask sets text/html, which a body that is absent does not have.
    del response.headers['Content-Type']
    return response


def text(
    content: str | bytes,
    headers: Mapping[str, str] | None = None,
    *,
    status: int = 200,
    content_type: str = 'text/plain; charset=utf-8',
) -> flask.Response:
    """Return a plain text answer."""
    return flask.Response(
        content, status=status, content_type=content_type, headers=headers
    )
