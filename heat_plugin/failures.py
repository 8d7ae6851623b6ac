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
"""What the resource raises.

Heat creates a resource again, up to five times, when its plugin raises
``ResourceInError`` or what the client plugin calls a conflict. A recipe that
is broken stays broken, and what failed for other reasons has been tried again
by the service. So neither is ever raised: these are plain errors, and one
build is made.
"""

from __future__ import annotations

from heat.common import exception

from imagebuild.client import exceptions

#: The service is away, or something is wrong with it: what was asked may be
#: right, and asking again later may help.
AWAY = (exceptions.ConnectionFailed, exceptions.ServerError)


class ImageBuildFailed(exception.Error):
    """There is no image, and the text says why."""


class ImageBuildRefused(exception.Error):
    """The service did not take a request, and the text says why."""


class ImageNotAsBuilt(exception.Error):
    """The image is gone or is not what was built."""


class NotLookedUp(exception.Error):
    """The service does not say which names it has, and the text why."""


class GlanceAway(exception.Error):
    """Glance does not say which images it has, and the text why.

    Nothing is known of the value, and asking again later may help.
    """


class UnknownName(exception.EntityNotFound):
    """A name that the service does not have, with those that it has."""

    msg_fmt = 'There is no %(entity)s "%(name)s"; there is: %(known)s.'
