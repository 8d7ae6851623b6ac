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
"""What the service answers with, as typed values.

A record takes the fields it knows and keeps the rest in :attr:`Record.raw`,
so a newer service with more fields is no error; a field that an older service
does not send has its default. Times are ISO 8601 text in UTC, as sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild.common import statuses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Base of the records.

    :ivar raw: everything the service sent, known or not.
    """

    raw: Mapping[str, Any] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Take what is known out of a body of the service."""
        known = {field.name for field in dataclasses.fields(cls)} - {'raw'}
        values = {
            name: value
            for name, value in data.items()
            # Null has the default of its type: callers need no checks.
            if name in known and value is not None
        }
        return cls(**cls._converted(values), raw=dict(data))

    @classmethod
    def _converted(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Make records of the parts that are records themselves."""
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress(Record):
    """How far a build is.

    :ivar done: steps done.
    :ivar total: steps in all, 0 while that is not known.
    :ivar step: short description of what is being done.
    :ivar phase: base_image, appliance, steps, convert, boot_test, checksum or
        upload;
        '' before the first and after the last.
    :ivar phases: those so far, each with its name and seconds.
    :ivar bytes_done: of a download, a checksum or an upload; None while
        there is none.
    :ivar bytes_total: of it, None while that is not known.
    :ivar percent: of all phases; None from a service that does not count
        them.
    :ivar elapsed: seconds since a conductor first began the build, None
        before.
    :ivar remaining: about how many seconds are left, None when not known.
    """

    done: int = 0
    total: int = 0
    step: str = ''
    phase: str = ''
    phases: Sequence[Mapping[str, Any]] = ()
    bytes_done: int | None = None
    bytes_total: int | None = None
    percent: int | None = None
    elapsed: int | None = None
    remaining: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildImage(Record):
    """One image that came out of a build.

    :ivar destination: the cloud it is in, '' for this one.
    :ivar image_id: its id in Glance, '' until it has one.
    """

    destination: str = ''
    image_id: str = ''
    disk_format: str = ''
    status: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build(Record):
    """One build.

    :ivar status: queued, building, uploading, active, error, cancelled or
        deleting.
    :ivar status_reason: why, as a message for users.
    :ivar fault: after an error, whose it was: user or service.
    :ivar image_id: the Glance image, '' until there is one.
    :ivar reused_from: the build whose image this is, '' if its own.
    :ivar pipeline_id: the pipeline that started it, '' for none.
    :ivar checksum: os_hash_algo and os_hash_value of the image.
    :ivar size: bytes of the image, None until known.
    :ivar attempt: how often a conductor began it.
    :ivar requeues: how many of these attempts do not count.
    :ivar boot_test: what came of booting the image: passed, seconds, reason,
        findings, telling; empty before, and without one.
    :ivar delete_when_unused: it is deleted when no channel has it any more.
    :ivar log_size: bytes of its log.
    :ivar request: the description that was asked for; the values of hidden
        arguments are not in it.
    """

    id: str
    name: str = ''
    status: str = ''
    status_reason: str = ''
    fault: str = ''
    project_id: str = ''
    user_id: str = ''
    os: str = ''
    driver: str = ''
    architecture: str = ''
    content_key: str = ''
    reused_from: str = ''
    pipeline_id: str = ''
    image_id: str = ''
    images: Sequence[BuildImage] = ()
    checksum: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: int | None = None
    conductor: str = ''
    attempt: int = 0
    requeues: int = 0
    progress: Progress = Progress()
    boot_test: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    delete_when_unused: bool = False
    log_size: int = 0
    created_at: str = ''
    started_at: str = ''
    finished_at: str = ''
    updated_at: str = ''
    request: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def _converted(cls, values: dict[str, Any]) -> dict[str, Any]:
        if 'images' in values:
            values['images'] = tuple(
                BuildImage.from_dict(item) for item in values['images']
            )
        if 'progress' in values:
            values['progress'] = Progress.from_dict(values['progress'])
        return values

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in statuses.ENDED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline(Record):
    """An image that is built again and again.

    :ivar status: active, paused, or error: stopped after too many failures.
    :ivar status_reason: why, as a message for users.
    :ivar image: the description of what is built.
    :ivar cron: when it runs, '' without.
    :ivar max_age: seconds after which it runs again, None without.
    :ivar keep: images that are kept, the current one among them.
    :ivar failures: in a row, until now; ``max_failures`` stop it.
    :ivar run_requested: a run was asked for and has not begun.
    :ivar running_build_id: the build that is under way, '' for none.
    :ivar last_build_id: the build of the last run, '' for none.
    :ivar current_image_id: the newest image that succeeded; '' before.
    """

    id: str
    name: str = ''
    status: str = ''
    status_reason: str = ''
    project_id: str = ''
    user_id: str = ''
    image: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cron: str = ''
    max_age: int | None = None
    keep: int = 0
    max_failures: int = 0
    current_tag: str = ''
    paused: bool = False
    failures: int = 0
    run_requested: bool = False
    running_build_id: str = ''
    last_build_id: str = ''
    current_build_id: str = ''
    current_image_id: str = ''
    last_run_at: str = ''
    next_run_at: str = ''
    created_at: str = ''
    updated_at: str = ''

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, or asked for."""
        return self.run_requested or bool(self.running_build_id)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """Running machines that are looked at, or reconciled.

    :ivar status: queued, running, passed, failed (a machine is not as
        described), error (one could not be reached), cancelled.
    :ivar status_reason: the machines that are not as described, and why.
    :ivar request: what was asked for.
    :ivar results: what came out for each machine that has ended.
    """

    id: str
    name: str = ''
    status: str = ''
    status_reason: str = ''
    project_id: str = ''
    user_id: str = ''
    request: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    results: Sequence[Mapping[str, Any]] = ()
    timeout: int = 0
    created_at: str = ''
    started_at: str = ''
    finished_at: str = ''
    updated_at: str = ''

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in statuses.VALIDATION_ENDED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(Record):
    """One step of a build that has ended.

    :ivar attempt: which attempt at the build it belongs to, from 1.
    :ivar result: ok, changed, ran, cached, failed or skipped.
    :ivar output: tail of what its commands printed.
    """

    attempt: int = 1
    number: int = 0
    path: str = ''
    validator: str = ''
    description: str = ''
    result: str = ''
    seconds: float = 0.0
    message: str = ''
    output: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogChunk:
    """A part of a build's log.

    :ivar text: whole characters; '' if there is no more (yet).
    :ivar offset: where it begins, in bytes.
    :ivar next_offset: where to go on.
    """

    text: str
    offset: int
    next_offset: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """What a build would do.

    :ivar content_key: digest of everything that decides the content.
    :ivar base: what it would be made from: kind, id, checksum and size.
    :ivar would_build: False if there is an image that would be taken, or a
        build of the same content that would be waited for.
    :ivar reuse: that image (image_id) and that build (build_id).
    :ivar steps: what would be done, in order.
    :ivar conductors: names of those that could build it now.
    :ivar waits_for: where there is none, of those that could and are down.
    """

    content_key: str = ''
    os: str = ''
    driver: str = ''
    architecture: str = ''
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    would_build: bool = True
    reuse: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: Sequence[Mapping[str, Any]] = ()
    conductors: Sequence[str] = ()
    waits_for: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """A recipe in one version.

    :ivar arguments: its arguments as a JSON schema; empty in a list.
    """

    name: str
    version: str = ''
    description: str = ''
    min_disk: int = 0
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatingSystem(Record):
    """An entry of the operator's catalogue."""

    name: str
    description: str = ''
    architecture: str = ''
    driver: str = ''
    min_disk: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Destination(Record):
    """A cloud that images can be uploaded to, besides the service's own.

    :ivar disk_format: of images whose request has none.
    :ivar container_format: likewise.
    :ivar max_image_size: bytes that an image's file may have; 0: no limit.
    """

    name: str
    description: str = ''
    disk_format: str = ''
    container_format: str = ''
    max_image_size: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Driver(Record):
    """What makes disks.

    :ivar options: JSON schema of ``driver_options``.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conductor(Record):
    """A process of the service that builds.

    :ivar alive: whether it was heard of lately.
    :ivar slots: builds it takes at once.
    :ivar running: builds it has now.
    :ivar operating_systems: those it takes, none for all.
    :ivar isolations: in what it can open disks (``appliance``, ``sandbox``),
        each with what is missing for it; nothing where it can.
    :ivar boot_tests: with what firmware it can boot images (``bios``,
        ``uefi``), and for which drivers it has their cloud boot them, each
        with what is missing for it; nothing where it can.
    :ivar architectures: of the images that it can build.
    :ivar destinations: clouds that it can upload to, besides this one.
    :ivar accelerator: what its guests run on (``kvm``, ``tcg``); '' when that
        is not known.
    :ivar free_disk: bytes, None when that is not known.
    :ivar free_memory: bytes, None when that is not known.
    :ivar cached_bases: checksums of the base images that it has.
    :ivar cached_layers: by base image, how many layers over it that it has.
    """

    name: str
    status: str = ''
    alive: bool = True
    drivers: Sequence[str] = ()
    operating_systems: Sequence[str] = ()
    architecture: str = ''
    isolations: Mapping[str, Sequence[str]] = dataclasses.field(
        default_factory=dict
    )
    boot_tests: Mapping[str, Sequence[str]] = dataclasses.field(
        default_factory=dict
    )
    architectures: Sequence[str] = ()
    destinations: Sequence[str] = ()
    accelerator: str = ''
    free_disk: int | None = None
    free_memory: int | None = None
    cached_bases: Sequence[str] = ()
    cached_layers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    slots: int = 0
    running: int = 0
    version: str = ''
    started_at: str = ''
    heartbeat_at: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldPackage(Record):
    """A package, and an active image that holds it.

    :ivar type: deb, pypi or rpm.
    :ivar destination: the cloud that has the image, '' for this one.
    :ivar build_id: a build that has the image.
    """

    id: str
    name: str = ''
    version: str = ''
    type: str = ''
    architecture: str = ''
    image_id: str = ''
    destination: str = ''
    disk_format: str = ''
    build_id: str = ''
    build_name: str = ''
    project_id: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upload(Record):
    """The way of a build's image to one cloud.

    :ivar destination: the cloud, '' for this one.
    :ivar bytes_done: how much of it is there.
    """

    id: str
    build_id: str = ''
    project_id: str = ''
    destination: str = ''
    disk_format: str = ''
    status: str = ''
    status_reason: str = ''
    image_id: str = ''
    size: int | None = None
    bytes_done: int = 0
    checksum: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    created_at: str = ''
    updated_at: str = ''
