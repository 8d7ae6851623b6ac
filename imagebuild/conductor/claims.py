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
"""How an attempt of a build is interrupted, and the claim it is made under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Literal
from typing import Protocol
from typing import TypedDict

from imagebuild import db
from imagebuild import exception
from imagebuild.common import host_paths
from imagebuild.common import statuses
from imagebuild.conductor import retry_policy

_LONGEST_REASON = 4000


class Interrupted(Exception):  # noqa: N818
    """An attempt ends before its image is done."""


class ClaimLost(Interrupted):
    """The build is another conductor's now, or was deleted."""


class Cancelled(Interrupted):
    """Somebody asked for it."""


class Requeued(Interrupted):
    """This conductor shuts down; another one starts the build again."""


class AttemptFailed(Interrupted):
    """It cannot go on.

    :param retryable: whether another attempt may help.
    :param lacks_room: whether it only found no room on the disk of this
        host: then it is not held against the build.
    """

    def __init__(
        self,
        reason: str,
        *,
        fault: Literal['user', 'service'] = 'service',
        retryable: bool = True,
        lacks_room: bool = False,
    ) -> None:
        super().__init__(reason)
        self.fault = fault
        self.retryable = retryable and fault == 'service'
        self.lacks_room = lacks_room and fault == 'service'

    def with_reason(self, reason: str) -> AttemptFailed:
        """The same with another reason."""
        return AttemptFailed(
            reason,
            fault=self.fault,
            retryable=self.retryable,
            lacks_room=self.lacks_room,
        )

    def blame_user(self, reason: str) -> None:
        """It was the build itself that took the room."""
        self.args = (reason,)
        self.fault = 'user'
        self.retryable = self.lacks_room = False

    @classmethod
    def from_error(cls, error: exception.ImageBuildError) -> AttemptFailed:
        """The same, from one of our errors."""
        return cls(
            str(error),
            fault=error.fault,
            lacks_room=isinstance(error, exception.LackOfRoom),
        )


class SourceUnusable(AttemptFailed):
    """The image that an upload takes its file from does not give it back."""


class Held(Protocol):
    """What tells whether a job is still this conductor's."""

    def look(self) -> None:
        """See whether it still is ours and wanted.

        :raises ClaimLost: it is not ours.
        :raises Cancelled: it is, and somebody wants it stopped.
        :raises DatabaseUnavailable: not known.
        """


class Fence(Held, Protocol):
    """The same, of a job whose build changes as it goes on."""

    @property
    def build(self) -> db.Build: ...

    def update(self, values: Mapping[str, Any]) -> None:
        """Change columns of the build.

        :raises ClaimLost: it is no longer ours.
        :raises DatabaseUnavailable: it is not known whether it was done.
        """


class Claim:
    """A build that this conductor holds, and every change to its row.

    A change that finds the row held by another raises :class:`ClaimLost`: then
    whatever this conductor still does for the build is thrown away.
    """

    def __init__(
        self,
        database: db.Database,
        build: db.Build,
        retry: retry_policy.RetryPolicy,
        paths: host_paths.HostPaths | None = None,
    ) -> None:
        self._paths = paths or host_paths.HostPaths()
        self._database = database
        self._retry = retry
        self._holder = holder(build)
        self.build = build

    def update(self, values: Mapping[str, Any]) -> None:
        """Change columns.

        :raises ClaimLost: it is no longer ours.
        :raises DatabaseUnavailable: it is not known whether it was done.
        """
        if not self._database.update_build(
            self.build.id, values, **self._holder
        ):
            self.look()

    def look(self) -> None:
        """See whether it still is ours and wanted.

        :raises ClaimLost: it is not ours.
        :raises Cancelled: it is, and somebody wants it stopped.
        :raises DatabaseUnavailable: not known.
        """
        try:
            now = self._database.get_build(self.build.id)
        except exception.NotFound as error:
            raise ClaimLost('the build was deleted') from error
        found = {'conductor': now.conductor, 'attempt': now.attempt}
        if found != self._holder or now.status not in statuses.RUNNING:
            raise ClaimLost(
                f'the build is {now.status}, attempt {now.attempt} of '
                f'{now.conductor or "nobody"}'
            )
        if now.cancel_requested or now.status == 'deleting':
            raise Cancelled('cancelled on request')

    def update_with_retry(self, values: Mapping[str, Any]) -> None:
        """As :meth:`update`, waiting for the database."""
        self._retry.until_available('a change', lambda: self.update(values))

    def finish(
        self,
        status: str,
        *,
        reason: str = '',
        fault: str | None = None,
        image: Mapping[str, Any] | None = None,
    ) -> db.Build:
        """End the build; see ``Database.finish_build``.

        :raises ClaimLost: it is no longer ours; nothing was done.
        """
        # Hidden before it is cut: half a path would not be recognised.
        reason = self._paths.hide(reason)[:_LONGEST_REASON]
        outcome = db.Outcome(status, reason, fault, image)
        done = self._retry.until_available(
            'the end of the build',
            lambda: self._database.finish_build(
                self.build.id, outcome, **self._holder
            ),
        )
        if done is None:
            raise ClaimLost('the build has another owner, or has ended')
        return done

    def release(self, reason: str, *, counts: bool = True) -> None:
        """Give the build back to the queue.

        :param counts: whether the attempt is held against the build.
        :raises ClaimLost: it is no longer ours.
        """
        reason = self._paths.hide(reason)
        if not self._retry.until_available(
            'handing back',
            lambda: self._database.requeue_build(
                self.build.id,
                **self._holder,
                reason=reason[:_LONGEST_REASON],
                counts=counts,
            ),
        ):
            raise ClaimLost('the build has another owner, or has ended')


class Holder(TypedDict):
    """Who has a build: what a change to its row is fenced by."""

    conductor: str
    attempt: int


def holder(build: db.Build) -> Holder:
    """Who had a build when it was read."""
    return {'conductor': build.conductor or '', 'attempt': build.attempt}
