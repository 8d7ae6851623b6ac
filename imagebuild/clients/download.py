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
"""Large files from other machines, from any byte on.

With requests: keystoneauth brings it along, so there is one HTTP library,
one way to trust certificates (REQUESTS_CA_BUNDLE) and one way to set
proxies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from collections.abc import Iterator
from urllib import parse

import requests

from imagebuild import exception
from imagebuild.clients import answers
from imagebuild.common import urls

_CHUNK = 1024 * 1024
#: Seconds to connect, and between two pieces.
_TIMEOUTS = (30, 60)
#: Seconds for all of a small file.
_SMALL_TIMEOUT = 30
_SMALL_TIMEOUTS = (8, 10)
_MOST_REDIRECTS = 5


@dataclasses.dataclass(frozen=True)
class Download:
    """A file that is being sent.

    :ivar response: the answer it comes with.
    :ivar offset: where in the file it begins.
    :ivar total: bytes of the whole file, 0 when not known.
    :ivar service: who sends it, for messages.
    """

    response: requests.Response
    offset: int
    total: int
    service: str

    def __iter__(self) -> Iterator[bytes]:
        """The pieces.

        :raises ServiceUnavailable: the connection broke.
        """
        if self.response.status_code in (204, 416):
            return
        # urllib3 1, which 2025.1 has, takes half a file for a whole one.
        self.response.raw.enforce_content_length = True
        try:
            yield from self.response.iter_content(_CHUNK)
        except requests.RequestException as error:
            raise exception.ServiceUnavailable(
                service=self.service,
                reason='the connection broke in the middle of a file',
            ) from error


@contextlib.contextmanager
def open_url(
    url: str,
    offset: int = 0,
    *,
    timeouts: tuple[float, float] = _TIMEOUTS,
) -> Iterator[Download]:
    """Ask a web server for a file.

    :param url: https or http, and so must be where it redirects to (five
        times at most). Which hosts may be asked is for who wrote the URL
        to know: only the operator's catalogue has any.
    :param offset: bytes that are there already.
    :param timeouts: seconds to connect, and between two pieces.
    :raises ServiceUnavailable: the server cannot be reached, or fails.
    :raises EnvironmentFault: it has no such file, or does not give it.
    """
    shown = without_password(url)
    if parse.urlsplit(url).scheme not in urls.SCHEMES:
        raise exception.EnvironmentFault(
            f'{shown} cannot be downloaded: only https and http URLs can be.'
        )
    host = parse.urlsplit(url).hostname or ''
    with requests.Session() as session:
        session.max_redirects = _MOST_REDIRECTS
        response = _asked(session, url, shown, offset, timeouts)
        with response:
            # 416: nothing comes after what is there; see of_response.
            if response.status_code >= 400 and response.status_code != 416:
                raise _refusal(response, shown, host)
            yield of_response(response, offset, service=host)


def small_file(url: str, limit: int) -> bytes:
    """Fetch a small file whole, such as a list of checksums.

    Nothing else vouches for it: of an https URL no redirection to http is
    followed, and what is too large is not read to its end.

    :param url: https or http.
    :param limit: bytes that it may have.
    :raises ServiceUnavailable: the server cannot be reached, or fails.
    :raises EnvironmentFault: it has no such file, or it is too large.
    """
    shown = without_password(url)
    secure = parse.urlsplit(url).scheme == 'https'
    content = b''
    with open_url(url, timeouts=_SMALL_TIMEOUTS) as found:
        answers = [*found.response.history, found.response]
        if secure and any(
            parse.urlsplit(answer.url).scheme != 'https' for answer in answers
        ):
            raise exception.EnvironmentFault(
                f'{shown} redirects from https to http, where anybody could '
                'have changed it; it is not used.'
            )
        end = time.monotonic() + _SMALL_TIMEOUT
        for piece in found:
            content += piece
            if len(content) > limit:
                raise exception.EnvironmentFault(
                    f'{shown} is larger than {limit // 1024} KiB.'
                )
            if time.monotonic() > end:
                raise exception.ServiceUnavailable(
                    service=found.service,
                    reason=f'{shown} did not come in {_SMALL_TIMEOUT} s',
                )
    return content


def of_response(
    response: requests.Response, offset: int, *, service: str
) -> Download:
    """What an answer to :func:`headers` brings.

    :param offset: what was asked for.
    """
    code = response.status_code
    length = int(response.headers.get('Content-Length') or 0)
    if code == 416:
        # Nothing comes after what is there, or it is another file.
        found = re.fullmatch(
            r'bytes \*/(\d+)', response.headers.get('Content-Range', '')
        )
        total = int(found[1]) if found else offset
        return Download(response, offset, total, service)
    if code == 206:
        found = re.fullmatch(
            r'bytes (\d+)-\d*/(\d+|\*)',
            response.headers.get('Content-Range', ''),
        )
        # A server may send more than was asked for: its range counts.
        start = int(found[1]) if found else offset
        total = int(found[2]) if found and found[2] != '*' else start + length
        return Download(response, start, total, service)
    return Download(response, 0, length, service)


def headers(offset: int) -> dict[str, str]:
    """What asks for a file from an offset on, byte by byte as it is.

    :param offset: bytes from its start.
    """
    # A compressed answer would have other offsets.
    wanted = {'Accept-Encoding': 'identity'}
    if offset:
        wanted['Range'] = f'bytes={offset}-'
    return wanted


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    parts = parse.urlsplit(url)
    if '@' not in parts.netloc:
        return url
    netloc = '***@' + parts.netloc.rpartition('@')[2]
    return parse.urlunsplit(parts._replace(netloc=netloc))


def _asked(
    session: requests.Session,
    url: str,
    shown: str,
    offset: int,
    timeouts: tuple[float, float],
) -> requests.Response:
    try:
        return session.get(
            url, headers=headers(offset), stream=True, timeout=timeouts
        )
    except requests.exceptions.InvalidSchema as error:
        raise exception.EnvironmentFault(
            f'{shown} cannot be downloaded: it redirects to something else '
            'than an http or https URL.'
        ) from error
    except (
        requests.TooManyRedirects,
        requests.exceptions.InvalidURL,
    ) as error:
        raise exception.EnvironmentFault(
            f'{shown} cannot be downloaded: {answers.message_of(error)}.'
        ) from error
    except requests.RequestException as error:
        raise exception.ServiceUnavailable(
            service=parse.urlsplit(url).hostname or shown,
            reason=answers.connection_failure(error),
        ) from error


def _refusal(
    response: requests.Response, shown: str, host: str
) -> exception.EnvironmentFault:
    code = response.status_code
    if code >= 500 or code in (408, 425, 429):
        return exception.ServiceUnavailable(
            service=host, reason=f'it answers {code} {response.reason}'
        )
    return exception.EnvironmentFault(
        f'{shown} cannot be downloaded: {code} {response.reason}.'
    )
