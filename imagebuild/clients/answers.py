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
"""What other services answer, or that they do not, as a line for people."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import requests

_LONGEST = 500
_TO_URL = re.compile(r'Unable to establish connection to \S+(?=: )')


def message_of(text: Any) -> str:
    """The message in an answer's body, without HTML.

    :param text: text, HTML, or what an exception carries.
    """
    plain = re.sub(
        r'<(style|script|title|h1).*?</\1>', ' ', str(text), flags=re.S
    )
    plain = ' '.join(re.sub(r'<[^>]*>', ' ', plain).split())
    # glanceclient puts the status before the message.
    plain = re.sub(r'^(HTTP )?\d{3} \w[\w ]*?: ', '', plain)
    return plain[:_LONGEST].rstrip(' .')


def connection_failure(error: Exception) -> str:
    """Why there is no answer, as a clause.

    requests shows the classes and addresses of objects of three libraries.

    :param error: what it or keystoneauth raised.
    """
    return _cause(error) or message_of(error)


def keystone_failure(error: Exception) -> str:
    """Why there is no answer of a service of a cloud, as a clause.

    :param error: what keystoneauth raised: it names the URL, which may be
        that of Keystone, and then repeats requests.
    """
    message, cause = message_of(error), _cause(error)
    where = _TO_URL.match(message)
    return f'{where[0]}: {cause}' if where and cause else message


def _cause(error: Exception) -> str:
    """In words, '' for one that is not known."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return 'its name is not known (DNS)'
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f'its certificate is not valid: {cause.verify_message}'
        if isinstance(cause, ConnectionRefusedError):
            return 'it refuses connections'
    if isinstance(error, requests.ConnectTimeout):
        return 'it does not accept a connection in time'
    if isinstance(error, requests.Timeout):
        return 'it does not answer in time'
    return ''


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it came of."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        # urllib3 has them as arguments and as "reason".
        found = (
            one.__cause__, one.__context__, getattr(one, 'reason', None),
            *one.args,
        )  # fmt: skip
        left += [each for each in found if isinstance(each, BaseException)]
