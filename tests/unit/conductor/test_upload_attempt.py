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
"""What follows from how an upload ended."""

from unittest import mock

import pytest

from imagebuild import db
from imagebuild import exception
from imagebuild.common import host_paths
from imagebuild.conductor import claims
from imagebuild.conductor import upload_attempt

BUILD = '4fb9c1e2-0000-4000-8000-000000000001'


def at_once(*arguments, **_more):
    """RetryPolicy's methods, without waiting: the call is among them."""
    return next(each for each in arguments if callable(each))()


@pytest.fixture
def context(tmp_path):
    made = mock.Mock()
    made.name, made.work_dir = 'c1', tmp_path
    made.conf.conductor.max_log_size = 1000
    made.paths = host_paths.HostPaths({})
    made.retry.until_available.side_effect = at_once
    made.retry.until_done.side_effect = at_once
    made.job_config.return_value = {
        'destination': {'name': 'north', 'store': 'file', 'attempts': 3}
    }
    made.database.finish_upload.return_value = mock.Mock(status='active')
    return made


def job(failures=1):
    made = mock.create_autospec(db.Job, instance=True)
    made.id, made.conductor, made.attempt = 'u1', 'c1', failures
    made.failures, made.spec, made.requeues = failures, {}, 0
    return made


def attempt(context, monkeypatch, outcome, failures=1):
    """Make an attempt that ends in a way."""
    build = mock.create_autospec(db.Build, instance=True)
    build.id, build.status, build.phases = BUILD, 'active', []
    build.name, build.project_id, build.content_key = 'web', 'p1', 'k'
    build.request = {'name': 'web'}
    row = mock.create_autospec(db.Upload, instance=True)
    row.id, row.build_id, row.destination = 'u1', BUILD, 'north'
    claim = mock.MagicMock(shows=False)
    claim.shown.side_effect = str
    context.claim = claim
    monkeypatch.setattr(
        upload_attempt.upload_claim,
        'UploadClaim',
        mock.Mock(return_value=claim),
    )
    made = upload_attempt.UploadAttempt(
        context, job(failures), build, row, mock.Mock()
    )
    monkeypatch.setattr(made, '_upload', mock.Mock(side_effect=[outcome]))
    made._attempt()
    return claim


@pytest.mark.parametrize('failures, pause', [(1, 2), (2, 4), (12, 300)])
def test_another_attempt_waits_longer(context, monkeypatch, failures, pause):
    context.job_config.return_value['destination']['attempts'] = 20
    failed = claims.AttemptFailed('The cloud is away.', retryable=True)
    claim = attempt(context, monkeypatch, failed, failures)
    claim.release.assert_called_once_with('The cloud is away.', delay=pause)
    assert not claim.finish.called
    # What has arrived is found again by the next one.
    assert not context.open_store.called


@pytest.mark.parametrize('retryable, failures', [(True, 3), (False, 1)])
def test_the_last_attempt(context, monkeypatch, retryable, failures):
    failed = claims.AttemptFailed('It is full.', retryable=retryable)
    claim = attempt(context, monkeypatch, failed, failures)
    assert not claim.release.called
    [outcome] = claim.finish.call_args.args
    assert (outcome.reason, outcome.state) == ('It is full.', 'error')
    assert context.open_store.return_value.discard.called


def test_the_reason_does_not_wait_for_the_rest(context, monkeypatch):
    """A cloud that hangs does so when what is left is to be removed, too."""
    seen = []
    context.retry.until_done.side_effect = lambda *_: seen.append(
        context.claim.note.call_args
    )
    failed = claims.AttemptFailed('It hangs.', retryable=False)
    attempt(context, monkeypatch, failed)
    assert seen == [mock.call({'status_reason': 'It hangs.'})]


def test_there_is_no_room(context, monkeypatch):
    context.conf.conductor.max_requeues = 10
    failed = claims.AttemptFailed('No room.', lacks_room=True)
    # It would have been the last one.
    claim = attempt(context, monkeypatch, failed, failures=3)
    claim.release.assert_called_once_with(
        'No room. The upload waits for room in the queue.', counts=False
    )
    # Any other conductor may have it at once.
    context.declined.add.assert_called_once_with('u1', 0)
    assert not claim.finish.called


def test_there_never_is_room(context, monkeypatch):
    context.conf.conductor.max_requeues = 0
    failed = claims.AttemptFailed('No room.', lacks_room=True)
    claim = attempt(context, monkeypatch, failed)
    [outcome] = claim.finish.call_args.args
    assert outcome.reason == (
        'No room. It was given back to the queue 0 times, and found no room.'
    )
    assert (outcome.fault, outcome.state) == ('service', 'error')


def test_cancelled(context, monkeypatch):
    claim = attempt(context, monkeypatch, claims.Cancelled('on request'))
    [outcome] = claim.finish.call_args.args
    assert outcome.state == 'cancelled'
    assert context.open_store.return_value.discard.called


def test_the_conductor_stops(context, monkeypatch):
    claim = attempt(context, monkeypatch, claims.Requeued('c1 stops.'))
    claim.release.assert_called_once_with('c1 stops.', counts=False)


def test_what_is_left_of_one_may_stay_for_the_reaper(context, monkeypatch):
    context.open_store.side_effect = exception.EnvironmentFault('It is away.')
    claim = attempt(context, monkeypatch, claims.Cancelled('on request'))
    assert claim.finish.called


# -- an image that gives its file back ----------------------------------------


@pytest.mark.parametrize('left', [True, False])
def test_its_source_is_unusable(context, monkeypatch, left):
    """Another one is looked for at once; a further attempt is of no use."""
    context.database.another_source.return_value = left
    claim = attempt(context, monkeypatch, claims.SourceUnusable('It is gone.'))
    assert not claim.release.called
    assert claim.finish.called is not left
