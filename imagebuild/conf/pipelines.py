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
"""``[pipelines]``."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'pipelines',
    title='Pipelines',
    help='Images that are built again and again.',
)

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'min_interval',
        default=300,
        min=60,
        mutable=True,
        help="""
Seconds that must lie between two runs of a pipeline at least.

A request for a schedule or an age that would run more often is refused. It
counts when a pipeline is made or changed: those that are there keep their
schedule. Quotas hold for builds of pipelines, too.
""",
    ),
    cfg.IntOpt(
        'max_keep',
        default=20,
        min=2,
        mutable=True,
        help="""
Images that one pipeline may keep at most.

They take room in the image service. [quota] stored_bytes limits those of all
pipelines and builds of a project together.
""",
    ),
]
