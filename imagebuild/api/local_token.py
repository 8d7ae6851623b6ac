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
"""The token of a service without Keystone.

It is kept in a file that only its owner can read: with it every call is
allowed, and other users of this machine do not have it.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import pathlib
import secrets
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from oslo_config import cfg

from imagebuild import exception
from imagebuild.api import errors

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

_REFUSAL = (
    'This needs the token of this service (X-Auth-Token); the commands read '
    'it in the file "token" of the state directory, '
    '~/.local/state/imagebuild, or where IMAGEBUILD_TOKEN_FILE names it.'
)


def path(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Where the token is."""
    return pathlib.Path(conf.state_path, 'token')


def read(conf: cfg.ConfigOpts) -> str:
    """Return the token; it is created when there is none.

    :raises UnwritablePath: it can be neither read nor created.
    """
    file = path(conf)
    try:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(file)
        if file.stat().st_mode & 0o077:
            # Restored from a backup, say: others could read it.
            file.chmod(0o600)
        token = file.read_text().strip()
    except OSError as error:
        raise exception.UnwritablePath(
            path=file, reason=error.strerror or error
        ) from None
    if len(token) < 32:
        raise exception.UnwritablePath(
            path=file,
            reason='it holds no token; remove it to have one created',
        )
    return token


def _make(file: pathlib.Path) -> None:
    # Linked only when complete: several processes of one API may start at
    # once, and all of them must read the same token.
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    try:
        with open(descriptor, 'w') as stream:
            stream.write(f'{secrets.token_urlsafe(32)}\n')
        with contextlib.suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)


class TokenNeeded:
    """Refuses requests without the token.

    :param application: what is protected.
    :param token: of :func:`read`.
    """

    def __init__(self, application: WSGIApplication, token: str) -> None:
        self.application = application
        self._token = token.encode()

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        given = environ.get('HTTP_X_AUTH_TOKEN', '').encode('utf-8', 'replace')
        # In constant time: how long it takes must not tell how much was right.
        if hmac.compare_digest(given, self._token):
            return self.application(environ, start_response)
        environ[errors.ANSWERED] = True
        body = json.dumps(errors.document(401, _REFUSAL)).encode()
        start_response(
            '401 Unauthorized',
            [
                ('Content-Type', 'application/json'),
                ('Content-Length', str(len(body))),
            ],
        )
        return [] if environ['REQUEST_METHOD'] == 'HEAD' else [body]
