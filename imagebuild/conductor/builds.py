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
"""One attempt of one build, from the claim to its end.

What it does in order: make a workspace; run the build job; put the file into
the repository, unless a cloud has made an image; queue the uploads, which end
the build
(:mod:`imagebuild.conductor.upload_attempt`). Everything that can go wrong ends
in one of the exceptions of :mod:`imagebuild.conductor.claims`, and those in
one of three: the row is ended, requeued, or left to its new owner.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import cast

from imagebuild import artifacts
from imagebuild import db
from imagebuild import exception
from imagebuild import repository
from imagebuild import sealing
from imagebuild.common import host_paths
from imagebuild.common import statuses
from imagebuild.common.counts import counted
from imagebuild.conductor import attempt
from imagebuild.conductor import attempt_failures
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import build_end
from imagebuild.conductor import claims
from imagebuild.conductor import conductor_context
from imagebuild.conductor import contents
from imagebuild.conductor import estimates
from imagebuild.conductor import event_recorder
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import metrics
from imagebuild.conductor import upload_rows
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.drivers import base as drivers
from imagebuild.job import specs

LOG = logging.getLogger(__name__)


class BuildAttempt(attempt.Attempt):
    """An attempt of a build.

    :param build: as it was claimed.
    """

    kind = 'build'

    def __init__(
        self,
        context: ConductorContext,
        build: db.Build,
        on_end: Callable[[attempt.Attempt], None],
    ) -> None:
        self._build = build
        self._paths = _paths(context, build)
        self._claim = claims.Claim(
            context.database, build, context.retry, self._paths
        )
        self._recorder = event_recorder.EventRecorder(
            context.database,
            self._claim,
            max_log_size=context.conf.conductor.max_log_size,
            paths=self._paths,
            on_step=_count_step,
            on_boot_test=_count_boot_test,
        )
        super().__init__(context, build.id, build, self._claim, on_end)
        self.driver = build.driver

    # -- the thread ---------------------------------------------------------

    def _attempt(self) -> None:
        LOG.info(
            'Starting build %s, attempt %d',
            self._build.id,
            self._build.attempt,
        )
        self._context.notifier.started(self._build)
        if self._build.attempt > 1:
            # Whoever made the one before may have gone without a look back.
            self._context.leftovers.add(
                self.driver, self._build.id, self._build.attempt - 1
            )
        is_made = False
        try:
            is_made = self._make_or_end()
        finally:
            # By now its row says that it has ended, however it has. What has
            # been made is asked about when it is adopted.
            if not is_made:
                self._context.leftovers.add(
                    self.driver, self._build.id, self._build.attempt
                )

    def _make_or_end(self) -> bool:
        """Make the image, or end or requeue the build.

        :returns: whether it is made.
        :raises ClaimLost: it is somebody else's now.
        :raises DatabaseUnavailable: the conductor shuts down.
        """
        try:
            self._make()
            self._count('active')
            return True
        except claims.Cancelled as reason:
            self._end('cancelled', reason=str(reason))
        except claims.Requeued as reason:
            self._claim.release(str(reason), counts=False)
            self._count('handed back')
        except claims.AttemptFailed as failed:
            self._failed(failed)
        return False

    def _make(self) -> None:
        """Make the image, keep its file, and queue its uploads.

        :raises Interrupted: it came to nothing.
        """
        self._recorder.note(
            f'Attempt {self._build.attempt} on {self._context.name}'
        )
        with attempt_failures.reported(
            f'build {self._build.id}', self._context.work_dir
        ):
            self._context.retry.until_available('a look', self._claim.look)
            self._expect()
            with self._workspace() as workspace:
                self._work(workspace)

    def _expect(self) -> None:
        """Say how long this may take, where that is known."""
        expected = estimates.expected(self._context.database, self._build)
        self._recorder.expect(expected)
        if expected:
            self._recorder.note(estimates.message(expected))

    def _work(self, workspace: attempt_workspace.AttemptWorkspace) -> None:
        supervisor = job_supervisor.JobSupervisor(
            self._context,
            self._claim,
            self._recorder,
            self._cancellation,
            workspace,
        )
        spec = self._spec(supervisor)
        result = supervisor.run(spec.to_document(), self._build.timeout)
        self._count_cache()
        if result.get('image'):
            self._list_contents(spec)
            self._leave_to_adoption(result['image'])
        else:
            self._keep(spec, result)

    def _keep(self, spec: specs.BuildSpec, result: Mapping[str, Any]) -> None:
        """Keep the file, and leave the rest to its uploads.

        :raises ClaimLost: the build is no longer ours.
        :raises Cancelled: it is no longer wanted.
        """
        build, images = self._build, self._context.repository
        facts = repository.Facts(
            build_id=build.id,
            project_id=build.project_id,
            content_key=build.content_key,
            disk_format=spec.disk_format,
            virtual_size=int(result.get('virtual_size') or 0),
        )
        kept = images.put(spec.output, facts)
        self._context.retry.until_available(
            'a finished image',
            lambda: self._context.database.add_artifact(
                images.id, self._context.name, kept.row()
            ),
        )
        try:
            self._list_contents(
                spec, {kept.checksum.algo: kept.checksum.value}
            )
            self._queue_uploads(repository=images.id, artifact=kept.id)
        except claims.Interrupted:
            images.remove(kept.id)
            raise
        self._remove_former()

    def _list_contents(
        self,
        spec: specs.BuildSpec,
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        contents.keep(
            self._context,
            self._build,
            spec.output.parent,
            self._recorder,
            checksums,
        )

    def _leave_to_adoption(self, made: Mapping[str, Any]) -> None:
        """Leave an image that a cloud has made to the upload that adopts it.

        :raises ClaimLost: the build is no longer ours.
        :raises Cancelled: it is no longer wanted.
        :raises AttemptFailed: it is in another cloud than was asked for.
        """
        try:
            image = artifacts.ImageArtifact.from_document(made)
        except (KeyError, TypeError, ValueError) as error:
            raise claims.AttemptFailed(
                f'The build job did not report what it made: {error!r}.'
            ) from error
        made_by = image.stamp.build_id, image.stamp.attempt
        if made_by != (self._build.id, self._build.attempt):
            raise claims.AttemptFailed(
                'The image was not made by this attempt.', retryable=False
            )
        wanted = self._build.request.get('destinations') or ['']
        if {*wanted} != {image.destination}:
            # The request was to be refused.
            raise claims.AttemptFailed(
                'The image was made in another cloud than was asked for.',
                retryable=False,
            )
        self._queue_uploads(made=image.to_document())

    def _queue_uploads(self, **what: Any) -> None:
        """Have what was made uploaded, or adopted.

        :param what: as of ``Database.start_uploads``.
        :raises ClaimLost: the build is no longer ours.
        :raises Cancelled: it is no longer wanted.
        """
        build = self._build
        self._recorder.flush_last()
        queued = self._context.retry.until_available(
            'the uploads',
            lambda: self._context.database.start_uploads(
                build.id,
                upload_rows.planned(self._context.job_config, build),
                **what,
                **claims.holder(build),
            ),
        )
        if queued is None:
            self._claim.look()
            raise claims.ClaimLost('the build has another owner')
        LOG.info('Build %s is made, and is to be uploaded', build.id)

    def _remove_former(self) -> None:
        """Remove files of attempts that died after they had put them in.

        What cannot be removed now goes when the repository is looked at.
        """
        if self._build.attempt == 1:
            return
        images = self._context.repository
        try:
            given_up = self._context.database.list_artifacts(
                build_id=self._build.id, status='removed'
            )
            for each in given_up:
                if each.repository_id == images.id:
                    images.remove(each.id)
        except (exception.DatabaseUnavailable, exception.EnvironmentFault):
            LOG.warning('Files of former attempts are removed later')

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[attempt_workspace.AttemptWorkspace]:
        workspace = attempt_workspace.AttemptWorkspace.make(
            self._context.work_dir, self._build.id, self._build.attempt
        )
        try:
            yield workspace
        finally:
            workspace.remove()

    def _spec(
        self, supervisor: job_supervisor.JobSupervisor
    ) -> specs.BuildSpec:
        """What the job is told."""
        build = self._build
        request = dict(build.request)
        if build.secrets:
            values = sealing.unseal(
                self._context.conf.encryption_keys, build.secrets
            )
            request['arguments'] = {**request.get('arguments', {}), **values}
        disk_format = upload_rows.disk_format(build)
        return specs.BuildSpec(
            request=request,
            base=drivers.BaseImage.from_dict(build.base),
            driver=build.driver,
            # As they were accepted, with what was in the catalogue then.
            driver_options=build.base.get('driver_options')
            or request.get('driver_options')
            or {},
            workspace=supervisor.directory,
            output=supervisor.directory / f'image.{disk_format}',
            disk_format=cast(drivers.OutputFormat, disk_format),
            config=conductor_context.unsigned(self._context.job_config()),
            steps_digest=build.base.get('steps_key'),
            project_id=build.project_id,
            build_id=build.id,
            attempt=build.attempt,
            timeout=build.timeout,
        )

    # -- the end ------------------------------------------------------------

    def _end(
        self, status: str, *, reason: str = '', fault: str | None = None
    ) -> None:
        self._note_last(reason or status)
        try:
            build = self._claim.finish(status, reason=reason, fault=fault)
        except claims.ClaimLost:
            if not self._is_ended():
                raise
            build = self._context.database.get_build(self._build.id)
        self._count(status)
        LOG.info('Ended build %s: %s %s', build.id, status, reason)
        build_end.announce(self._context, build)

    def _failed(self, failed: claims.AttemptFailed) -> None:
        LOG.warning('Attempt %d failed: %s', self._build.attempt, failed)
        failed = failed.with_reason(
            # A fault of the service is one of this host.
            self._paths.hide(str(failed), of_host=failed.fault == 'service')
        )
        if failed.lacks_room:
            self._lacks_room(failed)
            return
        most = self._context.conf.conductor.max_attempts
        if failed.retryable and self._build.failures < most:
            try:
                self._note_last(f'{failed} Another attempt follows.')
                self._cancellation.pause(
                    self._context.conf.conductor.retry_delay
                )
            except claims.Cancelled as reason:
                self._end('cancelled', reason=str(reason))
                return
            except claims.Requeued:
                pass
            self._claim.release(f'Attempt {self._build.attempt}: {failed}')
            self._count('retried')
            return
        self._end('error', reason=str(failed), fault=failed.fault)

    def _lacks_room(self, failed: claims.AttemptFailed) -> None:
        """Leave the build to whoever has the room, now or later."""
        requeues = self._build.requeues
        if requeues >= self._context.conf.conductor.max_requeues:
            reason = (
                f'{failed} It was given back to the queue '
                f'{counted(requeues, "time")}, and found no room.'
            )
            self._end('error', reason=reason, fault='service')
            return
        self._context.declined.add(self._build.id, requeues)
        message = f'{failed} The build waits for room in the queue.'
        self._note_last(f'{message} This attempt does not count.')
        self._claim.release(message, counts=False)
        self._count('no room')

    def _note_last(self, message: str) -> None:
        """Write the rest of the log before the row says it is the end."""
        self._recorder.note(message)
        self._recorder.flush_last()

    def _is_ended(self) -> bool:
        """Whether the end was written by a call whose answer was lost."""
        try:
            now = self._context.database.get_build(self._build.id)
        except exception.NotFound:
            return False
        return bool(
            now.conductor == self._context.name
            and now.attempt == self._build.attempt
            and now.status in statuses.ENDED
        )

    def _after_loss(self) -> None:
        self._count('lost')

    def _count(self, outcome: str) -> None:
        metrics.ATTEMPTS.labels(outcome).inc()

    def _count_cache(self) -> None:
        if self._build.base.get('kind') in ('glance', 'url'):
            found = 'miss' if self._recorder.has_downloaded else 'hit'
            metrics.CACHE.labels(found).inc()


def _paths(context: ConductorContext, build: db.Build) -> host_paths.HostPaths:
    """What stands for paths of this host in texts about a build."""
    location = str(build.base.get('location') or '')
    if not os.path.isabs(location):
        return context.paths
    return context.paths.also({location: 'base image'})


def _count_boot_test(passed: bool, seconds: float) -> None:
    metrics.BOOT_SECONDS.observe(seconds)
    if not passed:
        metrics.BOOT_FAILURES.inc()


def _count_step(validator: str, result: str, seconds: float) -> None:
    if result == 'cached':
        metrics.CACHED_STEPS.labels(validator).inc()
    else:
        metrics.STEP_SECONDS.labels(validator).observe(seconds)
