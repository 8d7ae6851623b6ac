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
"""Requests to the service, over keystoneauth."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

import keystoneauth1.adapter
import keystoneauth1.exceptions
import requests

from imagebuild.client import exceptions
from imagebuild.client import local_token

LOG = logging.getLogger(__name__)

#: Methods that may be sent again when no answer came: it does no harm.
_SAFE = frozenset({'GET', 'DELETE'})
#: Errors that say nothing of the request: it may succeed later.
_AWAY = (exceptions.ConnectionFailed, exceptions.ServiceUnavailable)


class Transport:
    """Sends requests and translates errors to the client's exceptions.

    Holds nothing that changes: threads may share one.

    :param adapter: knows the endpoint of the service and the credentials.
    :param timeout: seconds until a connection or an answer must come.
    :param connect_retries: how often an idempotent request is sent again.
    :param status_code_retries: the same after an answer of 503.
    """

    def __init__(
        self,
        adapter: keystoneauth1.adapter.Adapter,
        *,
        timeout: float,
        connect_retries: int,
        status_code_retries: int,
        retry_delay: float | None = None,
    ) -> None:
        self._adapter = adapter
        self._timeout = timeout
        self._retries: dict[str, Any] = {
            'connect_retries': connect_retries,
            'status_code_retries': status_code_retries,
            'connect_retry_delay': retry_delay,
            'status_code_retry_delay': retry_delay,
        }

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        idempotent: bool | None = None,
    ) -> requests.Response:
        """Send a request.

        :param path: below ``/v1``, such as ``/builds``.
        :param params: the query; what is None is left out.
        :param json: the body. keystoneauth does not log it, since it may
            hold what must stay hidden.
        :param idempotent: whether it may be sent twice; by default that of
            the method.
        :raises ClientError: no answer, or an error.
        """
        if idempotent is None:
            idempotent = method in _SAFE
        query = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in (params or {}).items()
            if value is not None
        }
        if json is not None:
            LOG.debug('%s %s (the body is not logged)', method, path)
        try:
            url = self._url(path)
            authentication = self._local_token(url)
            response = self._adapter.request(
                url,
                method,
                params=query,
                json=json,
                log=json is None,
                # Errors of ours have more in their body than keystoneauth's
                # exceptions keep.
                raise_exc=False,
                timeout=self._timeout,
                **authentication,
                **(self._retries if idempotent else {}),
            )
        except keystoneauth1.exceptions.ClientException as error:
            raise _translated(error) from error
        if response.status_code >= 400:
            raise exceptions.from_response(response)
        return response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON body of the answer.

        :param options: as of :meth:`request`.
        :raises ClientError: no answer, an error, or no JSON.
        """
        response = self.request(method, path, **options)
        try:
            return response.json()
        except ValueError:
            raise exceptions.ServerError(
                'The answer is not JSON: this is not the image build '
                'service, or something between here and there changed it.',
                code=response.status_code,
            ) from None

    def _local_token(self, url: str) -> dict[str, Any]:
        """Return the options of a request to a service without Keystone."""
        token = local_token.for_request(self._adapter, url)
        if not token:
            return {}
        # keystoneauth's "none" would send a token of its own.
        return {'headers': {'X-Auth-Token': token}, 'authenticated': False}

    def _url(self, path: str) -> str:
        """Return the URL of a path.

        :raises EndpointNotFound: the catalogue has no endpoint.
        """
        # Not joined by keystoneauth: catalogues have the endpoint with and
        # without the version, and discovery would cost a request.
        endpoint = self._adapter.get_endpoint()
        if not endpoint:
            raise exceptions.EndpointNotFound(
                'There is no endpoint of the service '
                f'"{self._adapter.service_type}" in the catalogue (region '
                f'{self._adapter.region_name or "any"}, interface '
                f'{self._adapter.interface or "public"}).'
            )
        return f'{endpoint.rstrip("/").removesuffix("/v1")}/v1{path}'


def _translated(
    error: keystoneauth1.exceptions.ClientException,
) -> exceptions.ClientError:
    if isinstance(error, keystoneauth1.exceptions.ConnectionError):
        return exceptions.ConnectionFailed(_reason(error))
    if isinstance(error, keystoneauth1.exceptions.EndpointNotFound):
        return exceptions.EndpointNotFound(str(error))
    if isinstance(error, keystoneauth1.exceptions.HttpError):
        # Of Keystone: ours are not raised.
        return _of_keystone(error)
    if isinstance(error, keystoneauth1.exceptions.DiscoveryFailure):
        # What Keystone is asked for first, unless auth_url has a version.
        cause = error.__context__
        if isinstance(cause, keystoneauth1.exceptions.ClientException):
            found = _translated(cause)
            if isinstance(found, _AWAY):
                return found
    return exceptions.ClientError(str(error))


def _of_keystone(
    error: keystoneauth1.exceptions.HttpError,
) -> exceptions.HttpError:
    code = error.http_status
    if code == 401:
        return exceptions.Unauthenticated(str(error))
    if code >= 500 or code == 429:
        return exceptions.ServiceUnavailable(
            f'The identity service answered: {error}', code=code
        )
    return exceptions.IdentityRefused(
        f'The identity service refused: {error}', code=code
    )


def _reason(error: BaseException) -> str:
    """Extract the message of the cause from nested exceptions."""
    # "Unable to establish connection to URL: HTTPConnectionPool(...)"
    first = str(error).partition(': HTTP')[0]
    inner: BaseException | None = error
    # Bounded: exceptions may refer to each other in a circle.
    for _ in range(10):
        if inner is None:
            break
        if isinstance(inner, OSError | socket.gaierror) and inner.strerror:
            return f'{first}: {inner.strerror}.'
        reason = getattr(inner, 'reason', None)
        argument = inner.args[0] if inner.args else None
        inner = next(
            (
                found
                for found in (reason, argument, inner.__context__)
                if isinstance(found, BaseException)
            ),
            None,
        )
    return str(error)
