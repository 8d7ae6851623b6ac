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
"""Clients that cost little: a thread each, no library between.

The servers close every connection (tools/cloud has them do so), so each
request makes its own, of both services alike.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import http.client
import json
import time
import urllib.request
from typing import Any

from tools.cloud import cloud_site
from tools.cloud import cloud_state
from tools.cloud import credentials

USER = 'demo'


@dataclasses.dataclass(frozen=True)
class Request:
    """A request and the status that it must be answered with."""

    method: str
    path: str
    body: Any = None
    status: int = 200


class Client:
    """A plain member of a project, at one of the services.

    :param service: its name in the cloud.
    """

    def __init__(self, site: cloud_site.Site, service: str) -> None:
        self._port = site.state.port(service)
        self._headers = {
            'Content-Type': 'application/json',
            'X-Auth-Token': token(site),
        }

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer, whatever its status is."""
        return json.loads(self._send(Request(method, path, body))[1])

    def many(self, request: Request, number: int, at_once: int) -> list[float]:
        """Send it so often.

        :returns: seconds of each.
        :raises SystemExit: an answer has another status.
        """
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self._timed, [request] * number))

    def _timed(self, request: Request) -> float:
        start = time.monotonic()
        status, answer = self._send(request)
        seconds = time.monotonic() - start
        if status != request.status:
            raise SystemExit(
                f'{request.method} {request.path}: {status} '
                f'{answer.decode(errors="replace")[:500]}'
            )
        return seconds

    def _send(self, request: Request) -> tuple[int, bytes]:
        body = None if request.body is None else json.dumps(request.body)
        connection = http.client.HTTPConnection(
            cloud_state.LOOPBACK, self._port, timeout=60
        )
        try:
            connection.request(
                request.method, request.path, body, self._headers
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def token(site: cloud_site.Site) -> str:
    """A token of USER for its project; valid for hours."""
    who = {
        'name': USER,
        'password': site.password(USER),
        'domain': {'id': 'default'},
    }
    scope = {'name': credentials.PEOPLE[USER], 'domain': {'id': 'default'}}
    body = {
        'auth': {
            'identity': {'methods': ['password'], 'password': {'user': who}},
            'scope': {'project': scope},
        }
    }
    request = urllib.request.Request(  # noqa: S310
        f'{site.auth_url}/auth/tokens',
        data=json.dumps(body).encode(),
        headers={'Content-Type': 'application/json'},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return str(answer.headers['X-Subject-Token'])
