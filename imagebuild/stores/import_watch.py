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
"""Waits for what Glance does by itself: imports, and copies to its stores.

Glance answers at once and says later what came of it, in several places: the
status of the image, the lock of its task, lists of stores, the task. A failed
import leaves the image ``queued``, as if nothing had ever been asked for.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild.clients import glance
from imagebuild.clients import image_imports
from imagebuild.clients import images
from imagebuild.common import transfer_progress

#: Seconds; see Limits.
_TOTAL = 2700.0
_STALL = 900.0
#: Seconds between two looks, at first and later.
_TICK = 1.0
_LONGEST_TICK = 5.0
#: Seconds for which an image must be "queued" without a task before that is
#: believed: a database of Glance that lags behind shows it at the start.
_GRACE = 5.0

_RUNNING = ('pending', 'processing')
_LOST = ('deleted', 'killed', 'pending_delete', 'deactivated')
_COPIED = re.compile(r'Copied (\d+) MiB')


class ImportFailed(exception.EnvironmentFault):
    """Glance did not do what it was asked for, or not in time."""

    msg_fmt = 'Image %(id)s: %(what)s failed: %(reason)s.'


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long Glance may take.

    :ivar total: seconds for all imports and copies of one upload.
    :ivar stall: seconds without any sign of progress.
    :ivar grace: seconds until a silent failure is believed.
    """

    total: float = _TOTAL
    stall: float = _STALL
    grace: float = _GRACE

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> Self:
        """Read options of ``[glance]``."""
        return cls(
            total=float(section.get('import_timeout', _TOTAL)),
            stall=float(section.get('import_stall_timeout', _STALL)),
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What can be seen of an import.

    :ivar done: the image is complete.
    :ivar failure: why it never will be; '' while that is not known.
    :ivar certain: Glance itself says that it has failed.
    """

    done: bool = False
    failure: str = ''
    certain: bool = True


def judge(
    image: images.GlanceImage,
    task: image_imports.ImportTask | None,
    *,
    copy_to: Sequence[str] = (),
) -> Verdict:
    """Decide what an image and its task mean.

    :param task: None when Glance does not tell.
    :param copy_to: ids of stores that it is copied to; none for an import.
    """
    if image.status in _LOST:
        return Verdict(failure=f'it is {image.status}')
    if task and task.status == 'failure':
        return Verdict(failure=_reason(image, task))
    if image.import_task:
        return Verdict()
    if copy_to:
        missing = set(copy_to) - set(image.in_stores)
        if not missing:
            return Verdict(done=True)
        return Verdict(failure=_reason(image, task), certain=False)
    if image.status == 'active':
        return Verdict(done=True)
    if image.status == 'queued':
        return Verdict(failure=_reason(image, task), certain=False)
    return Verdict()


def _reason(
    image: images.GlanceImage, task: image_imports.ImportTask | None
) -> str:
    parts = []
    if task and task.status == 'failure' and task.message:
        parts.append(task.message)
    if image.failed_imports:
        parts.append(f'it failed for {", ".join(image.failed_imports)}')
    if not parts:
        parts.append(
            f'it is {image.status}, and Glance does not say why; its log does'
        )
    if task:
        parts.append(f'task {task.id}')
    return ', '.join(parts)


class Watch:
    """Waits for imports of one upload, all of them within its limits.

    :param client: the image service.
    :param sleep: waits for some seconds.
    """

    def __init__(
        self,
        client: glance.Glance,
        limits: Limits,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._glance = client
        self._limits = limits
        self._sleep = sleep
        self._end = 0.0

    def until_done(
        self,
        image_id: str,
        *,
        what: str = 'the import',
        copy_to: Sequence[str] = (),
        on_progress: transfer_progress.OnProgress | None = None,
        size: int = 0,
    ) -> images.GlanceImage:
        """Wait until an image is complete, or in further stores.

        :param what: the method, for messages.
        :param copy_to: ids of those stores; none for an import.
        :param on_progress: called with bytes, as far as Glance tells.
        :param size: bytes in all.
        :raises ImportFailed: with Glance's own reason, or after a limit.
        :raises NotFound: the image has been deleted.
        :raises ServiceUnavailable: Glance is away; call again.
        """
        # Counted from the first one on: one upload may have several.
        self._end = self._end or time.monotonic() + self._limits.total
        progress = transfer_progress.Throttled(on_progress)
        signs = _Signs()
        while True:
            image = self._glance.get(image_id)
            signs.take(image, self._task(image, signs.task_id))
            verdict = judge(image, signs.task, copy_to=copy_to)
            if verdict.done:
                return image
            if verdict.failure and (
                verdict.certain or signs.quiet() > self._limits.grace
            ):
                raise ImportFailed(
                    id=image_id, what=what, reason=verdict.failure
                )
            if over := self._time_is_up(signs):
                raise ImportFailed(
                    id=image_id, what=what, reason=f'{over}; {signs.shown()}'
                )
            if found := _COPIED.match(signs.message):
                progress(min(int(found[1]) * 1024 * 1024, size), size)
            self._sleep(min(_TICK + signs.quiet() / 10, _LONGEST_TICK))

    def _task(
        self, image: images.GlanceImage, task_id: str
    ) -> image_imports.ImportTask | None:
        wanted = image.import_task or task_id
        # Not the latest one, which may be an attempt before this.
        return self._glance.imports.task(image.id, wanted) if wanted else None

    def _time_is_up(self, signs: _Signs) -> str:
        """Which limit has been reached; '' for none."""
        limits = self._limits
        if time.monotonic() > self._end:
            return f'its time is up ({limits.total:.10g} s in all)'
        if signs.quiet() > limits.stall:
            return f'its time is up ({limits.stall:.10g} s without progress)'
        return ''


def _signs(image: images.GlanceImage) -> tuple[Any, ...]:
    """What changes when something happens; the order of tags is none."""
    return image.status, image.size, image.stores, dict(image.properties)


class _Signs:
    """What has been seen of an import, and since when nothing else has."""

    def __init__(self) -> None:
        self.task: image_imports.ImportTask | None = None
        self._image = images.GlanceImage('')
        self._since = time.monotonic()

    @property
    def task_id(self) -> str:
        return self.task.id if self.task else ''

    @property
    def message(self) -> str:
        return self.task.message if self.task else ''

    def take(
        self,
        image: images.GlanceImage,
        task: image_imports.ImportTask | None,
    ) -> None:
        """Note how it is now."""
        if task != self.task or _signs(image) != _signs(self._image):
            self._since = time.monotonic()
        self._image, self.task = image, task

    def quiet(self) -> float:
        """Seconds for which nothing has changed."""
        return time.monotonic() - self._since

    def shown(self) -> str:
        """The last state, for messages."""
        told = f'the image is {self._image.status}'
        if self.task:
            told += f', task {self.task.id} is {self.task.status}'
        return f'{told}: {self.message}' if self.message else told
