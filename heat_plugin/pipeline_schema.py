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
"""Properties and attributes of ``OS::ImageBuild::Pipeline``."""

from __future__ import annotations

from typing import Any

from heat.common.i18n import _
from heat.engine import attributes
from heat.engine import constraints
from heat.engine import properties

from heat_plugin import schema

Schema = properties.Schema

PROPERTY_NAMES = (
    NAME, IMAGE, CRON, MAX_AGE, KEEP, MAX_FAILURES, CURRENT_TAG, PAUSED,
    DELETE_IMAGES,
) = (
    'name', 'image', 'cron', 'max_age', 'keep', 'max_failures', 'current_tag',
    'paused', 'delete_images',
)  # fmt: skip
#: What the service takes as it is.
VALUES = (CRON, MAX_AGE, KEEP, MAX_FAILURES, CURRENT_TAG, PAUSED)

ATTRIBUTES = (
    CURRENT_IMAGE_ID, CURRENT_BUILD_ID, LAST_BUILD_ID, STATUS, STATUS_REASON,
    NEXT_RUN_AT, LAST_RUN_AT,
) = (
    'current_image_id', 'current_build_id', 'last_build_id', 'status',
    'status_reason', 'next_run_at', 'last_run_at',
)  # fmt: skip

#: What the service makes of a name when no tag is given.
TAG_PREFIX = 'imagebuild_pipeline:'
NAME_LENGTH = 200


def _limits(least: int, most: int) -> Any:
    return constraints.Range(min=least, max=most)


#: Those of ``image``.
IMAGE_PROPERTIES: dict[str, Any] = {
    name: schema.PROPERTIES[name]
    for name in (*schema.CONTENT, *schema.ABOUT, schema.TIMEOUT)
}

PROPERTIES: dict[str, Any] = {
    NAME: Schema(
        Schema.STRING,
        _(
            'Name, unique in the project; by default made of the names of '
            'stack and resource. A change makes another pipeline.'
        ),
        constraints=[constraints.Length(min=1, max=NAME_LENGTH)],
    ),
    IMAGE: Schema(
        Schema.MAP,
        _(
            'What is built: properties as OS::ImageBuild::Image has them, '
            'without "reuse" and "max_age". A base image that is named is '
            'looked up for each build. After a change an image is built, and '
            'the update of the stack waits for it.'
        ),
        schema=IMAGE_PROPERTIES,
        required=True,
        update_allowed=True,
    ),
    CRON: Schema(
        Schema.STRING,
        _(
            'When it is built again: a line of cron, in UTC, such as "0 3 * '
            '* *", or "@daily".'
        ),
        constraints=[constraints.Length(min=1, max=255)],
        update_allowed=True,
    ),
    MAX_AGE: Schema(
        Schema.INTEGER,
        _(
            'Seconds after which the current image is built again, instead '
            'of "cron". Without both it is built again on request only.'
        ),
        constraints=[_limits(1, 2**31 - 1)],
        update_allowed=True,
    ),
    KEEP: Schema(
        Schema.INTEGER,
        _('Images that are kept, the current one among them.'),
        constraints=[_limits(2, 1000)],
        default=2,
        update_allowed=True,
    ),
    MAX_FAILURES: Schema(
        Schema.INTEGER,
        _('Failures in a row after which it stops; 0 for never.'),
        constraints=[_limits(0, 1000)],
        default=3,
        update_allowed=True,
    ),
    CURRENT_TAG: Schema(
        Schema.STRING,
        _(
            'Tag of the current image in Glance; by default '
            '"imagebuild_pipeline:" and the name.'
        ),
        constraints=[constraints.Length(min=1, max=255)],
        update_allowed=True,
    ),
    PAUSED: Schema(
        Schema.BOOLEAN,
        _('Whether it is built again on request only.'),
        default=False,
        update_allowed=True,
    ),
    DELETE_IMAGES: Schema(
        Schema.BOOLEAN,
        _(
            'Whether its builds and their images are deleted with the '
            'resource.'
        ),
        default=True,
        update_allowed=True,
    ),
}

_DESCRIPTIONS = {
    CURRENT_IMAGE_ID: _(
        'Id of the newest image that succeeded, as get_resource gives it.'
    ),
    CURRENT_BUILD_ID: _('Id of the build of that image.'),
    LAST_BUILD_ID: _('Id of the build of the last run.'),
    STATUS: _('active, paused, or error: stopped after too many failures.'),
    STATUS_REASON: _('Why it is so.'),
    NEXT_RUN_AT: _('When the next run is due.'),
    LAST_RUN_AT: _('When the last run began.'),
}
ATTRIBUTES_SCHEMA: dict[str, Any] = {
    name: attributes.Schema(
        _DESCRIPTIONS[name],
        type=attributes.Schema.STRING,
        # All of them change without Heat.
        cache_mode=attributes.Schema.CACHE_NONE,
    )
    for name in ATTRIBUTES
}
