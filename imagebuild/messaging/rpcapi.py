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
"""The conductors as others see them: casts and calls over the bus.

Nothing here is needed for a build to happen: the database is the queue, and
a conductor that missed a message finds the build at its next sweep. So a
cast never fails and never waits for a broker that is away.
"""

from __future__ import annotations

import copy
import functools
import random
import threading
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

import oslo_messaging

from imagebuild import exception
from imagebuild.messaging import bus
from imagebuild.messaging import first_answer

#: In the context of a message to several: who comes first, from 0.
TURN = 'turn'
#: Seconds that a call may take, unless the caller says otherwise.
CALL_TIMEOUT = 20.0

#: Calls that wait for a broker that is away; further ones fail at once.
_MAX_CALLS = 64
#: In the place of a conductor's name, for whichever the bus chooses.
_ANY = ''


class ConductorAPI:
    """Client of all conductors.

    :param transport: of :func:`imagebuild.messaging.bus.get_transport`.
    :param timeout: seconds that a call may take.
    """

    def __init__(
        self, transport: Any, *, timeout: float = CALL_TIMEOUT
    ) -> None:
        self._client = oslo_messaging.get_rpc_client(
            transport, bus.OLDEST, timeout=timeout, retry=1
        )
        self._timeout = timeout
        self._sender = bus.Sender()
        self._calling = threading.Semaphore(_MAX_CALLS)
        self._silence = first_answer.Silence()
        self._context: dict[str, Any] = {}

    def with_context(self, context: Mapping[str, Any]) -> Self:
        """The same client, for one request.

        :param context: of the request, as ``RequestContext.to_dict()``.
        """
        bound = copy.copy(self)
        bound._context = dict(context)
        return bound

    # -- casts --------------------------------------------------------------

    def build(self, build_id: str, *, to: Sequence[str] = ()) -> None:
        """Say that a build was queued.

        The database lets only one have it. So a few are told: a hundred that
        have nothing to do would all look for it.

        :param to: names of conductors that may have a slot for it
            (``common.placement.to_wake``); empty for all, none of which has
            one as far as it is known.
        """
        self._cast('build', to, build_id=build_id)

    def upload(self, upload_id: str) -> None:
        """Say that an upload was queued."""
        self._cast('upload', upload_id=upload_id)

    def pipeline(self, pipeline_id: str) -> None:
        """Say that a run of a pipeline may be due."""
        self._cast('pipeline', pipeline_id=pipeline_id)

    def channel(self, channel_id: str) -> None:
        """Say that a channel has changed, as its row already does."""
        self._cast('channel', channel_id=channel_id)

    def cancel(self, build_id: str) -> None:
        """Say that a build is to be cancelled, as its row already does."""
        self._cast('cancel', build_id=build_id)

    def delete(self, build_id: str) -> None:
        """Say that a build was deleted: its image may have no user left."""
        self._cast('delete', build_id=build_id)

    # -- calls --------------------------------------------------------------
    #
    # ``among`` are the names of conductors that can: one of them is called,
    # and others when it is silent or cannot do it now.

    def check_request(
        self,
        request: Mapping[str, Any],
        entry: Mapping[str, Any],
        *,
        among: Sequence[str],
    ) -> dict[str, Any]:
        """Have a conductor look at what the API cannot.

        :param request: the body, after defaulting.
        :param entry: of the catalogue, as ``OperatingSystem.to_dict()``.
        :returns: ``problems``: a list of ``{path, message}``; ``base``: the
            base image it resolves to, None when there are problems.
        :raises NoConductor: none answered in time.
        :raises ServiceUnavailable: one answered that it cannot do it now.
        """
        answer: dict[str, Any] = self._call_among(
            among,
            'check_request',
            # What is wrong only with the host that was asked.
            is_final=lambda found: not found.get('elsewhere'),
            new={'entry': dict(entry)},
            request=dict(request),
        )
        return answer

    def verify_image(self, image_row_id: str, *, among: Sequence[str]) -> bool:
        """Whether an image is still there; if not, its row is changed.

        :raises NoConductor: none answered in time.
        :raises ServiceUnavailable: the Image service cannot be asked.
        """
        return bool(
            self._call_among(among, 'verify_image', image_row_id=image_row_id)
        )

    def update_image(
        self,
        build_id: str,
        changes: Mapping[str, Any],
        *,
        among: Sequence[str],
    ) -> list[dict[str, str]]:
        """Change the metadata of a build's image.

        :param changes: fields of the request.
        :returns: what the store has against it, each ``{path, message}``;
            empty when it is done.
        :raises NotFound: there is no such build, or its image is gone.
        :raises NoConductor: none answered in time; it may be done all the
            same, and can be asked for again.
        :raises ServiceUnavailable: the store cannot be asked.
        """
        problems: list[dict[str, str]] = self._call_among(
            among, 'update_image', build_id=build_id, changes=dict(changes)
        )
        return problems

    def protected_images(
        self,
        build_id: str,
        upload_id: str | None = None,
        *,
        among: Sequence[str],
    ) -> list[str]:
        """Ask which images would go with a build, but are protected.

        :param upload_id: ask about the image of this upload; conductors of
            the release before answer about the build all the same.
        :returns: their ids in the store.
        :raises NotFound: there is no such build, or upload.
        :raises NoConductor: none answered in time.
        :raises ServiceUnavailable: the store cannot be asked, or the
            conductor that was asked is older than this call.
        """
        ids: list[str] = self._call_among(
            among,
            'protected_images',
            new={'upload_id': upload_id} if upload_id else None,
            build_id=build_id,
        )
        return ids

    def plan_upload(
        self,
        build_id: str,
        destination: str,
        disk_format: str | None,
        *,
        among: Sequence[str],
    ) -> dict[str, Any]:
        """Ask what a further upload of a build would be.

        :returns: ``problems``, each ``{path, message}``; and ``upload``, as
            ``Database.add_upload`` wants it, None when there are problems.
        :raises NotFound: there is no such build.
        :raises NoConductor: none answered in time.
        """
        found: dict[str, Any] = self._call_among(
            among,
            'plan_upload',
            build_id=build_id,
            destination=destination,
            disk_format=disk_format,
        )
        return found

    def read_log(
        self, build_id: str, offset: int = 0, limit: int = 1024 * 1024
    ) -> tuple[str, int]:
        """Read a part of a build's log; see ``Database.read_log``.

        Any conductor can: the log is in the database.

        :raises NotFound: there is no such build.
        :raises NoConductor: none answered in time.
        """
        text, following = self._call_among(
            [_ANY], 'read_log', build_id=build_id, offset=offset, limit=limit
        )
        return text, following

    # -- how ----------------------------------------------------------------

    def _cast(self, method: str, to: Sequence[str] = (), **what: str) -> None:
        """Send a message to conductors, or to all if none is named."""
        if not to:
            self._send(self._client.prepare(fanout=True), method, {}, what)
        for turn, name in enumerate(to):
            # Not an argument, which those of the release before would refuse.
            client = self._client.prepare(server=name)
            self._send(client, method, {TURN: turn}, what)

    def _send(
        self,
        client: Any,
        method: str,
        context: Mapping[str, Any],
        what: Mapping[str, str],
    ) -> None:
        self._sender.send(
            f'The message "{method}"',
            functools.partial(
                client.cast, {**self._context, **context}, method, **what
            ),
        )

    def _call_among(
        self,
        among: Sequence[str],
        method: str,
        *,
        is_final: Callable[[Any], bool] = lambda _result: True,
        new: Mapping[str, Any] | None = None,
        **what: Any,
    ) -> Any:
        """Call one of the conductors.

        :param among: names; of several, any may be the first.
        :param is_final: False for a result after which others are called.
        :param new: arguments that conductors of the release before do not
            know; they are called without.
        """
        if not among:
            raise exception.NoConductor(reason='none is up that can do it')
        names = random.sample(among, len(among))

        def ask(name: str, seconds: float) -> dict[str, Any]:
            answer = self._call(name, seconds, method, new or {}, what)
            if _kind(answer) == 'unavailable':
                # Perhaps for this conductor alone.
                raise _error(answer)
            return answer

        answer = first_answer.first_answer(
            names,
            ask,
            timeout=self._timeout,
            silence=self._silence,
            is_final=lambda found: (
                'error' in found or is_final(found['result'])
            ),
        )
        if answer is None:
            raise exception.NoConductor(reason='none answered in time')
        if 'error' in answer:
            raise _error(answer)
        return answer['result']

    def _call(
        self,
        name: str,
        seconds: float,
        method: str,
        new: Mapping[str, Any],
        what: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Call one conductor and wait for what it says.

        The first call of a process waits for ever for the broker, whatever
        its time limit, since it has to make the queue of the answers. So
        nobody waits for the end of this, and no more of them may begin than
        a broker that is away can hold.
        """
        if not self._calling.acquire(blocking=False):
            raise exception.ServiceUnavailable(
                service='messaging', reason='too many calls wait for it'
            )
        try:
            client = self._client.prepare(
                timeout=seconds, **({'server': name} if name else {})
            )
            if not new:
                return dict(client.call(self._context, method, **what))
            try:
                newer = client.prepare(version=bus.TARGET.version)
                return dict(newer.call(self._context, method, **what, **new))
            except oslo_messaging.MessagingException as error:
                if not _is_older(error):
                    raise
                return dict(client.call(self._context, method, **what))
        except oslo_messaging.MessagingTimeout as error:
            raise exception.NoConductor(
                reason='none answered in time'
            ) from error
        except oslo_messaging.MessagingException as error:
            raise exception.ServiceUnavailable(
                service='messaging', reason=str(error)
            ) from error
        finally:
            self._calling.release()


def _kind(answer: Mapping[str, Any]) -> str:
    """Of the error that was answered, '' for none."""
    return str(answer['error']['kind']) if 'error' in answer else ''


def _error(answer: Mapping[str, Any]) -> exception.ImageBuildError:
    return _ERRORS[_kind(answer)](answer['error']['message'])


def _is_older(error: oslo_messaging.MessagingException) -> bool:
    """Whether the one that was called does not know the version."""
    name = getattr(error, 'exc_type', None) or type(error).__name__
    return bool(name == 'UnsupportedVersion')


#: Errors travel by name and message: what oslo.messaging makes of an
#: exception on its way has the traceback in its message.
_ERRORS: dict[str, type[exception.ImageBuildError]] = {
    'not_found': exception.NotFound,
    'unavailable': exception.ServiceUnavailable,
}
