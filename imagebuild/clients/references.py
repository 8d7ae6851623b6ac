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
"""What a user's request refers to: servers of Nova, secrets of Barbican.

Plain REST with the token of the user who asks: so nobody can have the service
look at what is not theirs, and the service needs no rights of its own. The
endpoint is the operator's; of an address that a user gives only the id counts.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import keystoneauth1.exceptions
import requests
from keystoneauth1 import session as keystone_session
from keystoneauth1 import token_endpoint

from imagebuild import exception

_ID = re.compile(
    r'(?:^|/)([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})/?$'
)
_TIMEOUT = 20
#: Bytes of a secret: a private key is no larger.
_LARGEST = 64 * 1024


class NotReadable(exception.InvalidInput):
    """What a request refers to is not there, or not for its user."""

    msg_fmt = '%(reason)s'


class References:
    """What one user can read.

    :param token: of the user.
    :param compute: endpoint of Nova, '' for none.
    :param key_manager: endpoint of Barbican, '' for none.
    """

    def __init__(self, token: str, *, compute: str, key_manager: str) -> None:
        self._token = token
        self._compute = compute
        self._key_manager = key_manager

    def server(self, id: str) -> dict[str, Any]:
        """Name and addresses of a server.

        :returns: ``name``, and ``addresses``: floating ones first.
        :raises NotReadable: the user has no such server.
        :raises ServiceUnavailable: Nova does not answer.
        """
        if not self._compute:
            raise NotReadable(
                reason='this service knows no Nova: name the address'
            )
        with _errors('compute', f'there is no server {id}'):
            response = self._session(self._compute).get(
                f'/servers/{id}', headers={'Accept': 'application/json'}
            )
            found = response.json()['server']
            addresses = [
                (each.get('OS-EXT-IPS:type') != 'floating', each['addr'])
                for network in found['addresses'].values()
                for each in network
            ]
            # False is before True, and the others stay in their order.
            addresses.sort(key=lambda each: each[0])
            return {
                'name': str(found['name']),
                'addresses': [str(address) for _, address in addresses],
            }

    def secret(self, reference: str) -> str:
        """The text of a secret.

        :param reference: its href, or its id.
        :raises NotReadable: the user has no such secret, or it is no text.
        :raises ServiceUnavailable: Barbican does not answer.
        """
        if not self._key_manager:
            raise NotReadable(
                reason='this service knows no Barbican: name a key of the '
                'operator'
            )
        match = _ID.search(reference)
        if match is None:
            raise NotReadable(reason='it is not the address of a secret')
        path = f'/v1/secrets/{match[1]}'
        with _errors('key-manager', f'there is no secret {match[1]}'):
            session = self._session(self._key_manager)
            about = session.get(
                path, headers={'Accept': 'application/json'}
            ).json()
            kind = (about.get('content_types') or {}).get('default')
            response = session.get(
                f'{path}/payload',
                headers={'Accept': kind or 'text/plain'},
                stream=True,
            )
            with contextlib.closing(response):
                content = response.raw.read(_LARGEST + 1, decode_content=True)
        if len(content) > _LARGEST:
            raise NotReadable(reason=f'the secret {match[1]} is too large')
        try:
            return bytes(content).decode()
        except UnicodeDecodeError:
            raise NotReadable(
                reason=f'the secret {match[1]} is not text'
            ) from None

    def _session(self, endpoint: str) -> Any:
        session = keystone_session.Session(
            auth=token_endpoint.Token(endpoint.rstrip('/'), self._token),
            timeout=_TIMEOUT,
            # Nobody leads us elsewhere.
            redirect=False,
        )
        return _Relative(session)


class _Relative:
    def __init__(self, session: keystone_session.Session) -> None:
        self._session = session

    def get(self, path: str, **options: Any) -> requests.Response:
        # An empty filter: the endpoint is that of the token.
        return self._session.get(
            path, endpoint_filter={'service_type': 'any'}, **options
        )


@contextlib.contextmanager
def _errors(service: str, missing: str) -> Iterator[None]:
    try:
        yield
    except (
        keystoneauth1.exceptions.NotFound,
        keystoneauth1.exceptions.Forbidden,
    ):
        # Not which of the two: others' things are no business of the user.
        raise NotReadable(reason=f'{missing} that you may read') from None
    except (
        keystoneauth1.exceptions.ClientException,
        requests.RequestException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        text = ' '.join(str(error).split())[:200]
        raise exception.ServiceUnavailable(
            service=service, reason=text or type(error).__name__
        ) from error
