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
"""The token of a service without Keystone, found by itself.

``imagebuild-standalone`` writes it into a file of its state directory, which
only the user who started it can read.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pathlib
import urllib.parse

import keystoneauth1.adapter
from keystoneauth1 import noauth

#: Names the file when the state directory is not the usual one.
VARIABLE = 'IMAGEBUILD_TOKEN_FILE'


def file() -> pathlib.Path:
    """Where the token is looked for."""
    if named := os.environ.get(VARIABLE):
        return pathlib.Path(named)
    base = os.environ.get('XDG_STATE_HOME') or pathlib.Path.home().joinpath(
        '.local', 'state'
    )
    return pathlib.Path(base, 'imagebuild', 'token')


def for_request(
    adapter: keystoneauth1.adapter.Adapter, url: str
) -> str | None:
    """Return the token that a request needs.

    :returns: None where another authentication is used, for other hosts
        than this one, and when there is no token to be found.
    """
    plugin = adapter.auth or adapter.session.auth
    if not isinstance(plugin, noauth.NoAuth) or not _is_this_host(url):
        return None
    # RuntimeError: pathlib finds no home directory.
    with contextlib.suppress(OSError, UnicodeDecodeError, RuntimeError):
        token = file().read_text().strip()
        # What is no header value would fail with a traceback in requests.
        if token.isascii() and token.isprintable():
            return token or None
    return None


def _is_this_host(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ''
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
