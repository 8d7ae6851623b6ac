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
"""``client.validations``: running machines that are looked at."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from imagebuild.client import exceptions
from imagebuild.client import managers
from imagebuild.client import records
from imagebuild.common.counts import counted

OnProgress = Callable[[records.Validation], None]

#: Seconds for which the service may be away while somebody waits.
RETRY_FOR = 300.0


class ValidationManager(managers.Manager):
    """Has machines validated."""

    def create(
        self,
        hosts: Sequence[dict[str, Any]],
        credential: dict[str, str],
        **values: Any,
    ) -> records.Validation:
        """Have machines looked at, or reconciled.

        :param hosts: each with ``address`` or ``server``, and ``port``,
            ``user``, ``host_key``.
        :param credential: ``key``, or ``secret``, ``passphrase_secret``,
            ``password_secret``, ``sudo_password_secret``.
        :param values: ``name``, ``reconcile``, ``timeout``, and what is to be
            true of them, as of a build: ``packages``, ``recipe``, ...
        :raises BadRequest: something is wrong; ``errors`` has every problem
            with its path.
        :raises QuotaExceeded, Forbidden, ServiceUnavailable: as their
            classes describe.
        """
        body = self._transport.json(
            'POST',
            '/validations',
            json={'hosts': list(hosts), 'credential': credential, **values},
        )
        return managers.record(records.Validation, body, 'validation')

    def list(
        self,
        *,
        limit: int | None = None,
        marker: str | None = None,
        **filters: Any,
    ) -> Iterator[records.Validation]:
        """Go through the validations of the project, page by page.

        :param limit: at most so many in all.
        :param marker: begin after the validation with this id.
        :param filters: ``status``, and for administrators ``all_projects``
            and ``project_id``.
        """
        params = {'marker': marker, **filters}
        return self._pages(
            records.Validation,
            '/validations',
            'validations',
            params,
            limit=limit,
        )

    def get(self, validation_id: str) -> records.Validation:
        """Return one validation.

        :raises NotFound: it does not exist, or not for this project.
        """
        return self._get(
            records.Validation, _path(validation_id), 'validation'
        )

    def wait(
        self,
        validation_id: str,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
        *,
        interval: float = 2.0,
        retry_for: float = RETRY_FOR,
    ) -> records.Validation:
        """Wait until a validation has ended.

        :param timeout: seconds, None for as long as it takes.
        :param on_progress: called with the validation after each request.
        :param interval: seconds between two requests.
        :param retry_for: seconds for which the service may be away.
        :returns: the validation; what came out is its status.
        :raises WaitTimeout: it has not ended within ``timeout``; it goes on.
        :raises NotFound: it was deleted.
        """
        retrying = managers.retrying(retry_for, interval)
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            found = retrying(self.get, validation_id)
            if on_progress is not None:
                on_progress(found)
            if found.finished:
                return found
            pause = min(interval, end - time.monotonic())
            if pause < 0:
                raise exceptions.WaitTimeout(
                    f'The validation {validation_id} is still '
                    f'{found.status} after {counted(timeout or 0, "second")}; '
                    'it goes on.'
                )
            time.sleep(pause)

    def cancel(self, validation_id: str) -> records.Validation:
        """Cancel a validation that has not ended.

        :raises Conflict: it has ended already.
        :raises NotFound: it does not exist, or not for this project.
        """
        body = self._transport.json('POST', _path(validation_id, 'cancel'))
        return managers.record(records.Validation, body, 'validation')

    def delete(self, validation_id: str) -> None:
        """Delete a validation.

        :raises Conflict: it runs.
        :raises NotFound: it does not exist, or not for this project.
        """
        self._transport.request('DELETE', _path(validation_id))


def _path(validation_id: str, part: str = '') -> str:
    quoted = managers.quoted(validation_id)
    return f'/validations/{quoted}' + (part and f'/{part}')
