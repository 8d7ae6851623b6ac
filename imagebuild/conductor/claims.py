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
"""Ways in which a try of a build stops, and holding on to a claim."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Literal
from typing import TypedDict
from typing import TypeVar

from imagebuild import db
from imagebuild import exception
from imagebuild import host_paths
from imagebuild import statuses

LOG = logging.getLogger(__name__)

T = TypeVar('T')

_LONGEST_PAUSE = 10.0
_LONGEST_REASON = 4000


class Stopped(Exception):  # noqa: N818
    """A try stops before its image is done."""


class Lost(Stopped):
    """The build is another conductor's now, or was deleted."""


class Cancelled(Stopped):
    """Somebody asked for it."""


class HandedBack(Stopped):
    """This conductor goes away; another one starts the build anew."""


class Failed(Stopped):
    """It cannot go on.

    :param again: whether another try may help.
    :param lacks_room: whether it only found no room on the disk of this
        host: then it is not held against the build.
    """

    def __init__(
        self,
        reason: str,
        *,
        fault: Literal['user', 'service'] = 'service',
        again: bool = True,
        lacks_room: bool = False,
    ) -> None:
        super().__init__(reason)
        self.fault = fault
        self.again = again and fault == 'service'
        self.lacks_room = lacks_room and fault == 'service'

    def in_words(self, reason: str) -> Failed:
        """The same with another reason."""
        return Failed(
            reason,
            fault=self.fault,
            again=self.again,
            lacks_room=self.lacks_room,
        )

    def blame_user(self, reason: str) -> None:
        """It was the build itself that took the room."""
        self.args = (reason,)
        self.fault = 'user'
        self.again = self.lacks_room = False

    @classmethod
    def of(cls, error: exception.ImageBuildError) -> Failed:
        """The same, from one of our errors."""
        return cls(
            str(error),
            fault=error.fault,
            lacks_room=isinstance(error, exception.LackOfRoom),
        )


class Patience:
    """Waits for a database that is away, unless there is no time left.

    :param hurry: set when this process ends now.
    """

    def __init__(self, hurry: threading.Event) -> None:
        self._hurry = hurry

    def insist(self, what: str, call: Callable[[], T]) -> T:
        """Make a call until the database has answered.

        :param what: for the log.
        :raises DatabaseUnavailable: it is away and we are in a hurry.
        """
        pause = 0.5
        while True:
            try:
                return call()
            except exception.DatabaseUnavailable as error:
                if self._hurry.is_set():
                    raise
                LOG.warning('%s has to wait: %s', what, error)
            self._hurry.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def pause(self, seconds: float) -> bool:
        """Wait, unless we are in a hurry.

        :returns: whether there is time for more.
        """
        return not self._hurry.wait(seconds)


class Claim:
    """A build that this conductor holds, and every change to its row.

    A change that finds the row held by another raises :class:`Lost`: then
    whatever this conductor still does for the build is thrown away.
    """

    def __init__(
        self,
        database: db.Database,
        build: db.Build,
        patience: Patience,
        paths: host_paths.HostPaths | None = None,
    ) -> None:
        self._paths = paths or host_paths.HostPaths()
        self._database = database
        self._patience = patience
        self._holder = holder(build)
        self.build = build

    def update(self, values: Mapping[str, Any]) -> None:
        """Change columns.

        :raises Lost: it is no longer ours.
        :raises DatabaseUnavailable: it is not known whether it was done.
        """
        if not self._database.update_build(
            self.build.id, values, **self._holder
        ):
            self.look()

    def look(self) -> None:
        """See whether it still is ours and wanted.

        :raises Lost: it is not ours.
        :raises Cancelled: it is, and somebody wants it stopped.
        :raises DatabaseUnavailable: not known.
        """
        try:
            now = self._database.get_build(self.build.id)
        except exception.NotFound as error:
            raise Lost('the build was deleted') from error
        found = {'conductor': now.conductor, 'attempt': now.attempt}
        if found != self._holder or now.status not in statuses.RUNNING:
            raise Lost(
                f'the build is {now.status}, attempt {now.attempt} of '
                f'{now.conductor or "nobody"}'
            )
        if now.cancel_requested or now.status == 'deleting':
            raise Cancelled('cancelled on request')

    def insist_on(self, values: Mapping[str, Any]) -> None:
        """As :meth:`update`, waiting for the database."""
        self._patience.insist('a change', lambda: self.update(values))

    def finish(
        self,
        status: str,
        *,
        reason: str = '',
        fault: str | None = None,
        image: Mapping[str, Any] | None = None,
    ) -> db.Build:
        """End the build; see ``Database.finish_build``.

        :raises Lost: it is no longer ours; nothing was done.
        """
        reason = self._paths.hide(reason)
        done = self._patience.insist(
            'the end of the build',
            lambda: self._database.finish_build(
                self.build.id,
                **self._holder,
                status=status,
                reason=reason[:_LONGEST_REASON],
                fault=fault,
                image=image,
            ),
        )
        if done is None:
            raise Lost('the build has another owner, or has ended')
        return done

    def release(self, reason: str, *, counts: bool = True) -> None:
        """Give the build back to the queue.

        :param counts: whether the attempt is held against the build.
        :raises Lost: it is no longer ours.
        """
        reason = self._paths.hide(reason)
        if not self._patience.insist(
            'handing back',
            lambda: self._database.requeue_build(
                self.build.id,
                **self._holder,
                reason=reason[:_LONGEST_REASON],
                counts=counts,
            ),
        ):
            raise Lost('the build has another owner, or has ended')


class Holder(TypedDict):
    """Who has a build: what a change to its row is fenced by."""

    conductor: str
    attempt: int


def holder(build: db.Build) -> Holder:
    """Who had a build when it was read."""
    return {'conductor': build.conductor or '', 'attempt': build.attempt}
