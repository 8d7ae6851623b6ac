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
"""The compute service: servers and their consoles.

Asked as the service user, in the service user's project. Only what drivers
need of it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Self

import keystoneauth1.exceptions
import keystoneauth1.session
import requests
from keystoneauth1 import adapter

from imagebuild import exception
from imagebuild.clients import answers
from imagebuild.clients import keystone

SERVICE = 'compute'

#: Of Pike. 2.37: servers without a network; 2.45: the id of a snapshot.
_MICROVERSION = '2.45'
_OPTIONS = ('region_name', 'endpoint_override')
#: Servers of one page.
_PAGE = 500
#: Bytes of an answer that are read.
_LARGEST = 16 * 1024 * 1024
_PIECE = 64 * 1024
_LONGEST_REASON = 64 * 1024
#: Raised by what is done with an answer that is none.
_NONSENSE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
#: Answers that are no matter of the request.
_NOT_THE_REQUEST = (401, 408, 425, 429)


class ComputeRefused(exception.InvalidInput):
    """Nova does not want what was asked, with its own words."""

    msg_fmt = 'The compute service refuses this: %(reason)s'


class ComputeFault(exception.EnvironmentFault):
    """Nova, or the project of this service in it, cannot do it now."""

    msg_fmt = '%(reason)s'


class Compute:
    """Nova.

    Every method raises ServiceUnavailable when it, or Keystone, cannot be
    reached or fails, and ComputeFault where there is none.

    :param session: of the service user.
    :param options: of the adapter: ``region_name``, ``interface``,
        ``endpoint_override``.
    """

    def __init__(
        self, session: keystoneauth1.session.Session, **options: Any
    ) -> None:
        self._adapter = adapter.Adapter(
            session,
            service_type=SERVICE,
            default_microversion=_MICROVERSION,
            raise_exc=False,
            **options,
        )

    @classmethod
    def from_config(
        cls, config: Mapping[str, Mapping[str, Any]], section: str
    ) -> Self:
        """Make one from configuration values; nothing is contacted yet.

        :param config: with ``keystone`` (:func:`keystone.session`).
        :param section: with ``region_name``, ``valid_interfaces`` and
            ``endpoint_override``.
        :raises EnvironmentFault: the credentials are not complete.
        """
        values = config.get(section, {})
        options = {name: values[name] for name in _OPTIONS if values.get(name)}
        if values.get('valid_interfaces'):
            options['interface'] = list(values['valid_interfaces'])
        return cls(keystone.session(config.get('keystone', {})), **options)

    # -- servers ------------------------------------------------------------

    def create_server(self, server: Mapping[str, Any]) -> str:
        """Ask for a server.

        :param server: as Nova's API has it.
        :returns: its id.
        :raises ComputeRefused: with the reason.
        :raises ComputeFault: a quota is used up.
        """
        answer = self._call('POST', '/servers', {'server': dict(server)})
        with _translated():
            return str(answer['server']['id'])

    def server(self, server_id: str) -> dict[str, Any]:
        """A server.

        :raises NotFound: there is none.
        """
        answer = self._call('GET', f'/servers/{server_id}')
        with _translated():
            return _object(answer['server'])

    def servers(self, name: str) -> Iterator[dict[str, Any]]:
        """The servers of the project that have this in their names.

        :param name: letters, digits and hyphens.
        """
        marker = ''
        while True:
            query = f'?name={name}&limit={_PAGE}' + (
                f'&marker={marker}' if marker else ''
            )
            answer = self._call('GET', f'/servers/detail{query}')
            with _translated():
                page = [_object(each) for each in answer['servers']]
                last = str(page[-1]['id']) if page else ''
                if last and last == marker:
                    raise ValueError('the same page again')
            yield from page
            if not page:
                return
            marker = last

    def delete_server(self, server_id: str) -> None:
        """Have a server deleted.

        :raises NotFound: there is none.
        """
        self._call('DELETE', f'/servers/{server_id}')

    def stop(self, server_id: str) -> None:
        """Have a server stopped.

        :raises Conflict: it is in a state in which it cannot be.
        """
        self._act(server_id, {'os-stop': None})

    def snapshot(
        self, server_id: str, name: str, properties: Mapping[str, str]
    ) -> str:
        """Have an image made of a server.

        :returns: the id of the image, which is not ready yet.
        """
        answer = self._act(
            server_id,
            {'createImage': {'name': name, 'metadata': dict(properties)}},
        )
        with _translated():
            return str(answer['image_id'])

    def console(self, server_id: str, lines: int) -> str:
        """The last lines of a server's console; whatever it has printed.

        :raises NotFound: there is none now.
        """
        answer = self._act(
            server_id, {'os-getConsoleOutput': {'length': lines}}
        )
        return str(answer.get('output') or '')

    def _act(self, server_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call('POST', f'/servers/{server_id}/action', body)

    # -- flavors ------------------------------------------------------------

    def flavor(self, name: str) -> dict[str, Any]:
        """A flavor by its name or id.

        :returns: with ``disk``, GiB.
        :raises ComputeRefused: there is none.
        """
        answer = self._call('GET', '/flavors/detail')
        with _translated():
            for each in answer['flavors']:
                if name in (each['name'], each['id']):
                    return {**each, 'disk': int(each.get('disk') or 0)}
        raise ComputeRefused(reason=f'there is no flavor "{name}".')

    # -- the way there ------------------------------------------------------

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        with _translated():
            answer = self._adapter.request(
                path,
                method,
                stream=True,
                **({'json': body} if body is not None else {}),
            )
            with contextlib.closing(answer):
                content = _content(answer)
            if answer.status_code >= 400:
                raise _of_answer(answer.status_code, _reason(content))
            return _object(json.loads(content) if content else {})


def _content(answer: requests.Response) -> bytes:
    content = b''
    for piece in answer.iter_content(_PIECE):
        content += piece
        if len(content) > _LARGEST:
            raise ValueError('too long')
    return content


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError('not an object')
    return found


def _reason(content: bytes) -> str:
    """What Nova says, which is one key and a message in it.

    What stands before Nova says something else.
    """
    with contextlib.suppress(*_NONSENSE):
        [inner] = json.loads(content).values()
        return answers.message_of(str(inner['message']))
    text = content[:_LONGEST_REASON].decode('utf-8', 'replace')
    return answers.message_of(text) or 'without a reason'


def _of_answer(code: int, reason: str) -> exception.ImageBuildError:
    if code in (404, 410):
        return exception.NotFound(what='server', id=reason)
    if code == 409:
        return exception.Conflict(
            what='Server', id='', status='in another state', reason=reason
        )
    if code in (403, 413) and 'quota' in reason.lower():
        return ComputeFault(
            reason='The project of this service has no room for a server '
            f'more: {reason}'
        )
    if code == 403:
        return ComputeFault(
            reason=f'The user of this service may not do this: {reason}'
        )
    if 400 <= code < 500 and code not in _NOT_THE_REQUEST:
        return ComputeRefused(reason=f'{reason} (HTTP {code})')
    return exception.ServiceUnavailable(
        service=SERVICE, reason=f'it answers {code}: {reason}'
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except keystoneauth1.exceptions.EndpointNotFound as error:
        raise ComputeFault(
            reason='This cloud has no compute service in its catalogue, and '
            'the driver "snapshot" needs one.'
        ) from error
    except keystoneauth1.exceptions.HttpError as error:
        raise exception.ServiceUnavailable(
            service='identity', reason=answers.message_of(error)
        ) from error
    except keystoneauth1.exceptions.ClientException as error:
        raise exception.ServiceUnavailable(
            service=SERVICE, reason=answers.keystone_failure(error)
        ) from error
    except requests.RequestException as error:
        raise exception.ServiceUnavailable(
            service=SERVICE, reason=answers.connection_failure(error)
        ) from error
    except _NONSENSE as error:
        raise exception.ServiceUnavailable(
            service=SERVICE, reason='its answer cannot be understood'
        ) from error
