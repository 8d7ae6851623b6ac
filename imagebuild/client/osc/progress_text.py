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
"""How far a build is, as text."""

from __future__ import annotations

import math

from imagebuild.client import records
from imagebuild.common import statuses
from imagebuild.common import transfer_progress

#: Phases whose name says less than it might. The API's is as old as the
#: service, and disks are opened in the sandbox, too.
_NAMES = {'appliance': 'opening the disk'}


def phase(progress: records.Progress) -> str:
    """The phase, such as ``base image``; '' when it is not known."""
    return _shown(progress.phase)


def _shown(name: str) -> str:
    return _NAMES.get(name, name.replace('_', ' '))


def status(build: records.Build) -> str:
    """The status with the phase, such as ``building (steps)``."""
    name = phase(build.progress)
    # An upload is the status "uploading" already.
    if (
        not name
        or build.status not in statuses.IN_PROGRESS
        or build.status[:6] == name
    ):
        return build.status
    return f'{build.status} ({name})'


def steps(progress: records.Progress) -> str:
    """The steps, such as ``[1/4]``; '' before they are known."""
    return f'[{progress.done}/{progress.total}]' if progress.total else ''


def moved(progress: records.Progress) -> str:
    """The bytes, such as ``1.5 of 4.0 MiB``; '' when nothing is moved."""
    if progress.bytes_done is None:
        return ''
    return transfer_progress.moved(progress.bytes_done, progress.bytes_total)


def left(seconds: float | None) -> str:
    """About how long it still takes; '' when that is not known."""
    if seconds is None or seconds <= 0:
        return ''
    if seconds < 60:
        return 'less than a minute left'
    return f'about {round(seconds / 60)} min left'


def clock(seconds: float) -> str:
    """A time that runs, such as ``0:07`` or ``1:02:03``."""
    whole = max(math.floor(seconds), 0)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f'{hours}:{minutes:02}:{whole % 60:02}'
    return f'{minutes}:{whole % 60:02}'


def percent(build: records.Build) -> int | None:
    """How much is done: all of it only when the image is there.

    :returns: None when that is not known.
    """
    if build.status == 'active':
        return 100
    known, progress = build.progress.percent, build.progress
    if known is None and progress.total:
        # An older service counts the steps only; what comes after them
        # takes its time, too.
        known = int(progress.done / progress.total * 90)
    return None if known is None else min(max(known, 0), 99)


def line(build: records.Build) -> str:
    """A line about a build, for where lines are not overwritten."""
    progress = build.progress
    parts = [status(build), steps(progress), progress.step]
    if build.status in statuses.IN_PROGRESS and progress.percent is not None:
        parts.insert(1, f'{percent(build)} %')
    remaining = left(progress.remaining)
    text = ' '.join(filter(None, parts))
    return f'{text}, {remaining}' if remaining else text


def summary(progress: records.Progress) -> str:
    """The same of a build that is looked at once."""
    parts = [
        '' if progress.percent is None else f'{progress.percent} %',
        phase(progress),
        steps(progress),
        progress.step,
        moved(progress),
    ]
    return ', '.join(
        filter(None, [' '.join(filter(None, parts)), left(progress.remaining)])
    )


def durations(progress: records.Progress) -> str:
    """How long each phase took so far."""
    return ', '.join(
        f'{_shown(str(each["name"]))} {clock(each["seconds"])}'
        for each in progress.phases
    )
