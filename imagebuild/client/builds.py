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
"""Builds: ``client.builds``."""

from __future__ import annotations

import contextlib
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

OnProgress = Callable[[records.Build], None]

#: Seconds for which the service may be away while something waits for it.
RETRY_FOR = 300.0


class BuildManager(managers.Manager):
    """Requests builds and reports their progress."""

    def create(self, **description: Any) -> records.Build:
        """Ask for an image.

        :param description: the fields of an image description; see the
            user's guide.
        :returns: the build, queued, or active at once if the project has
            an image of the same content.
        :raises BadRequest: the description is wrong; ``errors`` has every
            problem with its path.
        :raises QuotaExceeded, Forbidden, ServiceUnavailable: as their
            classes describe.
        """
        body = self._transport.json('POST', '/builds', json=description)
        return managers.record(records.Build, body, 'build')

    def plan(self, **description: Any) -> records.Plan:
        """Return what :meth:`create` would do, and do nothing."""
        # Not retried on its own: whoever plans wants to know at once that no
        # conductor is up.
        body = self._transport.json('POST', '/builds/plan', json=description)
        return managers.record(records.Plan, body, 'plan')

    def list(
        self,
        *,
        limit: int | None = None,
        marker: str | None = None,
        sort: str | None = None,
        **filters: Any,
    ) -> Iterator[records.Build]:
        """Go through the builds of the project, page by page.

        :param limit: at most so many in all.
        :param marker: begin after the build with this id.
        :param sort: such as ``created_at:desc``.
        :param filters: ``status``, ``name``, ``os``, ``driver``,
            ``content_key`` (each a value, or a sequence of which one will
            do; ``name`` only a value), and for administrators
            ``all_projects`` and ``project_id``.
        """
        params = {'marker': marker, 'sort': sort, **filters}
        return self._pages(
            records.Build, '/builds', 'builds', params, limit=limit
        )

    def update(self, build_id: str, **changes: Any) -> records.Build:
        """Change the metadata of the image of an active build.

        :param changes: ``name``, ``visibility``, ``protected``, ``tags``,
            ``members``, ``properties``, ``min_disk``, ``min_ram``; each
            takes the place of what was there.
        :raises BadRequest, Conflict, Forbidden, NotFound: as their classes
            describe.
        """
        body = self._transport.json(
            'PATCH', _path(build_id), json=changes, idempotent=True
        )
        return managers.record(records.Build, body, 'build')

    def get(self, build_id: str) -> records.Build:
        """Return one build.

        :raises NotFound: it does not exist, or not for this project.
        """
        return self._get(records.Build, _path(build_id), 'build')

    def find(self, name_or_id: str) -> records.Build:
        """Return the build with this id, or the only one with this name.

        :raises NotFound: there is none.
        :raises Ambiguous: several have this name.
        """
        if managers.is_id(name_or_id):
            try:
                return self.get(name_or_id)
            except exceptions.NotFound:
                pass
        found = [*self.list(name=name_or_id, limit=2)]
        if not found:
            raise exceptions.NotFound(f'There is no build "{name_or_id}".')
        if len(found) > 1:
            raise exceptions.Ambiguous(
                f'Several builds are named "{name_or_id}"; give the id of '
                'the one that is meant.'
            )
        return found[0]

    def delete(self, build_id: str, *, when_unused: bool = False) -> None:
        """Delete a build, and its image if no other build uses it.

        :param when_unused: one that a channel has is deleted when no channel
            has it any more.
        :raises NotFound: it does not exist, or not for this project.
        :raises Conflict: its image is protected, or a channel has it.
        """
        params = {'when_unused': 'true'} if when_unused else {}
        self._transport.request('DELETE', _path(build_id), params=params)

    def wait_deleted(
        self,
        build_id: str,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
        *,
        interval: float = 2.0,
        retry_for: float = RETRY_FOR,
    ) -> None:
        """Wait until a build that was deleted is gone.

        :param timeout: seconds, None for as long as it takes.
        :param on_progress: called with the build after each request.
        :param interval: seconds between two requests.
        :param retry_for: seconds for which the service may be away.
        :raises WaitTimeout: it is still being deleted after ``timeout``.
        """
        with contextlib.suppress(exceptions.NotFound):
            for build in self._polls(build_id, timeout, interval, retry_for):
                if on_progress is not None:
                    on_progress(build)

    def cancel(self, build_id: str) -> None:
        """Cancel a build that has not ended.

        The call returns at once; the conductor stops the build shortly after.

        :raises Conflict: it has ended already.
        """
        self._transport.request(
            'POST', _path(build_id, 'cancel'), idempotent=True
        )

    def log(self, build_id: str, offset: int = 0) -> records.LogChunk:
        """Read a part of the log.

        :param offset: in bytes; ``next_offset`` of the part before.
        """
        response = self._transport.request(
            'GET', _path(build_id, 'log'), params={'offset': offset}
        )
        whole = _whole_characters(response.content)
        following = response.headers.get('X-Next-Offset', '')
        return records.LogChunk(
            text=whole.decode('utf-8', 'replace'),
            offset=offset,
            next_offset=(
                int(following)
                if following.isdecimal()
                else offset + len(whole)
            ),
        )

    def follow_log(
        self,
        build_id: str,
        offset: int = 0,
        on_progress: OnProgress | None = None,
        *,
        interval: float = 1.0,
        retry_for: float = RETRY_FOR,
    ) -> Iterator[str]:
        """Read the log until the build has ended, as it is written.

        :param on_progress: called with the build after each request.
        :param interval: seconds between two requests.
        :param retry_for: seconds for which the service may be away.
        """
        retrying = managers.retrying(retry_for, interval)
        # A build is read before its log: once it has ended, the log is
        # complete, and the inner loop reads all of it.
        for build in self._polls(build_id, None, interval, retry_for):
            if on_progress is not None:
                on_progress(build)
            while True:
                chunk = retrying(self.log, build_id, offset)
                if not chunk.text:
                    break
                offset = chunk.next_offset
                yield chunk.text
            if build.finished:
                return

    def steps(self, build_id: str) -> Sequence[records.Step]:
        """Return the steps that have ended, in order, of all attempts."""
        return tuple(
            self._pages(records.Step, _path(build_id, 'steps'), 'steps')
        )

    def sbom(self, build_id: str) -> dict[str, Any]:
        """Return what is in the image of a build: a document of SPDX 2.3.

        :raises NotFound: there is no such build; or its image is not made
            yet, or nobody could say what is in it.
        """
        body: dict[str, Any] = self._transport.json(
            'GET', _path(build_id, 'sbom')
        )
        return body

    def provenance(self, build_id: str) -> dict[str, Any]:
        """Return where the image of a build comes from.

        :returns: a statement of in-toto with SLSA's predicate.
        :raises NotFound: there is no such build, or it has no image.
        """
        body: dict[str, Any] = self._transport.json(
            'GET', _path(build_id, 'provenance')
        )
        return body

    def wait(
        self,
        build_id: str,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
        *,
        interval: float = 2.0,
        retry_for: float = RETRY_FOR,
    ) -> records.Build:
        """Wait until a build has ended.

        :param timeout: seconds, None for as long as it takes.
        :param on_progress: called with the build after each request.
        :param interval: seconds between two requests.
        :param retry_for: seconds for which the service may be away.
        :returns: the build; whether it succeeded is its status.
        :raises WaitTimeout: it has not ended within ``timeout``; it goes on.
        :raises NotFound: it was deleted.
        """
        for build in self._polls(build_id, timeout, interval, retry_for):
            if on_progress is not None:
                on_progress(build)
            if build.finished:
                return build
        raise AssertionError('polling ends with an exception only')

    def _polls(
        self,
        build_id: str,
        timeout: float | None,
        interval: float,
        retry_for: float,
    ) -> Iterator[records.Build]:
        retrying = managers.retrying(retry_for, interval)
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            build = retrying(self.get, build_id)
            yield build
            pause = min(interval, end - time.monotonic())
            if pause < 0:
                raise exceptions.WaitTimeout(
                    f'The build {build_id} is still {build.status} after '
                    f'{counted(timeout or 0, "second")}; it goes on.'
                )
            time.sleep(pause)


def _path(build_id: str, part: str = '') -> str:
    return f'/builds/{managers.quoted(build_id)}' + (part and f'/{part}')


def _whole_characters(content: bytes) -> bytes:
    """Leave out an incomplete UTF-8 sequence at the end of a part."""
    for size in range(1, min(4, len(content) + 1)):
        byte = content[-size]
        if byte & 0xC0 == 0x80:
            # A continuation byte: the character starts further left.
            continue
        length = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
        # A part that holds nothing else is not worth waiting for.
        if length > size and len(content) > size:
            return content[:-size]
        break
    return content
