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
"""Translates what other services answer into exceptions of ours.

Who can fix it decides: what a service refuses for what was asked is the
user's, with the service's own message; everything else, the service user's
own credentials included, is the operator's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import glanceclient.exc
import keystoneauth1.exceptions
import requests

from imagebuild import exception
from imagebuild.clients import answers

#: Answers that do not depend on the request: 401 is about the service
#: user's credentials, 408 and 429 about the moment.
_NOT_THE_REQUEST = (401, 408, 425, 429)
#: In what urllib3 says of a connection that was there.
_BROKEN = ('Connection aborted', 'Connection broken', 'RemoteDisconnected')
_STORAGE_FULL = 'storage media is full'


class Refused(exception.InvalidInput):
    """A service refuses what was asked of it, with its own message."""

    msg_fmt = 'The %(service)s service refuses this: %(reason)s.'
    code = 400

    @property
    def is_about_the_call(self) -> bool:
        """Whether what was to be done is refused, not the image."""
        return self.kwargs.get('status') in (403, 405)


def of_answer(
    service: str, code: int, reason: str, image_id: str = ''
) -> exception.ImageBuildError:
    """What to raise for an answer of 400 and above.

    :param service: ``image`` or ``identity``.
    :param code: HTTP status.
    :param reason: the message of the service, may be HTML.
    :param image_id: the image in question.
    """
    message = answers.message_of(reason) or 'without a reason'
    if code in (404, 410):
        return exception.NotFound(what='image', id=image_id)
    if code == 409:
        return exception.Conflict(
            what='Image',
            id=image_id,
            status='in another state',
            reason=message,
        )
    if code == 413 and _STORAGE_FULL in message.lower():
        # Glance's answer for a full disk of its own and for a file that is
        # too large is the same: only the second is the user's.
        return exception.ServiceUnavailable(service=service, reason=message)
    if 400 <= code < 500 and code not in _NOT_THE_REQUEST:
        return Refused(
            service=service, reason=f'{message} (HTTP {code})', status=code
        )
    return exception.ServiceUnavailable(
        service=service, reason=f'it answers {code}: {message}'
    )


@contextlib.contextmanager
def translated(service: str, image_id: str = '') -> Iterator[None]:
    """Turn every error of the client libraries into one of ours.

    :param service: ``image``, for messages.
    :param image_id: the image in question, for messages.
    :raises NotFound: the service has no such image.
    :raises Conflict: the image is in another state.
    :raises Refused: the service does not want what was asked.
    :raises ServiceUnavailable: of everything else.
    """
    try:
        yield
    except glanceclient.exc.HTTPException as error:
        code = error.code if isinstance(error.code, int) else 500
        raise of_answer(service, code, error.details, image_id) from error
    except (
        glanceclient.exc.BaseException,
        requests.RequestException,
    ) as error:
        raise exception.ServiceUnavailable(
            service=service, reason=answers.message_of(error)
        ) from error
    except keystoneauth1.exceptions.HttpError as error:
        # Keystone's answers: the service user's credentials.
        raise exception.ServiceUnavailable(
            service='identity', reason=answers.message_of(error)
        ) from error
    except keystoneauth1.exceptions.ClientException as error:
        raise exception.ServiceUnavailable(
            service=service, reason=_of_connection(error)
        ) from error
    except KeyError as error:
        # glanceclient stumbles over errors without a content type, which
        # come from something between it and Glance.
        raise exception.ServiceUnavailable(
            service=service, reason='its answer cannot be understood'
        ) from error
    except (TypeError, ValueError) as error:
        # glanceclient checks against the cloud's own schema.
        raise Refused(
            service=service, reason=answers.message_of(error)
        ) from error


def _of_connection(error: Exception) -> str:
    """What keystoneauth says of a connection, in words for users.

    It says that none could be established, with its address and the name of
    a class, also where one was lost while data were sent.
    """
    message = str(error)
    if any(words in message for words in _BROKEN):
        return 'the connection was lost before it answered'
    return answers.keystone_failure(error)
