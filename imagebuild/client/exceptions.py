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
"""Everything the client raises.

::

    ClientError
    |-- ConnectionFailed     the service was not reached
    |-- EndpointNotFound     the catalogue has no image build service
    |-- WaitTimeout          a wait was over before the build was
    |-- Ambiguous            a name stands for several builds
    `-- HttpError            the service answered with an error
        |-- BadRequest            400: .errors has every problem
        |-- Unauthenticated       401
        |-- Forbidden             403
        |   `-- QuotaExceeded     403, of a quota
        |-- NotFound              404
        |-- Conflict              409
        |-- TooLarge              413
        |-- IdentityRefused       4xx of Keystone, except its 401 and 429
        |-- ServerError           5xx
        `-- ServiceUnavailable    503, 502, 504, 429: try again later
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import requests

from imagebuild import exception
from imagebuild.common import control_characters

#: Characters of an answer that is not the service's own (a proxy's page).
_FOREIGN = 200


class ClientError(Exception):
    """Base of everything the client raises on purpose."""


class ConnectionFailed(ClientError):
    """The service, or Keystone, was not reached or broke off."""


class EndpointNotFound(ClientError):
    """The service catalogue has no endpoint of the service."""


class WaitTimeout(ClientError):
    """A build has not ended in the time it was waited for; it goes on."""


class Ambiguous(ClientError):
    """A name stands for more than one build."""


class HttpError(ClientError):
    """The service answered with an error.

    :ivar code: HTTP status.
    :ivar title: phrase of the HTTP status.
    :ivar message: for users.
    :ivar errors: every problem with its path in the request; empty for most
        errors.
    :ivar request_id: id of the request in the service's log.
    """

    default_code: ClassVar[int] = 0

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        title: str = '',
        errors: Sequence[exception.Problem] = (),
        request_id: str = '',
    ) -> None:
        self.message = message
        self.code = self.default_code if code is None else code
        self.title = title
        self.errors = tuple(errors)
        self.request_id = request_id
        super().__init__(message)

    def __str__(self) -> str:
        # The message may hold the problems already.
        lines = [
            f'  {problem}'
            for problem in self.errors
            if problem.message not in self.message
        ]
        if self.code >= 500 and self.request_id:
            lines.append(f'  (request {self.request_id})')
        # It goes to terminals, and may quote what somebody else wrote.
        return control_characters.escaped(
            '\n'.join([self.message, *lines]), layout=True
        )


class BadRequest(HttpError):
    """The request is wrong; nothing was done."""

    default_code = 400


class Unauthenticated(HttpError):
    default_code = 401


class Forbidden(HttpError):
    default_code = 403


class QuotaExceeded(Forbidden):
    """The project has used up what it may."""


class NotFound(HttpError):
    """It does not exist, or not for this project."""

    default_code = 404


class Conflict(HttpError):
    """It is in a state in which this cannot be done."""

    default_code = 409


class TooLarge(HttpError):
    """The request has more bytes than the service takes."""

    default_code = 413


class IdentityRefused(HttpError):
    """Keystone gives no token for this; the request was not sent.

    The project is disabled, say, or the user has no role in it. Neither of
    the classes of the service's own answers: a 404 of Keystone says nothing
    about a build.
    """

    default_code = 403


class ServerError(HttpError):
    """The service failed."""

    default_code = 500


class ServiceUnavailable(ServerError):
    """The service, or one that it needs, cannot serve this now."""

    default_code = 503


_BY_CODE: Mapping[int, type[HttpError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: ServiceUnavailable,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServiceUnavailable,
}


def from_response(response: requests.Response) -> HttpError:
    """Make the exception for an answer with a status of 400 or more."""
    code = response.status_code
    error = _body(response)
    title = str(error.get('title') or '')
    kind = _BY_CODE.get(code, ServerError if code >= 500 else HttpError)
    message = str(error.get('message') or '') or _foreign(response)
    # The API has one status for both, and Heat treats quotas differently.
    if kind is Forbidden and 'quota' in f'{title} {message}'.lower():
        kind = QuotaExceeded
    return kind(
        message,
        code=code,
        title=title,
        errors=_problems(error.get('errors')),
        request_id=response.headers.get('x-openstack-request-id', ''),
    )


def _body(response: requests.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    error = body.get('error') if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _problems(errors: Any) -> Sequence[exception.Problem]:
    if not isinstance(errors, list):
        return ()
    return [
        exception.Problem(
            str(item.get('path') or ''), str(item.get('message') or '')
        )
        for item in errors
        if isinstance(item, dict)
    ]


def _foreign(response: requests.Response) -> str:
    """Return a message for an answer that is not the service's own."""
    text = ''
    if response.headers.get('Content-Type', '').startswith('text/plain'):
        text = ' '.join(response.text.split())[:_FOREIGN]
    return (
        f'The service answered with {response.status_code} '
        f'({response.reason or "no reason"})' + (f': {text}' if text else '.')
    )
