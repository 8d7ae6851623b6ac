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
"""One attempt at one upload: a finished file to one destination.

The store marks the image with the id of the upload. So whoever comes after a
crash knows what to ask for, and each upload has one image however often it is
tried.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild import artifacts
from imagebuild import db
from imagebuild import exception
from imagebuild.common import phases
from imagebuild.common.counts import counted
from imagebuild.conductor import attempt
from imagebuild.conductor import attempt_failures
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import build_end
from imagebuild.conductor import claims
from imagebuild.conductor import event_recorder
from imagebuild.conductor import image_copies
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import metrics
from imagebuild.conductor import upload_claim
from imagebuild.conductor import upload_rows
from imagebuild.conductor import upload_source
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.destinations import Destination
from imagebuild.job import specs

LOG = logging.getLogger(__name__)

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 300.0


class UploadAttempt(attempt.Attempt):
    """An attempt at an upload.

    :param job: as it was claimed.
    :param build: that it is for.
    """

    kind = 'upload'

    def __init__(
        self,
        context: ConductorContext,
        job: db.Job,
        build: db.Build,
        row: db.Upload,
        on_end: Callable[[attempt.Attempt], None],
    ) -> None:
        self._build = build
        self._job = job
        self._row = row
        self._source = upload_source.UploadSource(context, job)
        shows = build.status == 'uploading' and (
            row.destination == upload_rows.primary(build.request)
        )
        self._claim = upload_claim.UploadClaim(
            context.database,
            job,
            build,
            context.retry,
            context.paths,
            shows=shows,
        )
        self._recorder = event_recorder.EventRecorder(
            context.database,
            self._claim,
            max_log_size=context.conf.conductor.max_log_size,
            paths=context.paths,
        )
        self._recorder.resume(build.phases)
        super().__init__(context, job.id, build, self._claim, on_end)

    def _attempt(self) -> None:
        LOG.info(
            'Starting upload %s of build %s to %s, attempt %d',
            self._job.id,
            self._build.id,
            self._where,
            self._job.attempt,
        )
        try:
            self._upload_or_end()
        finally:
            if (made := self._made) is not None:
                # What it has made is adopted, or to be removed.
                self._context.leftovers.add(
                    self._build.driver,
                    made.stamp.build_id,
                    made.stamp.attempt,
                )

    def _upload_or_end(self) -> None:
        """Upload the file, and end or requeue the upload.

        :raises ClaimLost: it is somebody else's now.
        :raises DatabaseUnavailable: the conductor shuts down.
        """
        try:
            self._context.retry.until_available('a look', self._claim.look)
            image = self._upload()
        except claims.Cancelled as reason:
            self._give_up(str(reason), state='cancelled')
        except claims.Requeued as reason:
            self._claim.release(str(reason), counts=False)
        except claims.SourceUnusable as failed:
            self._from_elsewhere(self._shown(failed))
        except claims.AttemptFailed as failed:
            self._failed(failed)
        else:
            self._arrived(image)

    @property
    def _where(self) -> str:
        return self._row.destination or 'this cloud'

    @property
    def _made(self) -> artifacts.ImageArtifact | None:
        """The image that is adopted, if it is no file that is uploaded."""
        made = self._job.spec.get('made')
        return artifacts.ImageArtifact.from_document(made) if made else None

    def _upload(self) -> dict[str, Any]:
        """Upload the file.

        :returns: the image, as ``UploadOutcome`` wants it.
        :raises Interrupted: it came to nothing.
        """
        with attempt_failures.reported(
            f'upload {self._job.id}', self._context.work_dir
        ):
            config = self._context.job_config(self._row.destination)
            try:
                with self._workspace() as workspace:
                    return self._run_job(workspace, config)
            except exception.SourceUnusable as error:
                raise claims.SourceUnusable(str(error)) from error

    @contextlib.contextmanager
    def _workspace(self) -> Any:
        workspace = attempt_workspace.AttemptWorkspace.make(
            self._context.work_dir, self._job.id, self._job.attempt
        )
        try:
            yield workspace
        finally:
            workspace.remove()

    def _run_job(
        self,
        workspace: attempt_workspace.AttemptWorkspace,
        config: Mapping[str, Any],
    ) -> dict[str, Any]:
        destination = Destination.from_document(config['destination'])
        spec = self._spec(config, destination.timeout)
        supervisor = job_supervisor.JobSupervisor(
            self._context,
            self._claim,
            self._recorder,
            self._cancellation,
            workspace,
        )
        supervisor.report({'event': 'phase', 'phase': phases.UPLOAD})
        progress = upload_rows.UploadProgress(self._claim, supervisor.report)

        def take(event: Mapping[str, Any]) -> None:
            if not self._source.event(event):
                progress.event(event)

        try:
            result = supervisor.run(
                spec.to_document(),
                destination.timeout,
                on_event=take,
                on_tick=progress.write,
            )
        except claims.AttemptFailed as failed:
            if self._source.is_unusable:
                raise claims.SourceUnusable(str(failed)) from failed
            raise
        if spec.source is not None:
            self._source.keep(spec.source.artifact)
        try:
            return {
                'image_id': str(result['image_id']),
                # A cloud that converts images has made another one of it.
                'disk_format': str(
                    result.get('disk_format') or spec.disk_format
                ),
                'container_format': spec.container_format,
                'size': int(result['size']),
                'os_hash_algo': str(result['os_hash_algo']),
                'os_hash_value': str(result['os_hash_value']),
            }
        except (KeyError, TypeError, ValueError) as error:
            raise claims.AttemptFailed(
                f'The upload job did not report what it made: {error!r}.'
            ) from error

    def _spec(
        self, config: Mapping[str, Any], timeout: int
    ) -> specs.UploadSpec:
        build = self._build
        repository = self._context.repository
        return specs.UploadSpec(
            upload_id=self._job.id,
            build_id=build.id,
            project_id=build.project_id,
            destination=self._row.destination,
            store=str(config['destination']['store']),
            repository=repository.directory,
            artifact=str(self._job.spec.get('artifact') or ''),
            disk_format=self._row.disk_format,
            container_format=str(self._job.spec['container_format']),
            image={
                **upload_rows.metadata(build),
                'name': build.name,
                'owner': build.project_id,
            },
            content_key=build.content_key,
            config=config,
            copies=image_copies.in_other_regions(
                build.images, config, self._context.job_config
            ),
            timeout=timeout,
            source=self._source.spec(),
            made=self._made,
        )

    # -- the end ------------------------------------------------------------

    def _arrived(self, image: Mapping[str, Any]) -> None:
        if self._made is None:
            metrics.UPLOAD_BYTES.inc(image['size'])
        if self._row.destination:
            self._recorder.note(f'The image is in {self._where}')
        if self._claim.shows:
            self._recorder.complete()
        self._recorder.flush_last()
        self._finish(db.UploadOutcome(image=image))

    def _failed(self, failed: claims.AttemptFailed) -> None:
        reason = self._shown(failed)
        LOG.warning(
            'Attempt %d at upload %s failed: %s',
            self._job.attempt,
            self._job.id,
            failed,
        )
        if failed.lacks_room:
            self._lacks_room(reason)
            return
        if failed.retryable and self._job.failures < self._attempts():
            self._recorder.note(f'{reason} Another attempt follows.')
            self._recorder.flush_last()
            delay = min(
                _FIRST_PAUSE * 2 ** (self._job.failures - 1), _LONGEST_PAUSE
            )
            self._claim.release(reason, delay=delay)
            self.retry_after = delay
            return
        self._give_up(reason, fault=failed.fault)

    def _lacks_room(self, reason: str) -> None:
        """Leave it to whoever has the room, now or later."""
        requeues = self._job.requeues
        if requeues >= self._context.conf.conductor.max_requeues:
            reason = (
                f'{reason} It was given back to the queue '
                f'{counted(requeues, "time")}, and found no room.'
            )
            self._give_up(reason, fault='service')
            return
        self._context.declined.add(self._job.id, requeues)
        message = f'{reason} The upload waits for room in the queue.'
        self._recorder.note(f'{message} This attempt does not count.')
        self._recorder.flush_last()
        self._claim.release(message, counts=False)

    def _from_elsewhere(self, reason: str) -> None:
        self._recorder.note(reason)
        self._recorder.flush_last()
        if not self._source.look_elsewhere():
            self._give_up(reason, fault='service')

    def _shown(self, failed: claims.AttemptFailed) -> str:
        return self._context.paths.hide(
            str(failed), of_host=failed.fault == 'service'
        )

    def _attempts(self) -> int:
        try:
            config = self._context.job_config(self._row.destination)
        except exception.ImageBuildError:
            return 1
        return Destination.from_document(config['destination']).attempts

    def _give_up(
        self, reason: str, *, state: str = 'error', fault: str | None = None
    ) -> None:
        """End it without an image; what is left of one goes first."""
        # A cloud that hangs hangs now, too: the reason does not wait for it.
        self._claim.note({'status_reason': self._claim.shown(reason)})
        self._context.retry.until_done(
            lambda: upload_rows.discard(
                self._context, self._row, self._build.content_key
            ),
            self._context.conf.conductor.upload_attempts,
        )
        self._recorder.note(f'Upload to {self._where}: {reason}')
        self._recorder.flush_last()
        self._finish(
            db.UploadOutcome(self._claim.shown(reason), state, fault=fault)
        )

    def _finish(self, outcome: db.UploadOutcome) -> None:
        build = self._claim.finish(outcome)
        LOG.info(
            'Ended upload %s of build %s: %s',
            self._job.id,
            self._build.id,
            outcome.reason or 'active',
        )
        if self._build.status == 'uploading' and build.status != 'uploading':
            build_end.announce(self._context, build)
