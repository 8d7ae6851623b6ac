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
import types
from unittest import mock

import pytest

from imagebuild.conductor import claims
from imagebuild.conductor import event_recorder
from imagebuild.conductor import job_process
from imagebuild.conductor import job_supervisor
from imagebuild.job import limits


@pytest.mark.parametrize(
    'step, message',
    [
        ({'exit_code': 7, 'command': 'x.sh'}, 'exit code 7: x.sh'),
        ({'exit_code': 0, 'command': 'x.sh'}, 'exit code 0: x.sh'),
        (
            {'exit_code': None, 'command': 'x.sh'},
            'x.sh: did not end by itself',
        ),
        ({'command': 'x.sh'}, 'x.sh: did not end by itself'),
        ({}, 'the step: did not end by itself'),
        ({'message': 'It is gone.', 'command': 'x'}, 'It is gone.'),
    ],
)
def test_what_the_failed_step_says(step, message):
    written = mock.create_autospec(event_recorder.EventRecorder, instance=True)
    written.failed_paths = set()
    job = types.SimpleNamespace(
        last={
            'event': 'failed',
            'fault': 'user',
            'reason': 'It failed.',
            'step': {'path': 'validators[0].script', **step},
        }
    )
    with pytest.raises(claims.AttemptFailed, match='It failed'):
        job_supervisor._result(job, 1, written)
    [called] = written.event.call_args_list
    assert called.args[0]['message'] == message


@pytest.mark.parametrize('action', ['build', 'upload'])
def test_a_host_without_room(monkeypatch, tmp_path, action):
    """What an upload writes on this host is not held against it either."""
    job = mock.create_autospec(job_process.JobProcess, instance=True)
    job.poll.return_value = 1
    job.last = {'event': 'failed', 'reason': 'No room.', 'lacks_room': True}
    monkeypatch.setattr(
        job_supervisor.job_process,
        'JobProcess',
        mock.create_autospec(job_process.JobProcess, return_value=job),
    )
    context, workspace = mock.MagicMock(), mock.Mock(path=tmp_path)
    context.conf.disks.max_build_size = 0
    context.conf.disks.space_reserve = 0
    supervisor = job_supervisor.JobSupervisor(
        context, mock.Mock(), mock.Mock(), mock.Mock(), workspace
    )
    with pytest.raises(claims.AttemptFailed, match='No room') as info:
        supervisor.run({'action': action}, 60)
    assert info.value.lacks_room and info.value.retryable


@pytest.mark.parametrize('starts', [20.0, None])
def test_a_job_counts_its_time_from_its_start(monkeypatch, tmp_path, starts):
    """Or it is ended before it can say what took its time."""
    now = [1000.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(job_supervisor, 'time', clock)
    job = mock.create_autospec(job_process.JobProcess, instance=True)
    job.poll.return_value = job.started_at = None
    job.has_closed_its_output = False
    monkeypatch.setattr(
        job_supervisor.job_process,
        'JobProcess',
        mock.create_autospec(job_process.JobProcess, return_value=job),
    )
    token = mock.Mock()

    def wait(seconds):
        now[0] += seconds
        if starts is not None and now[0] >= 1000 + starts:
            job.started_at = job.started_at or now[0]

    token.wait.side_effect = wait
    supervisor = job_supervisor.JobSupervisor(
        mock.MagicMock(), mock.Mock(), mock.Mock(), token, mock.MagicMock()
    )
    with pytest.raises(claims.AttemptFailed, match='its time is up'):
        supervisor.run({'action': 'upload'}, 30)
    # And what the guest's own clock has (limits.Deadline).
    assert now[0] - 1000 > (starts or 60) + 30 + limits._HEAD_START
    assert now[0] - 1000 < (starts or 60) + 30 + 15
