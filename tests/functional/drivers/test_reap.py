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
"""The job that has a driver remove what attempts have left."""

import uuid
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.drivers import base
from imagebuild.job import channel
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import reap
from imagebuild.job import specs
from tests import fake_glance


def test_one_that_stays_keeps_no_others(tmp_path):
    """A server that is deleted for ever is a common sight in clouds."""
    with fake_glance.FakeGlance() as glance:
        config = {
            **glance.config,
            'disks': {'cache_dir': str(tmp_path / 'cache')},
        }
        settings = base.Settings.from_config(config)
        attempts = [(str(uuid.uuid4()), 1) for _ in range(3)]
        ids = [
            glance.add(b'x', **settings.stamp(*each).properties())['id']
            for each in attempts
        ]
        glance.fail('DELETE', ids[0], 409, 'it is in use')
        spec = specs.ReapSpec('fake', attempts, config, 60.0, False)
        with pytest.raises(exception.ImageBuildError, match='in use'):
            reap.run(
                spec,
                mock.create_autospec(channel.Events, instance=True),
                mock.create_autospec(job_monitor.JobMonitor, instance=True),
                limits.Deadline(60.0, str),
            )
        assert list(glance.images) == ids[:1]
