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
"""``client.pipelines``: images that are built again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imagebuild.client import exceptions
from imagebuild.client import managers
from imagebuild.client import records


class PipelineManager(managers.Manager):
    """Makes, changes and runs pipelines."""

    def create(
        self, name: str, image: dict[str, Any], **values: Any
    ) -> records.Pipeline:
        """Make a pipeline.

        :param name: unique in the project.
        :param image: description of what is built.
        :param values: ``cron`` or ``max_age``, ``keep``, ``max_failures``,
            ``current_tag``, ``paused``.
        :raises BadRequest: something is wrong; ``errors`` has every problem
            with its path.
        :raises Conflict: there is one of that name.
        :raises QuotaExceeded, Forbidden, ServiceUnavailable: as their
            classes describe.
        """
        body = self._transport.json(
            'POST', '/pipelines', json={'name': name, 'image': image, **values}
        )
        return managers.record(records.Pipeline, body, 'pipeline')

    def list(
        self,
        *,
        limit: int | None = None,
        marker: str | None = None,
        **filters: Any,
    ) -> Iterator[records.Pipeline]:
        """Go through the pipelines of the project, page by page.

        :param limit: at most so many in all.
        :param marker: begin after the pipeline with this id.
        :param filters: ``name``, ``status``, and for administrators
            ``all_projects`` and ``project_id``.
        """
        params = {'marker': marker, **filters}
        return self._pages(
            records.Pipeline, '/pipelines', 'pipelines', params, limit=limit
        )

    def get(self, pipeline_id: str) -> records.Pipeline:
        """Return one pipeline.

        :raises NotFound: it does not exist, or not for this project.
        """
        return self._get(records.Pipeline, _path(pipeline_id), 'pipeline')

    def find(self, name_or_id: str) -> records.Pipeline:
        """Return the pipeline with this id or name.

        :raises NotFound: there is none.
        :raises Ambiguous: an administrator has named several.
        """
        if managers.is_id(name_or_id):
            try:
                return self.get(name_or_id)
            except exceptions.NotFound:
                pass
        # A list shows no large fields of an image.
        for found in self.list(name=name_or_id, limit=1):
            return self.get(found.id)
        raise exceptions.NotFound(f'There is no pipeline "{name_or_id}".')

    def update(self, pipeline_id: str, **changes: Any) -> records.Pipeline:
        """Change a pipeline; one that has stopped goes on.

        :param changes: ``image`` (the whole of it), ``cron``, ``max_age``
            (None: no such schedule), ``keep``, ``max_failures``,
            ``current_tag``, ``paused``.
        :raises BadRequest, Forbidden, NotFound: as their classes describe.
        """
        body = self._transport.json(
            'PATCH', _path(pipeline_id), json=changes, idempotent=True
        )
        return managers.record(records.Pipeline, body, 'pipeline')

    def run(self, pipeline_id: str) -> records.Pipeline:
        """Have a pipeline run now, also one that is paused or has stopped.

        :raises Conflict: its last run has not ended.
        :raises NotFound: it does not exist, or not for this project.
        """
        body = self._transport.json('POST', _path(pipeline_id, 'run'))
        return managers.record(records.Pipeline, body, 'pipeline')

    def delete(self, pipeline_id: str, *, delete_images: bool = False) -> None:
        """Delete a pipeline, and cancel its build that is under way.

        :param delete_images: its builds, and their images, too.
        :raises NotFound: it does not exist, or not for this project.
        :raises Conflict: an image is protected; nothing was deleted.
        """
        params = {'delete_images': 'true'} if delete_images else {}
        self._transport.request('DELETE', _path(pipeline_id), params=params)


def _path(pipeline_id: str, part: str = '') -> str:
    return f'/pipelines/{managers.quoted(pipeline_id)}' + (part and f'/{part}')
