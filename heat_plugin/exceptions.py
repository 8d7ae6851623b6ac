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
"""Errors of the resource.

Heat creates a resource again, up to five times, when its plugin raises
``ResourceInError`` or what the client plugin calls a conflict. A broken
recipe stays broken, and the service itself has retried other failures. So
neither is ever raised: these are plain errors, and one build is made.
"""

from __future__ import annotations

from heat.common import exception

from imagebuild.client import exceptions

#: The service is unavailable or has failed: the request itself may be right,
#: and a retry later may succeed.
UNAVAILABLE = (exceptions.ConnectionFailed, exceptions.ServerError)


class ImageBuildFailed(exception.Error):
    """There is no image; the message says why."""


class MachinesNotAsDescribed(exception.Error):
    """A machine does not conform; the message says which, and why."""


class ImageBuildRefused(exception.Error):
    """The service did not accept a request; the message says why."""


class ImageNotAsBuilt(exception.Error):
    """The image is gone or is not what was built."""


class LookupFailed(exception.Error):
    """A name could not be looked up; the message says why."""


class GlanceUnavailable(exception.Error):
    """Glance could not look up an image; the message says why.

    Nothing is known of the value, and a retry later may succeed.
    """


class UnknownName(exception.EntityNotFound):
    """The service does not have a name; the message lists those it has."""

    msg_fmt = 'There is no %(entity)s "%(name)s"; there is: %(known)s.'
