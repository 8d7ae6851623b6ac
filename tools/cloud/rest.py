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
"""OpenStack's REST APIs, as the administrator."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from tools.cloud import errors

_TIMEOUT = 60

#: Seconds that a token is used; Keystone's live for some hours.
_TOKEN_LIFE = 3600


class Rest:
    """Calls with a token of the administrator, asked for when needed.

    :param auth_url: Keystone's address.
    :param user: with a project and a password of the same name.
    """

    def __init__(self, auth_url: str, user: str, password: str) -> None:
        self._auth_url = auth_url
        self._credentials = (user, password)
        self._token = ''
        self._until = float('-inf')

    def get(self, url: str) -> Any:
        """The JSON of an answer."""
        return self.call('GET', url)

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """The JSON of an answer, None when there is none.

        :raises errors.CloudError: it was refused.
        """
        if time.monotonic() > self._until:
            self._token = ''
            self._token = self._authenticate()
            self._until = time.monotonic() + _TOKEN_LIFE
        text = self._open(method, url, body).read()
        return json.loads(text) if text else None

    def _authenticate(self) -> str:
        user, password = self._credentials
        domain = {'id': 'default'}
        who = {'name': user, 'password': password, 'domain': domain}
        body = {
            'auth': {
                'identity': {
                    'methods': ['password'],
                    'password': {'user': who},
                },
                'scope': {'project': {'name': user, 'domain': domain}},
            }
        }
        answer = self._open('POST', f'{self._auth_url}/auth/tokens', body)
        return str(answer.headers['X-Subject-Token'])

    def _open(self, method: str, url: str, body: Any) -> Any:
        headers = {'Content-Type': 'application/json'}
        if self._token:
            headers['X-Auth-Token'] = self._token
        request = urllib.request.Request(  # noqa: S310
            url,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers=headers,
        )
        try:
            return urllib.request.urlopen(  # noqa: S310
                request, timeout=_TIMEOUT
            )
        except urllib.error.HTTPError as error:
            message = error.read().decode(errors='replace')
            raise errors.CloudError(
                f'{method} {url} was refused ({error.code}): {message}'
            ) from error
