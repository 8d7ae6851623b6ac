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
"""An attempt at deleting an image.

There is no process for it: nothing of a tenant is read, there is one call of
the store, and that may be made twice.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import Callable

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import attempt
from imagebuild.conductor import claims
from imagebuild.conductor import job_reaper
from imagebuild.conductor import metrics
from imagebuild.conductor import store_pauses
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.destinations import Destination

LOG = logging.getLogger(__name__)

_FIRST_PAUSE = 2.0
#: Of what is protected or in use: that does not end in a moment.
_FIRST_LONG_PAUSE = 300.0
_LONGEST_PAUSE = 3600.0
_LONGEST_REASON = 4000


class Outcome(enum.Enum):
    """How an attempt has ended."""

    DELETED = 'deleted'
    #: The store says no: it is protected or in use.
    REFUSED = 'refused'
    #: The store does not answer.
    UNAVAILABLE = 'unavailable'


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the log says that it is about: see ``request_log``."""

    id: str
    project_id: str
    user_id: str = ''
    request_id: str = ''


class DeletionAttempt(attempt.Attempt):
    """An attempt at deleting an image.

    :param job: as it was claimed.
    :param image: its row.
    :param pauses: told whether the store answers.
    """

    kind = 'deletion'

    def __init__(
        self,
        context: ConductorContext,
        job: db.Job,
        image: db.Image,
        pauses: store_pauses.StorePauses,
        on_end: Callable[[attempt.Attempt], None],
    ) -> None:
        self._job = job
        self._image = image
        self._pauses = pauses
        self._is_stopping = False
        subject = Subject(id=image.build_id, project_id=image.project_id)
        super().__init__(context, job.id, subject, self, on_end)

    @property
    def destination(self) -> str:
        """Where the image is."""
        return self._image.destination

    def look(self) -> None:
        """Nobody cancels it, and whoever has lost it finds out at the end."""

    def stop(self, reason: claims.Interrupted) -> None:
        """Have it go back to the queue, unless it is done in a moment.

        Only a conductor that stops can have it do so: to cancel the build is
        no reason to keep its image.
        """
        if isinstance(reason, claims.Requeued):
            self._is_stopping = True

    def _attempt(self) -> None:
        if self._is_stopping:
            self._release(counts=False)
            return
        outcome, reason = self._delete()
        metrics.DELETIONS.labels(outcome.value).inc()
        if outcome is Outcome.UNAVAILABLE:
            self._pauses.failed(self.destination, reason)
        else:
            self._pauses.worked(self.destination)
        if outcome is Outcome.DELETED:
            self._finish()
            return
        if outcome is Outcome.REFUSED:
            self._log_refusal(reason)
        self._release(reason, delay=self._pause(outcome))

    def _delete(self) -> tuple[Outcome, str]:
        """Ask the store.

        :returns: how that ended, and why, as users may see it.
        """
        try:
            hide = self._hides()
            store = self._context.open_store(self.destination)
            store.delete(self._image.image_id, hide_undeletable=hide)
        except exception.NotFound:
            return Outcome.DELETED, ''
        except exception.Forbidden as error:
            # Its row is wrong: whatever has this id is somebody else's.
            LOG.error('Image %s is not ours: %s', self._image.image_id, error)
            return Outcome.DELETED, ''
        except exception.InvalidInput as error:
            return Outcome.REFUSED, self._shown(error)
        except exception.ImageBuildError as error:
            return Outcome.UNAVAILABLE, self._shown(error)
        except Exception as error:
            # Of another package's store, perhaps: the job is not lost by it.
            LOG.exception('Unexpected error of the store of %s', self._where)
            name = type(error).__name__
            return Outcome.UNAVAILABLE, f'Unexpected {name} in the conductor.'
        return Outcome.DELETED, ''

    def _hides(self) -> bool:
        config = self._context.job_config(self.destination)
        return Destination.from_document(
            config['destination']
        ).hide_undeletable

    @property
    def _where(self) -> str:
        return self.destination or 'this cloud'

    def _shown(self, error: exception.ImageBuildError) -> str:
        of_host = error.fault == 'service'
        hidden = self._context.paths.hide(str(error), of_host=of_host)
        return hidden[:_LONGEST_REASON]

    def _log_refusal(self, reason: str) -> None:
        # Not at each attempt, for years.
        is_new = reason != self._image.status_reason
        LOG.log(
            logging.WARNING if is_new else logging.DEBUG,
            'Image %s in %s is not deleted yet: %s',
            self._image.image_id,
            self._where,
            reason,
        )

    def _pause(self, outcome: Outcome) -> float:
        first = _FIRST_PAUSE
        if outcome is Outcome.REFUSED:
            first = _FIRST_LONG_PAUSE
        doublings = min(max(self._job.failures, 1) - 1, 20)
        return float(min(first * 2**doublings, _LONGEST_PAUSE))

    # -- the end ------------------------------------------------------------

    def _finish(self) -> None:
        if not self._context.retry.until_available(
            'the end of a deletion',
            lambda: self._context.database.finish_deletion(
                self._job.id, **job_reaper.holder(self._job)
            ),
        ):
            raise claims.ClaimLost('the deletion has another owner')
        LOG.info('Deleted image %s in %s', self._image.image_id, self._where)

    def _release(
        self,
        reason: str | None = None,
        *,
        counts: bool = True,
        delay: float = 0,
    ) -> None:
        if not self._context.retry.until_available(
            'handing back',
            lambda: self._context.database.requeue_deletion(
                self._job.id,
                **job_reaper.holder(self._job),
                reason=reason,
                counts=counts,
                delay=delay,
            ),
        ):
            raise claims.ClaimLost('the deletion has another owner')
        self.retry_after = delay
