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
"""Glance's interoperable image import: it fetches and copies images itself.

python-glanceclient neither sends all methods nor reads all tasks, so this goes
through the session.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from imagebuild import exception
from imagebuild.clients import answers
from imagebuild.clients import errors


class Adapter(Protocol):
    """What is asked of :class:`keystoneauth1.adapter.Adapter`."""

    def get(self, url: str, **options: Any) -> Any: ...

    def post(self, url: str, **options: Any) -> Any: ...


@dataclasses.dataclass(frozen=True)
class ImportTask:
    """What Glance does with an image, or did.

    :ivar id: its id.
    :ivar method: ``glance-direct``, ``copy-image``, ...; '' when not known.
    :ivar status: ``pending``, ``processing``, ``success``, ``failure``.
    :ivar message: how far it is, or what went wrong; may be ''.
    """

    id: str
    method: str = ''
    status: str = ''
    message: str = ''

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> ImportTask:
        """Read one of Glance's records."""
        given = answer.get('input') or {}
        method = (given.get('import_req') or {}).get('method') or {}
        return cls(
            id=str(answer.get('id') or ''),
            method=str(method.get('name') or ''),
            status=str(answer.get('status') or ''),
            message=answers.message_of(answer.get('message') or ''),
        )


class Imports:
    """The import of a Glance.

    Every method raises ServiceUnavailable when Glance cannot be reached or
    fails.

    :param adapter: of the image service.
    :param service: ``image``, for messages.
    """

    def __init__(self, adapter: Adapter, service: str) -> None:
        self._adapter = adapter
        self._service = service

    def methods(self) -> dict[str, Any]:
        """The answer to which methods there are; {} of an old Glance."""
        return self._get('/v2/info/import')

    def stores(self) -> dict[str, Any]:
        """The answer to which stores Glance has; {} if it has only one."""
        return self._get('/v2/info/stores')

    def start(
        self,
        image_id: str,
        method: Mapping[str, str],
        *,
        stores: Sequence[str] = (),
        all_must_succeed: bool = True,
    ) -> None:
        """Have Glance begin; it goes on by itself.

        :param method: its ``name``, and what that needs.
        :param stores: ids of those that the image goes to; none for Glance's
            default.
        :param all_must_succeed: with False a store that fails does not undo
            the others.
        :raises NotFound: there is no such image.
        :raises Conflict: it is in another state, or an import runs.
        :raises Refused: Glance does not want it.
        """
        body: dict[str, Any] = {'method': dict(method)}
        if stores:
            body['stores'] = list(stores)
            body['all_stores_must_succeed'] = all_must_succeed
        with errors.translated(self._service, image_id):
            response = self._adapter.post(
                f'/v2/images/{image_id}/import', json=body, raise_exc=False
            )
        if response.status_code >= 300:
            raise errors.of_answer(
                self._service, response.status_code, response.text, image_id
            )

    def task(self, image_id: str, task_id: str) -> ImportTask | None:
        """What Glance says of a task.

        :param image_id: of the image that it is about.
        :param task_id: '' for the latest one of that image.
        :returns: None when Glance does not tell: an old one, a policy.
        """
        answer = self._get(f'/v2/images/{image_id}/tasks')
        found = sorted(
            answer.get('tasks') or (),
            key=lambda task: str(task.get('created_at') or ''),
        )
        for task in reversed(found):
            if task_id in ('', task.get('id')):
                return ImportTask.from_answer(task)
        if not task_id:
            return None
        answer = self._get(f'/v2/tasks/{task_id}')
        return ImportTask.from_answer(answer) if answer else None

    def _get(self, path: str) -> dict[str, Any]:
        """What is there; {} where it is not, or not for us."""
        with errors.translated(self._service):
            response = self._adapter.get(path, raise_exc=False)
            if response.status_code in (403, 404, 405):
                return {}
            if response.status_code >= 300:
                raise errors.of_answer(
                    self._service, response.status_code, response.text
                )
            answer = response.json()
        if not isinstance(answer, dict):
            raise exception.ServiceUnavailable(
                service=self._service, reason='its answer cannot be understood'
            )
        return answer
