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

An attempt is a thread. What it does in order: make a workspace; if an
earlier attempt may have got as far, look for its image in the store; run the
build job; upload; remove the workspace; end the row. Everything that can go
wrong ends in one of the exceptions of :mod:`imagebuild.conductor.claims`, and
those in one of three: the row is ended, requeued, or left to its new owner.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild import sealing
from imagebuild.common import host_paths
from imagebuild.common import statuses
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import estimates
from imagebuild.conductor import event_recorder
from imagebuild.conductor import image_update
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import metrics
from imagebuild.conductor import request_log
from imagebuild.conductor import uploads
from imagebuild.conductor.conductor_context import ConductorContext

LOG = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Attempt:
    """An attempt of a build.

    :param build: as it was claimed.
    :param on_end: called when nothing of it is left here.
    """

    def __init__(
        self,
        context: ConductorContext,
        build: db.Build,
        on_end: Callable[[str], None],
    ) -> None:
        self._context = context
        self._build = build
        self._on_end = on_end
        self._paths = _paths(context, build)
        self._claim = claims.Claim(
            context.database, build, context.retry, self._paths
        )
        self._cancellation = cancellation.CancellationToken(self._claim)
        self._uploads = uploads.Uploads(
            context, self._claim, self._cancellation
        )
        self._recorder = event_recorder.EventRecorder(
            context.database,
            self._claim,
            max_log_size=context.conf.conductor.max_log_size,
            paths=self._paths,
            on_step=_count_step,
        )
        self._thread = threading.Thread(
            target=self._run, name=f'build-{build.id}', daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, reason: claims.Interrupted) -> None:
        """Have it end for this reason; returns at once."""
        self._cancellation.stop(reason)

    def join(self, seconds: float) -> bool:
        """Wait for its end.

        :returns: whether it has ended.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # -- the thread ---------------------------------------------------------

    def _run(self) -> None:
        request_log.enter(self._build)
        try:
            self._attempt()
        except claims.ClaimLost as lost:
            LOG.warning('Claim lost, its work is discarded: %s', lost)
            self._count('lost')
            self._after_loss()
        except exception.DatabaseUnavailable as error:
            # Only at shutdown: until then the retry policy waits. The row
            # still names us, and is requeued by our next process or, after
            # dead_after, by another conductor.
            LOG.error('Build left to other conductors: %s', error)
        except Exception:
            LOG.exception('Unexpected error in build %s', self._build.id)
        finally:
            self._on_end(self._build.id)

    def _attempt(self) -> None:
        LOG.info(
            'Starting build %s, attempt %d',
            self._build.id,
            self._build.attempt,
        )
        self._context.notifier.started(self._build)
        try:
            image = self._make()
            self._end('active', image=image)
        except claims.Cancelled as reason:
            self._uploads.discard()
            self._end('cancelled', reason=str(reason))
        except claims.Requeued as reason:
            self._claim.release(str(reason), counts=False)
            self._count('handed back')
        except claims.AttemptFailed as failed:
            self._failed(failed)

    def _make(self) -> dict[str, Any]:
        """Make the image and put it where it is wanted.

        :returns: it, as ``finish_build`` wants it.
        :raises Interrupted: it came to nothing.
        """
        self._recorder.note(
            f'Attempt {self._build.attempt} on {self._context.name}'
        )
        try:
            self._context.retry.until_available('a look', self._claim.look)
            self._expect()
            with self._workspace() as workspace:
                return self._work(workspace)
        except exception.DatabaseUnavailable:
            raise
        except exception.ImageBuildError as error:
            raise claims.AttemptFailed.from_error(error) from error
        except OSError as error:
            raise claims.AttemptFailed(
                f'The conductor cannot work in '
                f'{self._context.work_dir}: {error.strerror or error}.',
                lacks_room=error.errno in _FULL,
            ) from error
        except claims.Interrupted:
            raise
        except Exception as error:
            LOG.exception('Unexpected error in build %s', self._build.id)
            raise claims.AttemptFailed(
                f'Unexpected {type(error).__name__} in the conductor.'
            ) from error

    def _expect(self) -> None:
        """Say how long this may take, where that is known."""
        expected = estimates.expected(self._context.database, self._build)
        self._recorder.expect(expected)
        if expected:
            self._recorder.note(estimates.message(expected))

    def _work(
        self, workspace: attempt_workspace.AttemptWorkspace
    ) -> dict[str, Any]:
        if self._build.attempt > 1:
            found = self._uploads.find_finished()
            if found is not None:
                self._recorder.note(
                    'The image of an earlier attempt is complete'
                )
                return found
        supervisor = job_supervisor.JobSupervisor(
            self._context,
            self._claim,
            self._recorder,
            self._cancellation,
            workspace,
        )
        result = supervisor.run(self._request(supervisor), self._build.timeout)
        self._count_cache()
        return self._uploads.run(supervisor, result)

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[attempt_workspace.AttemptWorkspace]:
        workspace = attempt_workspace.AttemptWorkspace.make(
            self._context.work_dir, self._build.id, self._build.attempt
        )
        try:
            yield workspace
        finally:
            workspace.remove()

    def _request(
        self, supervisor: job_supervisor.JobSupervisor
    ) -> dict[str, Any]:
        """The document of the build job."""
        build = self._build
        request = dict(build.request)
        if build.secrets:
            values = sealing.unseal(
                self._context.conf.encryption_keys, build.secrets
            )
            request['arguments'] = {**request.get('arguments', {}), **values}
        disk_format = request.get('disk_format') or 'qcow2'
        return {
            'action': 'build',
            'build_id': build.id,
            'attempt': build.attempt,
            'project_id': build.project_id,
            'workspace': str(supervisor.directory),
            'request': request,
            'base': build.base,
            'driver': build.driver,
            # As they were accepted, with what was in the catalogue then.
            'driver_options': build.base.get('driver_options')
            or request.get('driver_options')
            or {},
            'timeout': build.timeout,
            'output': str(supervisor.directory / f'image.{disk_format}'),
            'disk_format': disk_format,
            'config': self._context.job_config(),
        }

    # -- the end ------------------------------------------------------------

    def _end(
        self,
        status: str,
        *,
        reason: str = '',
        fault: str | None = None,
        image: Mapping[str, Any] | None = None,
    ) -> None:
        if status == 'active':
            self._recorder.complete()
        self._note_last(reason or status)
        try:
            build = self._claim.finish(
                status, reason=reason, fault=fault, image=image
            )
        except claims.ClaimLost:
            if not self._is_ended_so(image):
                raise
            build = self._context.database.get_build(self._build.id)
        self._count(status)
        LOG.info('Ended build %s: %s %s', build.id, status, reason)
        self._notify(build)

    def _notify(self, build: db.Build) -> None:
        """Notify of the end of a build, and of those that waited for it."""
        notifier = self._context.notifier
        notifier.ended(build)
        try:
            followers = self._context.database.list_ended_with(build)
            for follower in followers:
                notifier.ended(follower)
            if followers and build.status == 'active':
                image_update.settle(
                    self._context.database, self._context.open_store, build.id
                )
        except exception.DatabaseUnavailable as error:
            LOG.warning(
                'No notification for the builds that waited: %s', error
            )

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
                self._uploads.discard()
                self._end('cancelled', reason=str(reason))
                return
            except claims.Requeued:
                pass
            self._claim.release(f'Attempt {self._build.attempt}: {failed}')
            self._count('retried')
            return
        self._uploads.discard()
        self._end('error', reason=str(failed), fault=failed.fault)

    def _lacks_room(self, failed: claims.AttemptFailed) -> None:
        """Leave the build to whoever has the room, now or later."""
        requeues = self._build.requeues
        if requeues >= self._context.conf.conductor.max_requeues:
            self._uploads.discard()
            reason = (
                f'{failed} It was given back to the queue {requeues} times, '
                'and found no room.'
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

    def _is_ended_so(self, image: Mapping[str, Any] | None) -> bool:
        """Whether the end was written by a call whose answer was lost."""
        try:
            now = self._context.database.get_build(self._build.id)
        except exception.NotFound:
            return False
        return bool(
            now.conductor == self._context.name
            and now.attempt == self._build.attempt
            and now.status in statuses.ENDED
            and (image is None or now.image_id == image['image_id'])
        )

    def _after_loss(self) -> None:
        """Leave no image behind that nobody will ever ask for.

        A new owner looks for it; a build that has ended or was deleted has
        none, unless its row names the very image.
        """
        try:
            now = self._context.database.get_build(self._build.id)
            abandoned = now.status in statuses.WITHOUT_IMAGE
        except exception.NotFound:
            abandoned = True
        except exception.DatabaseUnavailable:
            abandoned = False
        if abandoned:
            self._uploads.discard()

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


def _count_step(validator: str, result: str, seconds: float) -> None:
    if result == 'cached':
        metrics.CACHED_STEPS.labels(validator).inc()
    else:
        metrics.STEP_SECONDS.labels(validator).observe(seconds)
