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
"""The tables. What the columns mean is told in :mod:`imagebuild.db.records`.

A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from imagebuild.db import types

# utf8mb4_bin: names that differ in case or accents are different names.
MYSQL = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}

# Lengths in characters. MySQL's indexes hold 3072 bytes, four for each.
Id = types.Name(36)
Project = types.Name(64)
Label = types.Name(64)
Name = types.Name(255)
Text = types.LongText
Time = types.Time
# 64 bits: sizes of images. SQLite counts only INTEGER keys up by itself.
Serial = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


class Base(orm.DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            'ix': 'ix_%(table_name)s_%(column_0_N_name)s',
            'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
            'fk': 'fk_%(table_name)s_%(column_0_name)s',
            'pk': 'pk_%(table_name)s',
        }
    )


class Image(Base):
    __tablename__ = 'images'
    __table_args__ = (
        sa.Index(None, 'project_id', 'content_key'),
        sa.Index(None, 'build_id'),
        sa.Index(None, 'status'),
        # For sums without a look at the rows.
        sa.Index(None, 'project_id', 'status', 'size'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(Project)
    content_key: Mapped[str] = mapped_column(Label)
    destination: Mapped[str] = mapped_column(Name, default='')
    image_id: Mapped[str] = mapped_column(Name)
    # No foreign key: the image may outlive the row of its build.
    build_id: Mapped[str] = mapped_column(Id)
    disk_format: Mapped[str] = mapped_column(types.Name(32), default='')
    container_format: Mapped[str] = mapped_column(types.Name(32), default='')
    size: Mapped[int | None] = mapped_column(sa.BigInteger)
    os_hash_algo: Mapped[str | None] = mapped_column(Label)
    os_hash_value: Mapped[str | None] = mapped_column(types.Name(128))
    status: Mapped[str] = mapped_column(types.Name(16), default='active')
    # NULL: nothing to say, and in rows of the release before.
    status_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    deleted_at: Mapped[datetime.datetime | None] = mapped_column(Time)


class Build(Base):
    __tablename__ = 'builds'
    __table_args__ = (
        # Lists, the newest first: an index is read from its end, and nothing
        # is sorted. Most queries want only what is not deleted.
        sa.Index(None, 'deleted_at', 'created_at'),
        sa.Index(None, 'deleted_at', 'status', 'created_at', 'fault'),
        sa.Index(None, 'project_id', 'deleted_at', 'created_at'),
        sa.Index(None, 'project_id', 'deleted_at', 'status', 'created_at'),
        sa.Index(None, 'project_id', 'deleted_at', 'name', 'created_at'),
        sa.Index(None, 'project_id', 'status', 'finished_at'),
        sa.Index(None, 'conductor', 'status'),
        sa.Index(None, 'leader_id'),
        sa.Index(None, 'image_row_id'),
        # All that is counted for quotas, without a look at the rows.
        sa.Index(None, 'project_id', 'deleted_at', 'request_size'),
        sa.Index(None, 'pipeline_id', 'finished_at'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(Project)
    user_id: Mapped[str] = mapped_column(Label, default='')
    name: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(types.Name(16))
    status_reason: Mapped[str] = mapped_column(Text, default='')
    fault: Mapped[str | None] = mapped_column(types.Name(16))
    os: Mapped[str] = mapped_column(Name, default='')
    driver: Mapped[str] = mapped_column(Label)
    architecture: Mapped[str] = mapped_column(types.Name(32), default='')
    priority: Mapped[int] = mapped_column(default=0)
    request: Mapped[dict[str, Any]] = mapped_column(types.Json)
    # Kept beside it, for sums that do not read the requests themselves.
    request_size: Mapped[int] = mapped_column(
        sa.BigInteger, default=0, server_default='0'
    )
    secrets: Mapped[str | None] = mapped_column(Text)
    content_key: Mapped[str] = mapped_column(Label)
    base: Mapped[dict[str, Any]] = mapped_column(types.Json)
    reuse: Mapped[str] = mapped_column(types.Name(16), default='always')
    max_age: Mapped[int | None] = mapped_column(sa.BigInteger)
    timeout: Mapped[int] = mapped_column(default=3600)
    leader_id: Mapped[str | None] = mapped_column(
        Id, sa.ForeignKey('builds.id')
    )
    # No foreign key: that build may be purged before this one.
    reused_from: Mapped[str | None] = mapped_column(Id)
    image_row_id: Mapped[str | None] = mapped_column(
        Id, sa.ForeignKey('images.id')
    )
    size: Mapped[int | None] = mapped_column(sa.BigInteger)
    os_hash_algo: Mapped[str | None] = mapped_column(Label)
    os_hash_value: Mapped[str | None] = mapped_column(types.Name(128))
    conductor: Mapped[str | None] = mapped_column(Name)
    attempt: Mapped[int] = mapped_column(default=0)
    # Defaults of the server are for rows of the release before this column.
    requeues: Mapped[int] = mapped_column(default=0, server_default='0')
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int] = mapped_column(default=0)
    progress_step: Mapped[str] = mapped_column(Text, default='')
    phases: Mapped[dict[str, Any] | None] = mapped_column(types.Json)
    boot_test: Mapped[dict[str, Any] | None] = mapped_column(types.Json)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    log_size: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    request_id: Mapped[str] = mapped_column(Label, default='')
    delete_when_unused: Mapped[bool] = mapped_column(
        default=False, server_default=sa.false()
    )
    # No foreign key: what a pipeline has built outlives it.
    pipeline_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    claimed_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    started_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    updated_at: Mapped[datetime.datetime] = mapped_column(Time)
    deleted_at: Mapped[datetime.datetime | None] = mapped_column(Time)


class Pipeline(Base):
    __tablename__ = 'pipelines'
    __table_args__ = (
        sa.UniqueConstraint('project_id', 'name'),
        sa.Index(None, 'created_at'),
        # What conductors look for.
        sa.Index(None, 'next_run_at'),
        sa.Index(None, 'running_build_id'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(Project)
    user_id: Mapped[str] = mapped_column(Label, default='')
    name: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(types.Name(16), default='active')
    status_reason: Mapped[str] = mapped_column(Text, default='')
    os: Mapped[str] = mapped_column(Name, default='')
    entry: Mapped[dict[str, Any]] = mapped_column(types.Json, default=dict)
    driver: Mapped[str] = mapped_column(Label, default='')
    request: Mapped[dict[str, Any]] = mapped_column(types.Json)
    request_size: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    secrets: Mapped[str | None] = mapped_column(Text)
    cron: Mapped[str] = mapped_column(Name, default='')
    max_age: Mapped[int | None] = mapped_column(sa.BigInteger)
    keep: Mapped[int] = mapped_column(default=2)
    max_failures: Mapped[int] = mapped_column(default=3)
    current_tag: Mapped[str] = mapped_column(Name, default='')
    # Former ones, which its images have until a conductor takes them away.
    dropped_tags: Mapped[list[str]] = mapped_column(types.Json, default=list)
    failures: Mapped[int] = mapped_column(default=0)
    run_requested: Mapped[bool] = mapped_column(default=False)
    next_run_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    last_run_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    # No foreign keys: builds are deleted and purged without a look here.
    running_build_id: Mapped[str | None] = mapped_column(Id)
    last_build_id: Mapped[str | None] = mapped_column(Id)
    current_build_id: Mapped[str | None] = mapped_column(Id)
    # Counted up when something else is wanted of the store.
    revision: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    settled_revision: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    conductor: Mapped[str | None] = mapped_column(Name)
    held_until: Mapped[datetime.datetime | None] = mapped_column(Time)
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    updated_at: Mapped[datetime.datetime] = mapped_column(Time)


class SingleFlight(Base):
    """The build of a content that others wait for; see ``single_flight``."""

    __tablename__ = 'flights'
    __table_args__ = (sa.Index(None, 'build_id'), MYSQL)

    project_id: Mapped[str] = mapped_column(Project, primary_key=True)
    content_key: Mapped[str] = mapped_column(Label, primary_key=True)
    build_id: Mapped[str] = mapped_column(Id, sa.ForeignKey('builds.id'))


class ProjectLock(Base):
    """A row to lock when something is counted and changed for a project."""

    __tablename__ = 'project_locks'
    __table_args__ = (MYSQL,)

    project_id: Mapped[str] = mapped_column(Project, primary_key=True)


class Quota(Base):
    __tablename__ = 'quotas'
    __table_args__ = (MYSQL,)

    project_id: Mapped[str] = mapped_column(Project, primary_key=True)
    resource: Mapped[str] = mapped_column(types.Name(32), primary_key=True)
    hard_limit: Mapped[int] = mapped_column(sa.BigInteger)


class Upload(Base):
    __tablename__ = 'uploads'
    __table_args__ = (
        sa.Index(None, 'build_id'),
        sa.Index(None, 'status'),
        sa.Index(None, 'project_id', 'created_at', 'id'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    build_id: Mapped[str] = mapped_column(Id, sa.ForeignKey('builds.id'))
    # The build's: a list of them looks at no other rows. NULL until it is
    # adopted when the release before has made it.
    project_id: Mapped[str | None] = mapped_column(Project)
    destination: Mapped[str] = mapped_column(Name, default='')
    disk_format: Mapped[str] = mapped_column(types.Name(32))
    status: Mapped[str] = mapped_column(types.Name(16), default='queued')
    status_reason: Mapped[str] = mapped_column(Text, default='')
    image_id: Mapped[str | None] = mapped_column(Name)
    size: Mapped[int | None] = mapped_column(sa.BigInteger)
    bytes_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    os_hash_algo: Mapped[str | None] = mapped_column(Label)
    os_hash_value: Mapped[str | None] = mapped_column(types.Name(128))
    conductor: Mapped[str | None] = mapped_column(Name)
    attempt: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    updated_at: Mapped[datetime.datetime] = mapped_column(Time)


class Validation(Base):
    """Running machines that are checked, or reconciled."""

    __tablename__ = 'validations'
    __table_args__ = (
        sa.Index(None, 'project_id', 'created_at', 'id'),
        sa.Index(None, 'created_at', 'id'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(Project)
    user_id: Mapped[str] = mapped_column(Name, default='')
    request_id: Mapped[str] = mapped_column(Name, default='')
    name: Mapped[str] = mapped_column(Name, default='')
    status: Mapped[str] = mapped_column(types.Name(16), default='queued')
    status_reason: Mapped[str] = mapped_column(Text, default='')
    request: Mapped[dict[str, Any]] = mapped_column(types.Json)
    # Encrypted; NULL when it has ended.
    secrets: Mapped[str | None] = mapped_column(Text)
    results: Mapped[list[dict[str, Any]]] = mapped_column(types.Json)
    timeout: Mapped[int] = mapped_column()
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    started_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    updated_at: Mapped[datetime.datetime] = mapped_column(Time)


class Lane(Base):
    """A queue: jobs of one project and kind that need the same."""

    __tablename__ = 'lanes'
    __table_args__ = (MYSQL,)

    # A digest of the other columns; see queries.jobs.
    id: Mapped[str] = mapped_column(Label, primary_key=True)
    kind: Mapped[str] = mapped_column(types.Name(16))
    project_id: Mapped[str] = mapped_column(Project)
    priority: Mapped[int] = mapped_column()
    needs: Mapped[dict[str, Any]] = mapped_column(types.Json)


class Job(Base):
    __tablename__ = 'jobs'
    __table_args__ = (
        # The head of a lane, and who runs what, without a look at the rows.
        sa.Index(None, 'lane_id', 'state', 'created_at', 'id'),
        sa.Index(None, 'state', 'kind', 'project_id'),
        sa.Index(None, 'state', 'not_before'),
        sa.Index(None, 'conductor', 'state'),
        sa.Index(None, 'build_id', 'kind'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    # NULL: it outlives the row of the build, as the image that is deleted.
    build_id: Mapped[str | None] = mapped_column(
        Id, sa.ForeignKey('builds.id')
    )
    kind: Mapped[str] = mapped_column(types.Name(16))
    # NULL when it has ended: lanes that nothing waits in are not looked at.
    lane_id: Mapped[str | None] = mapped_column(
        Label, sa.ForeignKey('lanes.id')
    )
    project_id: Mapped[str] = mapped_column(Project)
    state: Mapped[str] = mapped_column(types.Name(16), default='queued')
    not_before: Mapped[datetime.datetime | None] = mapped_column(Time)
    conductor: Mapped[str | None] = mapped_column(Name)
    attempt: Mapped[int] = mapped_column(default=0)
    requeues: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    spec: Mapped[dict[str, Any]] = mapped_column(types.Json)
    result: Mapped[dict[str, Any] | None] = mapped_column(types.Json)
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    claimed_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime.datetime | None] = mapped_column(Time)
    updated_at: Mapped[datetime.datetime] = mapped_column(Time)


class Artifact(Base):
    """A finished image in a conductor's repository."""

    __tablename__ = 'artifacts'
    __table_args__ = (
        sa.Index(None, 'build_id'),
        sa.Index(None, 'repository_id', 'status'),
        sa.Index(None, 'status', 'checked_at'),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    repository_id: Mapped[str] = mapped_column(Id)
    # Who told of it last; others may have the same repository.
    conductor: Mapped[str] = mapped_column(Name)
    # No foreign key: the file may outlive the row of its build.
    build_id: Mapped[str] = mapped_column(Id)
    project_id: Mapped[str] = mapped_column(Project)
    source_id: Mapped[str | None] = mapped_column(Id)
    disk_format: Mapped[str] = mapped_column(types.Name(32))
    size: Mapped[int] = mapped_column(sa.BigInteger)
    virtual_size: Mapped[int] = mapped_column(sa.BigInteger)
    os_hash_algo: Mapped[str] = mapped_column(Label)
    os_hash_value: Mapped[str] = mapped_column(types.Name(128))
    status: Mapped[str] = mapped_column(types.Name(16))
    status_reason: Mapped[str] = mapped_column(Text, default='')
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    checked_at: Mapped[datetime.datetime] = mapped_column(Time)


class LeakSearch(Base):
    """When a destination was last searched for images without a row."""

    __tablename__ = 'leak_searches'
    __table_args__ = (MYSQL,)

    destination: Mapped[str] = mapped_column(Name, primary_key=True)
    # The first time, or the first after a gap; what is older is left alone.
    began_at: Mapped[datetime.datetime] = mapped_column(Time)
    searched_at: Mapped[datetime.datetime] = mapped_column(Time)


class Leak(Base):
    """An image of this service that no row knew when it was searched."""

    __tablename__ = 'leaks'
    __table_args__ = (MYSQL,)

    destination: Mapped[str] = mapped_column(Name, primary_key=True)
    image_id: Mapped[str] = mapped_column(Name, primary_key=True)
    first_seen_at: Mapped[datetime.datetime] = mapped_column(Time)
    last_seen_at: Mapped[datetime.datetime] = mapped_column(Time)


class Conductor(Base):
    __tablename__ = 'conductors'
    __table_args__ = (MYSQL,)

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    # Lists that are read whole; no query looks into them.
    drivers: Mapped[list[str]] = mapped_column(types.Json)
    operating_systems: Mapped[list[str]] = mapped_column(types.Json)
    architecture: Mapped[str] = mapped_column(types.Name(32))
    # NULL in rows of a release that did not know it.
    isolations: Mapped[dict[str, list[str]] | None] = mapped_column(types.Json)
    # All that it offers, what the columns above say included; NULL, too.
    capability: Mapped[dict[str, Any] | None] = mapped_column(types.Json)
    slots: Mapped[int] = mapped_column()
    running: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(types.Name(16), default='up')
    version: Mapped[str] = mapped_column(Label, default='')
    started_at: Mapped[datetime.datetime] = mapped_column(Time)
    heartbeat_at: Mapped[datetime.datetime] = mapped_column(Time)


class Step(Base):
    __tablename__ = 'steps'
    __table_args__ = (sa.Index(None, 'build_id'), MYSQL)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    build_id: Mapped[str] = mapped_column(Id, sa.ForeignKey('builds.id'))
    attempt: Mapped[int] = mapped_column()
    number: Mapped[int] = mapped_column()
    path: Mapped[str] = mapped_column(Text, default='')
    validator: Mapped[str] = mapped_column(Name, default='')
    description: Mapped[str] = mapped_column(Text, default='')
    result: Mapped[str] = mapped_column(types.Name(32), default='')
    seconds: Mapped[float] = mapped_column(sa.Double, default=0.0)
    message: Mapped[str] = mapped_column(Text, default='')
    output: Mapped[str] = mapped_column(Text, default='')
    created_at: Mapped[datetime.datetime] = mapped_column(Time)


class Event(Base):
    __tablename__ = 'events'
    __table_args__ = (sa.Index(None, 'build_id'), MYSQL)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    build_id: Mapped[str] = mapped_column(Id, sa.ForeignKey('builds.id'))
    at: Mapped[datetime.datetime] = mapped_column(Time)
    kind: Mapped[str] = mapped_column(types.Name(16))
    message: Mapped[str] = mapped_column(Text)


class LogChunk(Base):
    __tablename__ = 'log_chunks'
    __table_args__ = (MYSQL,)

    build_id: Mapped[str] = mapped_column(
        Id, sa.ForeignKey('builds.id'), primary_key=True
    )
    # Part of the key: two that append at the same place cannot both.
    offset: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False
    )
    data: Mapped[str] = mapped_column(Text)
