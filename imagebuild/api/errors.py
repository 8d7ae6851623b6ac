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
"""Errors, in the one format of every answer of this API.

``{"error": {"code", "title", "message", "errors": [{"path", "message"}]}}``,
whoever found the error: a handler, Flask, or a middleware in front of it.
"""

from __future__ import annotations

import http
import json
import logging
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import flask
from werkzeug import exceptions

from imagebuild import exception
from imagebuild.api import microversion
from imagebuild.common import host_paths
from imagebuild.exception import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

LOG = logging.getLogger(__name__)

#: Seconds after which a request that met a passing fault may come again.
RETRY_AFTER = 5

#: Key of the WSGI environment: Flask made the answer, in our format.
ANSWERED = 'imagebuild.answered'

_INTERNAL_ERROR = (
    'The service has made a mistake. Its log has more under the id of this '
    'request (header x-openstack-request-id).'
)

_NOT_NOW = (
    'The service cannot do this now; try again later. Its log has more '
    'under the id of this request (header x-openstack-request-id).'
)

_NOT_SET_UP = (
    'The service is not set up; its operator has to do that. Its log has '
    'more under the id of this request (header x-openstack-request-id).'
)

_MESSAGES = {
    400: 'The request is not valid HTTP for this service.',
    403: 'Without authentication only this host is served.',
    401: 'This needs a token of the identity service.',
    404: 'There is nothing at this address.',
    405: 'The method is not allowed here.',
    413: 'The body of the request is too large.',
    415: 'The body must be JSON, with the header '
    '"Content-Type: application/json".',
    500: _INTERNAL_ERROR,
    503: 'The identity service cannot be reached; try again later.',
}


def document(
    code: int,
    message: str,
    problems: Iterable[Problem] = (),
    **more: str,
) -> dict[str, Any]:
    """Return the JSON document of an error.

    :param code: HTTP status.
    :param more: further keys.
    """
    return {
        'error': {
            'code': code,
            'title': http.HTTPStatus(code).phrase,
            'message': _encodable(message),
            'errors': [
                {
                    'path': _encodable(problem.path),
                    'message': _encodable(problem.message),
                }
                for problem in problems
            ],
            **more,
        }
    }


def _encodable(text: str) -> str:
    """Replace what UTF-8 cannot encode: a message may quote the request."""
    return text.encode('utf-8', 'backslashreplace').decode()


def _response(
    content: dict[str, Any], headers: Mapping[str, str] | None = None
) -> flask.Response:
    return flask.Response(
        json.dumps(content),
        status=content['error']['code'],
        mimetype='application/json',
        headers=headers,
    )


def from_exception(
    error: exception.ImageBuildError, paths: host_paths.HostPaths | None = None
) -> flask.Response:
    """Answer with an error that was raised on purpose.

    :param paths: takes those of this host out of it.
    """
    paths = paths or host_paths.HostPaths()
    code = error.code
    message = paths.hide(str(error))
    headers = {}
    # Not for missing tables: no retry helps before an operator acts.
    if code == 503 and not isinstance(error, exception.TablesMissing):
        headers['Retry-After'] = str(RETRY_AFTER)
    if code >= 500:
        LOG.warning('Request failed with status %d: %s', code, error)
        if isinstance(error, exception.TablesMissing):
            message = _NOT_SET_UP
        elif not _is_for_users(error):
            message = _NOT_NOW
    more = {}
    if isinstance(error, microversion.Unsupported):
        more = {
            'min_version': str(microversion.MIN),
            'max_version': str(microversion.MAX),
        }
    problems = [
        Problem(paths.hide(problem.path), paths.hide(problem.message))
        for problem in getattr(error, 'errors', ())
    ]
    return _response(document(code, message, problems, **more), headers)


def _is_for_users(error: exception.ImageBuildError) -> bool:
    """Whether the message of an error of the service helps its users.

    Those of the database and the bus name hosts, tables and files.
    """
    return (
        isinstance(error, exception.NoConductor)
        or isinstance(error, exception.ServiceUnavailable)
        and error.kwargs.get('service') != 'messaging'
    )


def from_werkzeug(error: exceptions.HTTPException) -> flask.Response:
    """Answer what Flask refuses by itself: no route, no such method."""
    code = error.code or 500
    message = _MESSAGES.get(code) or http.HTTPStatus(code).description
    headers = {
        name: value
        for name, value in error.get_headers()
        # Content-Type and Content-Length would be those of werkzeug's HTML.
        if name in ('Allow', 'Retry-After', 'WWW-Authenticate')
    }
    return _response(document(code, f'{message}'.strip() or 'No.'), headers)


def unexpected(error: Exception) -> flask.Response:
    """Answer an unexpected exception with 500; the log has its traceback."""
    LOG.error('Unexpected error in a request: %s', error, exc_info=error)
    return _response(document(500, _INTERNAL_ERROR))


def register(
    app: flask.Flask, paths: Callable[[], host_paths.HostPaths]
) -> None:
    """Have Flask answer all errors this way.

    :param paths: gives what takes those of this host out of them.
    """
    app.register_error_handler(
        exception.ImageBuildError, lambda error: from_exception(error, paths())
    )
    app.register_error_handler(exceptions.HTTPException, from_werkzeug)
    app.register_error_handler(Exception, unexpected)


class ErrorFormatter:
    """Middleware: gives the errors of other middleware our format.

    What Flask answered (marked by :data:`ANSWERED`) passes unchanged.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        replaced: list[bytes] = []
        started: list[str] = []

        def start(
            status: str, headers: list[tuple[str, str]], *rest: Any
        ) -> Callable[[bytes], object]:
            started.append(status)
            code = int(status.split()[0])
            if code >= 400 and ANSWERED not in environ:
                replaced.append(_standard_body(code))
                headers = _without_content(headers) + _headers(
                    code, replaced[0]
                )
            return start_response(status, headers, *rest)

        try:
            answer = self.application(environ, start)
        except Exception as error:
            LOG.error(
                'Unexpected error in a request: %s', error, exc_info=error
            )
            body = _standard_body(500)
            # PEP 3333: after start_response was called, it may be called
            # again only with the exception, and the server decides.
            exc_info = [sys.exc_info()] if started else []
            start_response('500 Error', _headers(500, body), *exc_info)
            return [body]
        if not replaced:
            return answer
        # PEP 3333: who does not pass the iterable on must close it.
        close = getattr(answer, 'close', None)
        if close is not None:
            close()
        return [] if environ['REQUEST_METHOD'] == 'HEAD' else replaced


def _standard_body(code: int) -> bytes:
    message = _MESSAGES.get(code) or http.HTTPStatus(code).description
    return json.dumps(document(code, message)).encode()


def _without_content(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in ('content-type', 'content-length')
    ]


def _headers(code: int, body: bytes) -> list[tuple[str, str]]:
    headers = [
        ('Content-Type', 'application/json'),
        ('Content-Length', str(len(body))),
    ]
    if code == 503:
        headers.append(('Retry-After', str(RETRY_AFTER)))
    return headers
