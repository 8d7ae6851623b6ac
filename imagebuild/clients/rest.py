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
"""Services of a cloud that are asked by plain HTTP, as the service user.

Nova, Cinder and Neutron answer alike: an object, and in an error one key with
a message in it. Nothing that stands in an answer is believed to be there.
"""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import ClassVar
from typing import Self

import keystoneauth1.exceptions
import keystoneauth1.session
import requests
from keystoneauth1 import adapter
from keystoneauth1 import plugin

from imagebuild import exception
from imagebuild.clients import answers
from imagebuild.clients import keystone

#: Objects of one page of a list.
PAGE = 500
#: Markers that may have been deleted while a list is read; then it is read
#: from its beginning.
_GONE = 10
#: Bytes of an answer that are read.
_LARGEST = 16 * 1024 * 1024
_PIECE = 64 * 1024
_LONGEST_REASON = 64 * 1024
#: Raised by what is done with an answer that is none.
_NONSENSE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
#: Answers that are no matter of the request.
_NOT_THE_REQUEST = (401, 408, 425, 429)


class Refused(exception.InvalidInput):
    """A service does not want what was asked, with its own words."""

    msg_fmt = 'The %(service)s service refuses this: %(reason)s'


class Fault(exception.EnvironmentFault):
    """A service, or this service's project in it, cannot do it now."""

    msg_fmt = '%(reason)s'


class Service:
    """A service.

    Every method raises ServiceUnavailable when it, or Keystone, cannot be
    reached or fails, and Fault where there is none.

    :cvar service: its type, as catalogues have it.
    :cvar thing: what it is asked for, which quotas are about.
    :cvar needed: who needs one, with the verb.
    :cvar versions: options of the adapter that say which API is meant.
    :cvar full: answers of a quota that is used up.
    :param session: of the service user.
    :param options: of the adapter: ``region_name``, ``interface``,
        ``endpoint_override``.
    """

    service: ClassVar[str]
    thing: ClassVar[str]
    needed: ClassVar[str]
    versions: ClassVar[Mapping[str, Any]] = {}
    full: ClassVar[tuple[int, ...]] = (403, 413)

    def __init__(
        self, session: keystoneauth1.session.Session, **options: Any
    ) -> None:
        self._session = session
        self._is_named = bool(options.get('endpoint_override'))
        self._adapter = adapter.Adapter(
            session,
            service_type=self.service,
            raise_exc=False,
            **self.versions,
            **options,
        )

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Mapping[str, Any]],
        section: str,
        endpoint: str = 'endpoint_override',
    ) -> Self:
        """Make one from configuration values; nothing is contacted yet.

        :param config: with ``keystone`` (:func:`keystone.session`).
        :param section: with ``region_name`` and ``valid_interfaces``.
        :param endpoint: the option of that section that has its URL, if it
            is not to be that of the catalogue.
        :raises EnvironmentFault: the credentials are not complete.
        """
        values = config.get(section, {})
        options: dict[str, Any] = {}
        if values.get('region_name'):
            options['region_name'] = values['region_name']
        if values.get('valid_interfaces'):
            options['interface'] = list(values['valid_interfaces'])
        if values.get(endpoint):
            options['endpoint_override'] = values[endpoint]
        return cls(keystone.session(config.get('keystone', {})), **options)

    def is_there(self) -> bool:
        """Whether this cloud has such a service."""
        if self._is_named:
            return True
        # Without Keystone there is no catalogue: every service would be at
        # the same URL.
        if isinstance(self._session.auth, plugin.FixedEndpointPlugin):
            return False
        with self._translated():
            try:
                return bool(self._adapter.get_endpoint())
            except keystoneauth1.exceptions.EndpointNotFound:
                return False

    def project_id(self) -> str:
        """The id of the service user's project, '' without Keystone."""
        with self._translated():
            return self._session.get_project_id() or ''

    # -- the way there ------------------------------------------------------

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask for something.

        :raises NotFound: there is none.
        :raises Conflict: it is in a state in which that cannot be done.
        :raises Refused: for every other answer about the request.
        :raises Fault: a quota is used up, or a right is missing.
        """
        with self._translated():
            answer = self._adapter.request(
                path,
                method,
                stream=True,
                **({'json': body} if body is not None else {}),
            )
            with contextlib.closing(answer):
                content = _content(answer)
            if answer.status_code >= 400:
                raise self._of_answer(answer.status_code, _reason(content))
            return as_object(json.loads(content) if content else {})

    def _each(
        self, path: str, key: str, **query: str
    ) -> Iterator[dict[str, Any]]:
        """What a list has, read page by page until one has nothing new.

        Nova may show a server again, after itself, in the moment in which it
        moves to its cell: that is once here.

        :param key: of the list in an answer.
        """
        query = {**query, 'limit': str(PAGE)}
        markers: list[str] = []
        seen: set[str] = set()
        while True:
            answer = self._page(path, query, markers)
            with self._translated():
                objects = [as_object(each) for each in answer[key]]
                page = {str(each['id']): each for each in objects}
                new = [each for each in page if each not in seen]
                is_full = len(page) >= PAGE
                if is_full and not new and [*page][-1:] == markers[-1:]:
                    raise ValueError('the same page again')
                is_last = not (new or is_full) or self._is_last(answer, key)
            seen.update(new)
            markers += page
            yield from (page[each] for each in new)
            if is_last:
                return

    def _page(
        self, path: str, query: Mapping[str, str], markers: list[str]
    ) -> dict[str, Any]:
        """The page of a list after the last marker that still exists.

        :param markers: ids, of which those that do not are removed: the last
            one that is left is what was asked for.
        """
        for _ in range(_GONE):
            after = {'marker': markers[-1]} if markers else {}
            asked = _encoded({**query, **after})
            try:
                return self._call('GET', f'{path}?{asked}')
            except (Refused, exception.NotFound):
                # It was deleted meanwhile; or the request is what is wrong.
                if not after:
                    raise
                markers.pop()
        markers.clear()
        return self._call('GET', f'{path}?{_encoded(query)}')

    def _is_last(self, answer: Mapping[str, Any], key: str) -> bool:
        """Whether nothing comes after a page, as far as it says."""
        return False

    def _of_answer(self, code: int, reason: str) -> exception.ImageBuildError:
        if code in (404, 410):
            return exception.NotFound(what=self.thing, id=reason)
        if code in self.full and self._is_full(reason):
            return Fault(
                reason='The project of this service has no room for a '
                f'{self.thing} more: {reason}'
            )
        if code == 409:
            return exception.Conflict(
                what=self.thing.capitalize(),
                id='',
                status='in another state',
                reason=reason,
            )
        if code == 403:
            return Fault(
                reason='The user of this service may not do this: '
                f'{reason} ({self.service} service)'
            )
        if 400 <= code < 500 and code not in _NOT_THE_REQUEST:
            return Refused(
                service=self.service, reason=f'{reason} (HTTP {code})'
            )
        return exception.ServiceUnavailable(
            service=self.service, reason=f'it answers {code}: {reason}'
        )

    def _is_full(self, reason: str) -> bool:
        """Whether an answer is about a quota."""
        return 'quota' in reason.lower()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except keystoneauth1.exceptions.EndpointNotFound as error:
            raise Fault(
                reason=f'This cloud has no {self.service} service in its '
                f'catalogue, and {self.needed} one.'
            ) from error
        except keystoneauth1.exceptions.HttpError as error:
            raise exception.ServiceUnavailable(
                service='identity', reason=answers.message_of(error)
            ) from error
        except keystoneauth1.exceptions.ClientException as error:
            raise exception.ServiceUnavailable(
                service=self.service, reason=answers.keystone_failure(error)
            ) from error
        except requests.RequestException as error:
            raise exception.ServiceUnavailable(
                service=self.service, reason=answers.connection_failure(error)
            ) from error
        except _NONSENSE as error:
            raise exception.ServiceUnavailable(
                service=self.service, reason='its answer cannot be understood'
            ) from error


def as_object(found: Any) -> dict[str, Any]:
    """A part of an answer that must be an object.

    :raises ValueError: it is none.
    """
    if not isinstance(found, dict):
        raise ValueError('not an object')
    return found


def _encoded(query: Mapping[str, str]) -> str:
    return urllib.parse.urlencode(query)


def _content(answer: requests.Response) -> bytes:
    content = b''
    for piece in answer.iter_content(_PIECE):
        content += piece
        if len(content) > _LARGEST:
            raise ValueError('too long')
    return content


def _reason(content: bytes) -> str:
    """What a service says, which is one key and a message in it.

    What stands before it says something else.
    """
    with contextlib.suppress(*_NONSENSE):
        [inner] = json.loads(content).values()
        return answers.message_of(str(inner['message']))
    text = content[:_LONGEST_REASON].decode('utf-8', 'replace')
    return answers.message_of(text) or 'without a reason'
