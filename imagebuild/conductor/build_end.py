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
"""What follows the end of a build."""

from __future__ import annotations

import logging

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import image_update
from imagebuild.conductor.conductor_context import ConductorContext

LOG = logging.getLogger(__name__)


def announce(context: ConductorContext, build: db.Build) -> None:
    """Notify of the end of a build, and of those that waited for it."""
    context.notifier.ended(build)
    try:
        followers = context.database.list_ended_with(build)
        for follower in followers:
            context.notifier.ended(follower)
        if followers and build.status == 'active':
            image_update.settle(
                context.database, context.open_store, build, followers
            )
    except exception.DatabaseUnavailable as error:
        LOG.warning('No notification for the builds that waited: %s', error)
