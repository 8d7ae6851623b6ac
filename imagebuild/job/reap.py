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
"""Has a driver remove what attempts have left in a cloud."""

from __future__ import annotations

import logging
from typing import Any

from imagebuild import exception
from imagebuild.drivers import base as drivers
from imagebuild.drivers import registry
from imagebuild.job import channel
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import specs

LOG = logging.getLogger(__name__)


class ReapTimeout(exception.EnvironmentFault):
    """A driver used up the time that it has to reap."""

    msg_fmt = (
        'The time limit of %(seconds)s second%(s)s was up during: %(what)s.'
    )


#: Attempts in one answer; others are found when these are gone.
_MOST = 10_000


def run(
    spec: specs.ReapSpec,
    events: channel.Events,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> dict[str, Any]:
    """Reap attempts, and look what is left.

    One that cannot be reaped does not keep the others waiting.

    :returns: ``result`` of the last event.
    :raises ImageBuildError: something is left, or nobody knows.
    """
    driver = registry.get(spec.driver)
    settings = drivers.Settings.from_config(
        spec.config, run_timeout=deadline.left()
    )
    reaped, failed = 0, None
    for build_id, attempt in spec.attempts:
        monitor.turn_to(f'what attempt {attempt} of {build_id} has left')
        try:
            reaped += driver.reap(settings.stamp(build_id, attempt), settings)
        except exception.ImageBuildError as error:
            failed = failed or error
            LOG.warning('Of attempt %d of %s: %s', attempt, build_id, error)
    if failed is not None:
        raise failed
    left: set[tuple[str, int]] = set()
    if spec.look:
        monitor.turn_to('what attempts have left')
        for each in driver.left_behind(settings.service_id(), settings):
            left.add(each)
            if len(left) == _MOST:
                break
    return {'reaped': reaped, 'left': sorted(left)}
