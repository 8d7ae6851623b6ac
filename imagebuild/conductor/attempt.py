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
"""An attempt at a job: a thread, and how others stop it."""

from __future__ import annotations

import abc
import logging
import threading
from collections.abc import Callable

from imagebuild import exception
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import request_log
from imagebuild.conductor.conductor_context import ConductorContext

LOG = logging.getLogger(__name__)


class Attempt(abc.ABC):
    """What attempts at jobs of every kind have in common.

    :param id: of the job.
    :param subject: the build that the job is for, or what there is of it.
    :param claim: under which it is made.
    :ivar build_id: the id of the build.
    :ivar driver: of a build; '' for jobs of other kinds.
    :ivar retry_after: seconds that its job waits for the next attempt, once
        this one has ended; 0 if it does not.
    :param on_end: called with it when nothing of it is left here.
    """

    kind: str

    def __init__(
        self,
        context: ConductorContext,
        id: str,
        subject: request_log.Subject,
        claim: claims.Held,
        on_end: Callable[[Attempt], None],
    ) -> None:
        self._context = context
        self.id = id
        self.build_id = subject.id
        self.driver = ''
        self.retry_after = 0.0
        self._subject = subject
        self._cancellation = cancellation.CancellationToken(claim)
        self._on_end = on_end
        self._thread = threading.Thread(
            target=self._run, name=f'{self.kind}-{id}', daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, reason: claims.Interrupted) -> None:
        """Have it end for this reason; returns at once."""
        self._cancellation.stop(reason)

    def join(self, seconds: float) -> bool:
        """Wait for its end.

        :returns: whether it has ended.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        request_log.enter(self._subject)
        try:
            self._attempt()
        except claims.ClaimLost as lost:
            LOG.warning('Claim lost, its work is discarded: %s', lost)
            self._after_loss()
        except exception.DatabaseUnavailable as error:
            # Only at shutdown: until then the retry policy waits. The row
            # still names us, and is requeued by our next process or, after
            # dead_after, by another conductor.
            LOG.error(
                '%s left to other conductors: %s', self.kind.title(), error
            )
        except Exception:
            LOG.exception('Unexpected error in %s %s', self.kind, self.id)
        finally:
            self._on_end(self)

    @abc.abstractmethod
    def _attempt(self) -> None:
        """Do it, and end or requeue the job.

        :raises ClaimLost: it is somebody else's now.
        :raises DatabaseUnavailable: the conductor shuts down.
        """

    def _after_loss(self) -> None:
        """Undo what nobody will ever ask for."""
