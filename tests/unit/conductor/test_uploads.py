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
"""One disk to several destinations: what is sent is the same everywhere."""

import hashlib
from unittest import mock

import pytest

from imagebuild import db
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import uploads

DISK = b'a disk'
DIGEST = hashlib.sha512(DISK).hexdigest()


def at_once(*arguments, **_more):
    """RetryPolicy's methods, without waiting: the call is among them."""
    [call] = [argument for argument in arguments if callable(argument)]
    return call()


@pytest.fixture
def claim():
    made = mock.create_autospec(claims.Claim, instance=True)
    made.build = mock.create_autospec(db.Build, instance=True)
    made.build.id = '4fb9c1e2-0000-4000-8000-000000000001'
    made.build.name, made.build.project_id = 'web', 'p1'
    made.build.attempt, made.build.content_key = 1, 'k'
    made.build.request = {'destinations': ['', 'north', 'south']}
    return made


@pytest.fixture
def context():
    made = mock.Mock()
    made.name = 'c1'
    made.retry.until_available.side_effect = at_once
    made.retry.while_store_unavailable.side_effect = at_once
    made.database.list_uploads.return_value = []
    made.database.create_upload.side_effect = lambda values: mock.Mock(
        id=values['id'], destination=values['destination']
    )
    made.job_config.return_value = {'destination': {'store': 'file'}}
    return made


@pytest.fixture
def supervisor():
    made = mock.create_autospec(job_supervisor.JobSupervisor, instance=True)
    made.run.return_value = {
        'image_id': 'i',
        'size': len(DISK),
        'os_hash_algo': 'sha512',
        'os_hash_value': DIGEST,
    }
    return made


def test_the_first_says_what_the_others_must_be(context, claim, supervisor):
    token = mock.create_autospec(cancellation.CancellationToken, instance=True)
    made = uploads.Uploads(context, claim, token)
    made.run(supervisor, {'path': '/disk', 'size': len(DISK)})
    sent = [call.args[0] for call in supervisor.run.mock_calls]
    assert [each['destination'] for each in sent] == ['', 'north', 'south']
    # Nobody has read the disk before the first reads it.
    assert sent[0]['hash'] is None
    expected = {'algo': 'sha512', 'value': DIGEST}
    assert [each['hash'] for each in sent[1:]] == [expected] * 2
