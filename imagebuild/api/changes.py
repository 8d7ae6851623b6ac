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
"""A request to say something else about an image: judged and completed."""

from __future__ import annotations

import logging
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.api import call as calls
from imagebuild.api import submission
from imagebuild.api import validation
from imagebuild.api.schemas import description as schemas

LOG = logging.getLogger(__name__)


#: What a further build of an image may want beyond what others do.
_WANTED = (
    *('protected', 'tags', 'members', 'properties', 'min_disk', 'min_ram'),
)


def join(call: calls.Call, build: db.Build) -> None:
    """Have an image that is reused be what this build wants as well.

    The image is there and can be used: should no conductor be able to
    change it now, the next change of one of its builds does.
    """
    if build.status != 'active' or not any(
        build.request.get(name) for name in _WANTED
    ):
        return
    try:
        problems = call.conductor_api.update_image(
            build.id, {}, context=call.context.to_dict()
        )
    except (exception.EnvironmentFault, exception.NotFound) as error:
        problems = [{'path': '', 'message': str(error)}]
    for problem in problems:
        LOG.warning(
            'The image of build %s stays as it is: %s',
            build.id,
            problem['message'],
        )


def prepare(call: calls.Call, build: db.Build) -> dict[str, Any]:
    """Judge the request of a call.

    :returns: the fields that change.
    :raises Forbidden: a policy does not let it.
    :raises InvalidRequest: every problem of it.
    """
    problems = list(call.problems)
    validation.refuse(problems)
    changes = schemas.whole_numbers(call.body)
    submission.authorize(call.context, changes)
    # What it comes to with all that stays as it was.
    whole = schemas.with_defaults({**build.request, **changes})
    validation.refuse(
        schemas.image_problems(whole, call.service.property_rules)
    )
    return changes
