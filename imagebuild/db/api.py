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
"""The one door to the database."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import sqlalchemy

from imagebuild import exception
from imagebuild.db import engine
from imagebuild.db import migration
from imagebuild.db import transaction
from imagebuild.db.queries import artifacts
from imagebuild.db.queries import attempts
from imagebuild.db.queries import builds
from imagebuild.db.queries import cancellation
from imagebuild.db.queries import channel_care
from imagebuild.db.queries import channel_lookup
from imagebuild.db.queries import channel_use
from imagebuild.db.queries import channels
from imagebuild.db.queries import claims
from imagebuild.db.queries import conductors
from imagebuild.db.queries import contents
from imagebuild.db.queries import creation
from imagebuild.db.queries import deletion
from imagebuild.db.queries import history
from imagebuild.db.queries import image_sources
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import leaks
from imagebuild.db.queries import lifecycle
from imagebuild.db.queries import lost_files
from imagebuild.db.queries import pipeline_runs
from imagebuild.db.queries import pipelines
from imagebuild.db.queries import quotas
from imagebuild.db.queries import retention
from imagebuild.db.queries import uploading
from imagebuild.db.queries import uploads
from imagebuild.db.queries import validations
from imagebuild.db.queries import waiting


class Database(transaction.Transactions):
    """A database of the service; may be used by many threads at once.

    Nothing is connected to before the first call. A connection that was lost
    is replaced by the call that notices. Every call is one transaction (unless
    its docstring says otherwise) and may raise
    :class:`exception.DatabaseUnavailable`: the server is down, locked or
    full, and retrying for a bounded time did not help. After that the call
    may have happened or not. The retries themselves never do a thing twice,
    also when the connection breaks at the commit.

    Times come from the caller's clock, never from the server's, so the hosts
    of a deployment need synchronised clocks (within a few seconds).

    :param connection: an SQLAlchemy URL, such as
        ``sqlite:////var/lib/imagebuild/imagebuild.sqlite``,
        ``mysql+pymysql://...`` or ``postgresql+psycopg://...``.
    :param clock: gives the time in naive UTC; tests bring their own.
    :param pool: sizes and times of the connection pool.
    :param retries: how long a call is retried before it fails.
    """

    def __init__(
        self,
        connection: str,
        *,
        clock: Callable[[], datetime.datetime] | None = None,
        pool: engine.PoolSettings | None = None,
        retries: transaction.Retries | None = None,
    ) -> None:
        super().__init__(
            engine.create(connection, pool or engine.PoolSettings()),
            clock=clock,
            retries=retries or transaction.Retries(),
        )

    def ping(self) -> None:
        """See whether the database answers, without retries.

        :raises DatabaseUnavailable: it does not.
        """
        self._read_once(
            lambda session: session.execute(sqlalchemy.select(1)).all()
        )

    def check_tables(self) -> None:
        """See whether the tables are there and new enough, without retries.

        :raises TablesMissing: they are not.
        :raises DatabaseUnavailable: the database does not answer.
        """
        found = self._read_once(
            lambda session: migration.revision(session.connection())
        )
        if reason := migration.missing(found):
            raise exception.TablesMissing(reason=reason)

    def close(self) -> None:
        """Close the connections that no call uses; calls may follow."""
        self._engine.dispose()

    # Described in their own docstrings, beside the queries.

    create_build = creation.create_build
    get_build = builds.get_build
    list_builds = builds.list_builds
    page_of_builds = builds.page_of_builds
    list_ended_with = builds.list_ended_with
    earlier_builds = builds.earlier_builds
    update_build = builds.update_build
    count_builds = builds.count_builds
    oldest_queued = builds.oldest_queued
    statistics = builds.statistics

    finish_build = lifecycle.finish_build
    request_cancel = cancellation.request_cancel
    delete_build = cancellation.delete_build
    delete_upload = cancellation.delete_upload
    end_queued = lifecycle.end_queued
    queued_in_lane = waiting.queued_in_lane
    noted_as_waiting = waiting.noted_as_waiting
    note_waiting = waiting.note_waiting
    requeue_build = lifecycle.requeue_build
    purge = retention.purge

    lanes = jobs.lanes
    release_waiting = jobs.release_waiting
    adopt_builds = jobs.adopt_builds
    get_job = jobs.get_job
    jobs_of = jobs.jobs_of
    conductors_for = jobs.conductors_for
    orphaned_jobs = jobs.orphaned_jobs

    claim = claims.claim
    builds_of = claims.builds_of
    orphans = claims.orphans

    append_log = history.append_log
    read_log = history.read_log
    add_step = history.add_step
    list_steps = history.list_steps
    page_of_steps = history.page_of_steps
    add_event = history.add_event
    list_events = history.list_events

    find_image = images.find_image
    get_image = images.get_image
    image_deleted = images.image_deleted
    retire_unused_images = images.retire_unused_images
    images_only_used_by = images.images_only_used_by
    users_of_image = images.users_of_image
    stored_bytes = images.stored_bytes

    deleting_images = deletion.deleting_images
    count_deleting_images = deletion.count_deleting_images
    finish_deletion = deletion.finish_deletion
    requeue_deletion = deletion.requeue_deletion
    note_deletions = deletion.note_deletions

    store_sbom = contents.store_sbom
    get_sbom = contents.get_sbom
    package_versions = contents.package_versions
    images_with = contents.images_with

    judge_attempts = attempts.judge_attempts
    begin_leak_search = leaks.begin_leak_search
    unknown_images = leaks.unknown_images
    note_leaks = leaks.note_leaks

    get_upload = uploads.get_upload
    list_uploads = uploads.list_uploads
    abandoned_uploads = uploads.abandoned_uploads
    update_upload = uploads.update_upload
    adopt_uploads = uploads.adopt_uploads
    start_uploads = uploading.start_uploads
    add_upload = uploading.add_upload
    finish_upload = uploading.finish_upload
    requeue_upload = uploading.requeue_upload
    another_source = image_sources.another_source
    end_waiting_uploads = lost_files.end_waiting_uploads
    uploads_without_file = lost_files.uploads_without_file

    add_artifact = artifacts.add_artifact
    sync_artifacts = artifacts.sync_artifacts
    retire_artifact = artifacts.retire_artifact
    mark_artifact = artifacts.mark_artifact
    get_artifact = artifacts.get_artifact
    list_artifacts = artifacts.list_artifacts
    artifacts_of_deleted_builds = artifacts.artifacts_of_deleted_builds

    register_conductor = conductors.register_conductor
    heartbeat = conductors.heartbeat
    unregister = conductors.unregister
    list_conductors = conductors.list_conductors
    dead_conductors = conductors.dead_conductors

    create_validation = validations.create_validation
    get_validation = validations.get_validation
    list_validations = validations.list_validations
    page_of_validations = validations.page_of_validations
    validation_state = validations.validation_state
    note_results = validations.note_results
    finish_validation = validations.finish_validation
    requeue_validation = validations.requeue_validation
    cancel_validation = validations.cancel_validation
    delete_validation = validations.delete_validation
    purge_validations = validations.purge_validations

    create_pipeline = pipelines.create_pipeline
    get_pipeline = pipelines.get_pipeline
    list_pipelines = pipelines.list_pipelines
    page_of_pipelines = pipelines.page_of_pipelines
    count_pipelines = pipelines.count_pipelines
    update_pipeline = pipelines.update_pipeline
    delete_pipeline = pipelines.delete_pipeline
    builds_of_pipeline = pipelines.builds_of_pipeline

    pipelines_to_attend = pipeline_runs.pipelines_to_attend
    hold_pipeline = pipeline_runs.hold_pipeline
    release_pipeline = pipeline_runs.release_pipeline
    start_run = pipeline_runs.start_run
    refuse_run = pipeline_runs.refuse_run
    refresh_pipeline = pipeline_runs.refresh_pipeline
    settle_pipeline = pipeline_runs.settle_pipeline

    promote_build = channels.promote_build
    roll_back = channels.roll_back
    get_channel = channel_lookup.get_channel
    find_channel = channel_lookup.find_channel
    list_channels = channel_lookup.list_channels
    list_promotions = channel_lookup.list_promotions
    count_channels = channel_lookup.count_channels
    delete_channel = channels.delete_channel
    channel_tags = channel_use.channel_tags
    check_unused = channel_use.check_unused

    channels_to_attend = channel_care.channels_to_attend
    hold_channel = channel_care.hold_channel
    release_channel = channel_care.release_channel
    images_of_channel = channel_care.images_of_channel
    settle_channel = channel_care.settle_channel

    get_quotas = quotas.get_quotas
    set_quota = quotas.set_quota
    check_growth = quotas.check_growth
