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
"""Builds in the queue that no conductor which is up can build.

They wait, and say for whom, as long as ``[conductor] wait_for_conductor``;
then they end. Every conductor looks at all of them: the one that could build
them is down.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild import db
from imagebuild.common import placement
from imagebuild.common import waiting
from imagebuild.common.counts import counted
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.db import transaction

LOG = logging.getLogger(__name__)


def sweep(context: ConductorContext) -> None:
    """Note who waits, end what has waited too long, and unnote the rest.

    Not to be called while heartbeats could not be written for a while: all
    conductors look dead then.

    :raises DatabaseUnavailable: it is done the next time.
    """
    database = context.database
    unserved = set()
    for lane in _unserved(context, ['build', 'upload']):
        unserved.add(lane.id)
        if lane.kind == 'build':
            _wait(context, lane)
        else:
            _end_uploads(context, lane)
    for build in database.noted_as_waiting():
        if build.lane not in unserved:
            database.note_waiting(build.id, '')


@dataclasses.dataclass(frozen=True)
class _Lane:
    """A lane that nobody who is up can take from.

    :ivar able: names of the conductors that could and are down.
    :ivar lacks: what each of those that are up lacks.
    """

    id: str
    kind: str
    able: Sequence[str]
    lacks: Sequence[str]


def _unserved(
    context: ConductorContext, kinds: Sequence[str]
) -> Iterator[_Lane]:
    known = context.database.list_conductors()
    alive = {
        each.name
        for each in context.database.list_conductors(
            alive_within=context.conf.conductor.dead_after
        )
        if each.status == 'up'
    }
    for lane in context.database.lanes(kinds):
        needs = placement.Needs.from_dict(lane.needs)
        lacking = [
            (each, placement.missing(needs, each.capability)) for each in known
        ]
        able = [each.name for each, missing in lacking if not missing]
        if alive.intersection(able):
            continue
        lacks = [
            f'{each.name} {" and ".join(missing)}'
            for each, missing in lacking
            if missing and each.name in alive
        ]
        yield _Lane(lane.id, lane.kind, able, lacks)


def _end_uploads(context: ConductorContext, lane: _Lane) -> None:
    """End uploads that have waited too long.

    The conductor that has the file no longer has the destination, say.
    """
    limit = context.conf.conductor.wait_for_conductor
    if not limit:
        return
    why = waiting.waits_for(lane.able, lane.lacks, to='upload')
    reason = f'Waited in vain for {counted(limit, "second")}. {why}'
    for build in context.database.end_waiting_uploads(
        lane.id, seconds=limit, reason=reason
    ):
        LOG.warning('Ended build %s: %s', build.id, build.status_reason)
        context.notifier.ended(build)


def _wait(context: ConductorContext, lane: _Lane) -> None:
    limit = context.conf.conductor.wait_for_conductor
    reason = waiting.waits_for(lane.able, lane.lacks)
    for build in context.database.queued_in_lane(lane.id):
        if build.since is None:
            context.database.note_waiting(build.id, reason)
            continue
        waited = (transaction.utcnow() - build.since).total_seconds()
        if limit and waited >= limit:
            _end(context, build.id, reason)
        elif build.reason != reason:
            context.database.note_waiting(build.id, reason, keep_time=True)


def _end(context: ConductorContext, build_id: str, reason: str) -> None:
    limit = context.conf.conductor.wait_for_conductor
    ended: db.Build | None = context.database.end_queued(
        build_id,
        f'Waited in vain for {counted(limit, "second")}. {reason}',
    )
    if ended is not None:
        LOG.warning('Ended build %s: %s', build_id, ended.status_reason)
        context.notifier.ended(ended)
