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
"""Values of the attributes: of a build, and in a preview of a stack."""

from __future__ import annotations

from typing import Any

from heat_plugin import image_state
from heat_plugin import messages
from heat_plugin import schema
from imagebuild.client import Client
from imagebuild.client import Plan


def fetch(service: Client, build_id: str, name: str) -> Any:
    """Return an attribute's value as the service has it.

    :raises ClientError: the service refuses, or is unavailable.
    """
    build = service.builds.get(build_id)
    if name == schema.LOG:
        return image_state.log_tail(service, build)
    if name == schema.OS_HASH_VALUE:
        return build.checksum.get('os_hash_value')
    if name in (schema.STATUS, schema.CONTENT_KEY, schema.SIZE):
        return getattr(build, name)
    return build.raw.get(name)


def preview(plan: Plan | None, name: str) -> Any:
    """Return an attribute's value before there is a build.

    :param plan: what would be built, None where that is not known.
    """
    if plan is None:
        return None
    known = {
        schema.STATUS: messages.plan_summary(plan),
        schema.CONTENT_KEY: plan.content_key,
        schema.IMAGE_ID: messages.reused_image(plan),
    }
    return known.get(name)
