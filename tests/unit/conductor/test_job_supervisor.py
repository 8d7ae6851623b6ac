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
from imagebuild.conductor import job_supervisor


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
