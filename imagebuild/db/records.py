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
"""What the database gives out: plain values, one class for each table.

A record is a copy: it does not change when the row does, and it may be
passed to another thread. Attributes have the names of the columns. Times
are naive UTC; sizes are bytes; identifiers are UUIDs as text.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.common import placement
from imagebuild.common import statuses

#: What builds can be sorted by, in the API and in the database.
SORT_KEYS = (
    'created_at', 'driver', 'finished_at', 'name', 'os', 'priority', 'status',
    'updated_at',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that a build made and put somewhere.

    :ivar destination: '' is this cloud.
    :ivar image_id: Glance's.
    :ivar build_id: the build that made it; others may use it too.
    :ivar status: ``active``, ``deleting`` (nobody uses it any more: a job
        of its id deletes it) or ``deleted``.
    :ivar status_reason: why it is not deleted yet; None when there is nothing
        to say.
    """

    id: str
    project_id: str
    content_key: str
    destination: str
    image_id: str
    build_id: str
    disk_format: str
    container_format: str
    size: int | None
    os_hash_algo: str | None
    os_hash_value: str | None
    status: str
    created_at: datetime.datetime
    deleted_at: datetime.datetime | None
    status_reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Build:
    """One request for an image and what became of it.

    :ivar fault: whose fault an ``error`` is: ``user`` or ``service``.
    :ivar os: '' when the request names a base image instead.
    :ivar request: the request after defaulting, hidden values masked.
    :ivar secrets: encrypted hidden argument values; None without any, and
        always None once the build ended.
    :ivar base: what the base image was resolved to.
    :ivar max_age: seconds, None without a limit.
    :ivar timeout: seconds.
    :ivar leader_id: the build of the same content that this one waits for.
    :ivar reused_from: the build that made the image this one uses.
    :ivar conductor: the one that has, or last had, the build.
    :ivar attempt: how often the build was claimed.
    :ivar requeues: how many of these claims were given back through no fault
        of the build (no room, the conductor went away); they are not held
        against it.
    :ivar log_size: bytes of UTF-8.
    :ivar phases: see :class:`imagebuild.common.phases.Phases`; None before the
        first one of an attempt.
    :ivar boot_test: what came of booting the image: ``passed``, ``seconds``,
        ``reason``, ``findings``, ``telling``; None before, and without.
    :ivar pipeline_id: the pipeline that started it; it may be gone.
    :ivar delete_when_unused: it is deleted when no channel has it any more.
    :ivar images: where its image is, this cloud ('') first.
    """

    id: str
    project_id: str
    user_id: str
    name: str
    status: str
    status_reason: str
    fault: str | None
    os: str
    driver: str
    architecture: str
    priority: int
    request: dict[str, Any]
    secrets: str | None = dataclasses.field(repr=False)
    content_key: str
    base: dict[str, Any]
    reuse: str
    max_age: int | None
    timeout: int
    leader_id: str | None
    reused_from: str | None
    image_row_id: str | None
    size: int | None
    os_hash_algo: str | None
    os_hash_value: str | None
    conductor: str | None
    attempt: int
    progress_done: int
    progress_total: int
    progress_step: str
    cancel_requested: bool
    log_size: int
    request_id: str
    created_at: datetime.datetime
    claimed_at: datetime.datetime | None
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    updated_at: datetime.datetime
    deleted_at: datetime.datetime | None
    phases: dict[str, Any] | None = None
    boot_test: dict[str, Any] | None = None
    requeues: int = 0
    pipeline_id: str | None = None
    delete_when_unused: bool = False
    images: tuple[Image, ...] = ()

    @property
    def failures(self) -> int:
        """How many attempts count, the running one included."""
        return self.attempt - self.requeues

    @property
    def image_id(self) -> str | None:
        """Glance's id of the image in this cloud, None without one."""
        for image in self.images:
            if image.destination == '':
                return image.image_id
        return None


@dataclasses.dataclass(frozen=True)
class Upload:
    """One way of one image to one destination.

    :ivar status: ``queued``, ``uploading``, ``active``, ``error`` or
        ``deleting``: until its image is gone.
    :ivar project_id: the build's.
    """

    id: str
    build_id: str
    project_id: str
    destination: str
    disk_format: str
    status: str
    status_reason: str
    image_id: str | None
    size: int | None
    bytes_done: int
    os_hash_algo: str | None
    os_hash_value: str | None
    conductor: str | None
    attempt: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


@dataclasses.dataclass(frozen=True)
class ImageMark:
    """What an image in a store says of where it comes from.

    :ivar image_id: the store's.
    :ivar upload_id: the upload that made it, as the image says.
    :ivar build_id: the build, as the image says.
    """

    image_id: str
    upload_id: str
    build_id: str


@dataclasses.dataclass(frozen=True)
class Leaks:
    """Images that no row knows.

    :ivar new: ids of those that were not seen before.
    :ivar due: ids of those that were first seen long enough ago.
    """

    new: tuple[str, ...]
    due: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class AttemptStates:
    """What the rows say of attempts at builds.

    :ivar ended: build id and number of those that are not made any more.
    :ivar unknown: the same of builds that no row knows.
    """

    ended: frozenset[tuple[str, int]]
    unknown: frozenset[tuple[str, int]]


@dataclasses.dataclass(frozen=True)
class Lane:
    """Jobs that wait, and need the same of a conductor.

    :ivar kind: ``build``, ``upload`` or ``delete``.
    :ivar needs: see :class:`imagebuild.common.placement.Needs`.
    :ivar since: when the oldest of them was made.
    :ivar running: how many jobs of this kind the project has running.
    :ivar limit: how many it may have; -1 for no limit.
    """

    id: str
    kind: str
    project_id: str
    priority: int
    needs: Mapping[str, Any]
    since: datetime.datetime
    running: int
    limit: int


@dataclasses.dataclass(frozen=True)
class Job:
    """Work for a conductor; see :mod:`imagebuild.db.queries.jobs`.

    :ivar id: that of its build or upload, or of the row of the image that is
        to be deleted.
    :ivar build_id: None where it may outlive the row of the build.
    :ivar state: ``waiting``, ``queued``, ``running``, ``done``, ``error`` or
        ``cancelled``.
    :ivar conductor: the one that has, or last had it.
    :ivar attempt: how often it was claimed.
    :ivar requeues: how many of these are not held against it.
    :ivar spec: what is to be done, besides what is in other tables.
    :ivar result: what came of it.
    """

    id: str
    build_id: str | None
    kind: str
    project_id: str
    state: str
    conductor: str | None
    attempt: int
    requeues: int
    cancel_requested: bool
    spec: dict[str, Any]
    result: dict[str, Any] | None
    created_at: datetime.datetime
    claimed_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @property
    def failures(self) -> int:
        """How many attempts count, the running one included."""
        return self.attempt - self.requeues


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A finished image in a conductor's repository.

    :ivar repository_id: whoever has the repository of that id has the file.
    :ivar conductor: the one that told of it last.
    :ivar source_id: the artifact that it was converted from, None for the
        file that was built.
    :ivar status: ``present``, ``lost``, ``corrupt`` or ``removed``.
    :ivar checked_at: when a conductor last told of it.
    """

    id: str
    repository_id: str
    conductor: str
    build_id: str
    project_id: str
    source_id: str | None
    disk_format: str
    size: int
    virtual_size: int
    os_hash_algo: str
    os_hash_value: str
    status: str
    status_reason: str
    created_at: datetime.datetime
    checked_at: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Conductor:
    """A conductor and what it can build.

    :ivar operating_systems: names; empty means all.
    :ivar isolations: ``appliance`` and ``sandbox``, each with what its host
        lacks for it; empty when that is not known.
    :ivar capability: all that it offers, these included.
    :ivar slots: builds at once.
    :ivar status: ``up``, ``draining`` or ``down``.
    """

    name: str
    drivers: tuple[str, ...]
    operating_systems: tuple[str, ...]
    architecture: str
    isolations: Mapping[str, Sequence[str]]
    capability: placement.Capability
    slots: int
    running: int
    status: str
    version: str
    started_at: datetime.datetime
    heartbeat_at: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Step:
    """A finished step of one attempt at a build."""

    id: int
    build_id: str
    attempt: int
    number: int
    path: str
    validator: str
    description: str
    result: str
    seconds: float
    message: str
    output: str
    created_at: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened to a build.

    :ivar kind: ``status``, ``fault``, ``conductor`` or ``note``.
    """

    id: int
    build_id: str
    at: datetime.datetime
    kind: str
    message: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a build ends; its conductor gives it to ``finish_build``.

    :ivar status: ``active``, ``error`` or ``cancelled``.
    :ivar fault: whose fault an ``error`` is: ``user`` or ``service``.
    :ivar image: the image in this cloud, for ``active``: image_id,
        disk_format, container_format, size, os_hash_algo and
        os_hash_value.
    :raises ValueError: no build ends like that.
    """

    status: str
    reason: str = ''
    fault: str | None = None
    image: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.status not in statuses.ENDED:
            raise ValueError(f'no build ends as {self.status}')
        if self.status == 'active' and self.image is None:
            raise ValueError('an active build has an image')

    @property
    def is_same_for_all(self) -> bool:
        """Whether the same content would end the same way again."""
        return self.status == 'active' or (
            self.status == 'error' and self.fault == 'user'
        )

    @property
    def message(self) -> str:
        return f'{self.status}: {self.reason}' if self.reason else self.status


@dataclasses.dataclass(frozen=True)
class UploadOutcome:
    """How an upload ends; its conductor gives it to ``finish_upload``.

    :ivar reason: a sentence, '' for one that arrived.
    :ivar state: of the job of one that did not: ``error`` or ``cancelled``.
    :ivar fault: whose fault that is: ``user`` or ``service``.
    :ivar image: image_id, container_format, size, os_hash_algo and
        os_hash_value of one that arrived; disk_format where the cloud has
        made another one of it.
    """

    reason: str = ''
    state: str = 'error'
    fault: str | None = None
    image: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class EarlierBuild:
    """A build that made an image, and how long its phases took.

    :ivar phases: see :class:`imagebuild.common.phases.Phases`.
    """

    content_key: str
    name: str
    phases: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Totals over all builds that are not purged.

    :ivar steps: validator to how many steps there were, and their seconds.
    :ivar reused: builds that were given an image that was there.
    :ivar uploaded_bytes: of images that arrived.
    """

    steps: Mapping[str, tuple[int, float]]
    reused: int
    uploaded_bytes: int


@dataclasses.dataclass(frozen=True)
class Validation:
    """Running machines that are checked, or reconciled.

    :ivar name: that the user gave it, '' for none.
    :ivar status: ``queued``, ``running``, or one of
        :data:`imagebuild.common.statuses.VALIDATION_ENDED`.
    :ivar request: hosts, what is to be true of them, how they are reached;
        hidden values are masked, and credentials are references.
    :ivar secrets: encrypted credentials and hidden argument values; None
        without any, and when it has ended.
    :ivar results: what is known of its machines by now.
    :ivar timeout: seconds.
    """

    id: str
    project_id: str
    user_id: str
    request_id: str
    name: str
    status: str
    status_reason: str
    request: dict[str, Any]
    secrets: str | None = dataclasses.field(repr=False)
    results: list[dict[str, Any]]
    timeout: int
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    updated_at: datetime.datetime
