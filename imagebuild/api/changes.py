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

from typing import Any

from imagebuild import db
from imagebuild.api import call as calls
from imagebuild.api import submission
from imagebuild.api import validation
from imagebuild.api.schemas import description as schemas


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
