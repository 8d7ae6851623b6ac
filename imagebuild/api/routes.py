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
"""All calls of the API, in one table.

A new call is a handler, a schema and a policy of the same name, and an entry
here; the OpenAPI document is made of this table. Nothing that a handler uses
may import this module: handlers read the table from :class:`api_call.Service`.
"""

from __future__ import annotations

from imagebuild.api import route
from imagebuild.api import schemas
from imagebuild.api.handlers import builds
from imagebuild.api.handlers import channels
from imagebuild.api.handlers import conductors
from imagebuild.api.handlers import destinations
from imagebuild.api.handlers import drivers
from imagebuild.api.handlers import operating_systems
from imagebuild.api.handlers import packages
from imagebuild.api.handlers import pipelines
from imagebuild.api.handlers import recipes
from imagebuild.api.handlers import service
from imagebuild.api.handlers import uploads
from imagebuild.api.handlers import validations
from imagebuild.api.schemas import base

_LOCATION = base.Parameter('Location', 'Where the build is found.')
_NEXT_OFFSET = base.Parameter(
    'X-Next-Offset',
    'Where to go on, in bytes; the offset of the request when there is no '
    'more yet.',
    {'type': 'integer', 'minimum': 0},
)

_BUILD = '/v1/builds/<build_id>'
_CHANNEL = '/v1/channels/<channel_id>'
_PIPELINE = '/v1/pipelines/<pipeline_id>'
_UPLOAD = '/v1/uploads/<upload_id>'
_UPLOAD_LOCATION = base.Parameter('Location', 'Where the upload is found.')
_VALIDATION = '/v1/validations/<validation_id>'
_VALIDATION_LOCATION = base.Parameter(
    'Location', 'Where the validation is found.'
)
_PIPELINE_LOCATION = base.Parameter('Location', 'Where the pipeline is found.')

ROUTES: tuple[route.Route, ...] = (
    route.Route(
        'GET', '/', service.versions,
        'Lists the versions of the API.',
        answer=schemas.service.VERSIONS, public=True,
    ),
    route.Route(
        'GET', '/v1', service.version,
        'Shows the version of the API.',
        answer=schemas.service.VERSION, public=True,
    ),
    route.Route(
        'POST', '/v1/builds', builds.create,
        'Builds an image, or finds that there is one already.',
        status=202, body=schemas.builds.CREATE, answer=base.ref('Build'),
        errors=[503], headers=[_LOCATION],
    ),
    route.Route(
        'POST', '/v1/builds/plan', builds.plan,
        'Shows what a build would do, and does nothing.',
        body=schemas.builds.CREATE, answer=base.ref('Plan'), errors=[503],
    ),
    route.Route(
        'GET', '/v1/builds', builds.index,
        'Lists builds, the newest first.',
        query=schemas.builds.LIST_QUERY, answer=schemas.builds.LIST,
    ),
    route.Route(
        'GET', _BUILD, builds.show,
        'Shows a build.',
        answer=base.ref('Build'), errors=[404],
    ),
    route.Route(
        'PATCH', _BUILD, builds.update,
        "Changes the metadata of a build's image.",
        body=schemas.builds.UPDATE, answer=base.ref('Build'),
        errors=[404, 409, 503],
    ),
    route.Route(
        'DELETE', _BUILD, builds.delete,
        'Deletes a build, and its image with the last build that uses it.',
        query=schemas.builds.DELETE_QUERY, status=204, errors=[404, 409],
    ),
    route.Route(
        'POST', f'{_BUILD}/cancel', builds.cancel,
        'Cancels a build that is not over.',
        status=202, answer=base.ref('Build'), errors=[404, 409],
        headers=[_LOCATION],
    ),
    route.Route(
        'GET', f'{_BUILD}/log', builds.log,
        'Reads the log of a build, also while it grows.',
        query=schemas.builds.LOG_QUERY, text='text/plain', errors=[404],
        headers=[_NEXT_OFFSET],
    ),
    route.Route(
        'GET', f'{_BUILD}/steps', builds.steps,
        'Lists the finished steps of a build.',
        query=schemas.builds.STEPS_QUERY, answer=schemas.builds.STEPS,
        errors=[404],
    ),
    route.Route(
        'GET', f'{_BUILD}/sbom', packages.sbom,
        "Shows what is in a build's image, as a document of SPDX.",
        answer=base.ref('Sbom'), errors=[404],
    ),
    route.Route(
        'GET', f'{_BUILD}/provenance', packages.origin,
        "Shows where a build's image comes from, as a statement of in-toto.",
        answer=base.ref('Provenance'), errors=[404],
    ),
    route.Route(
        'GET', '/v1/packages', packages.index,
        'Lists the active images that hold a package.',
        query=schemas.packages.LIST_QUERY, answer=schemas.packages.LIST,
    ),
    route.Route(
        'POST', f'{_BUILD}/promote', channels.promote,
        'Makes the image of a build the current one of a channel.',
        body=schemas.channels.PROMOTE, answer=base.ref('Channel'),
        errors=[404, 409, 503],
    ),
    route.Route(
        'POST', f'{_BUILD}/rollback', channels.roll_back,
        'Takes a build back from a channel: the one before is current again.',
        body=schemas.channels.ROLLBACK, answer=base.ref('Channel'),
        errors=[404, 409, 503],
    ),
    route.Route(
        'GET', '/v1/channels', channels.index,
        'Lists channels, the oldest first.',
        query=schemas.channels.LIST_QUERY, answer=schemas.channels.LIST,
    ),
    route.Route(
        'GET', _CHANNEL, channels.show,
        'Shows a channel: its current image, and the one before.',
        answer=base.ref('Channel'), errors=[404],
    ),
    route.Route(
        'GET', f'{_CHANNEL}/history', channels.history,
        'Lists what was promoted to a channel, the newest first.',
        answer=schemas.channels.HISTORY, errors=[404],
    ),
    route.Route(
        'DELETE', _CHANNEL, channels.delete,
        'Deletes a channel; its images stay, and lose its tags.',
        status=204, errors=[404],
    ),
    route.Route(
        'POST', '/v1/pipelines', pipelines.create,
        'Makes a pipeline: an image that is built again and again.',
        status=201, body=schemas.pipelines.CREATE,
        answer=base.ref('Pipeline'), errors=[409, 503],
        headers=[_PIPELINE_LOCATION],
    ),
    route.Route(
        'GET', '/v1/pipelines', pipelines.index,
        'Lists pipelines, the oldest first.',
        query=schemas.pipelines.LIST_QUERY, answer=schemas.pipelines.LIST,
    ),
    route.Route(
        'GET', _PIPELINE, pipelines.show,
        'Shows a pipeline.',
        answer=base.ref('Pipeline'), errors=[404],
    ),
    route.Route(
        'PATCH', _PIPELINE, pipelines.update,
        'Changes, pauses or resumes a pipeline.',
        body=schemas.pipelines.UPDATE, answer=base.ref('Pipeline'),
        errors=[404, 503],
    ),
    route.Route(
        'POST', f'{_PIPELINE}/run', pipelines.run,
        'Has a pipeline run now.',
        status=202, answer=base.ref('Pipeline'), errors=[404, 409],
        headers=[_PIPELINE_LOCATION],
    ),
    route.Route(
        'DELETE', _PIPELINE, pipelines.delete,
        'Deletes a pipeline; its images stay unless they are named.',
        query=schemas.pipelines.DELETE_QUERY, status=204,
        errors=[404, 409],
    ),
    route.Route(
        'POST', '/v1/validations', validations.create,
        'Looks at running machines, or reconciles them.',
        status=202, body=schemas.validations.CREATE,
        answer=base.ref('Validation'), errors=[503],
        headers=[_VALIDATION_LOCATION],
    ),
    route.Route(
        'GET', '/v1/validations', validations.index,
        'Lists validations, the newest first.',
        query=schemas.validations.LIST_QUERY, answer=schemas.validations.LIST,
    ),
    route.Route(
        'GET', _VALIDATION, validations.show,
        'Shows a validation and what came out.',
        answer=base.ref('Validation'), errors=[404],
    ),
    route.Route(
        'POST', f'{_VALIDATION}/cancel', validations.cancel,
        'Cancels a validation that is not over.',
        status=202, answer=base.ref('Validation'), errors=[404, 409],
        headers=[_VALIDATION_LOCATION],
    ),
    route.Route(
        'DELETE', _VALIDATION, validations.delete,
        'Deletes a validation that does not run.',
        status=204, errors=[404, 409],
    ),
    route.Route(
        'GET', '/v1/recipes', recipes.index,
        'Lists the recipes.',
        answer=schemas.recipes.LIST, errors=[503],
    ),
    route.Route(
        'GET', '/v1/recipes/<name>/<version>', recipes.show,
        'Shows a recipe and a JSON schema of its arguments.',
        answer=base.ref('Recipe'), errors=[404, 409, 503],
    ),
    route.Route(
        'GET', '/v1/operating-systems', operating_systems.index,
        'Lists the operating systems that images can be made of.',
        answer=schemas.operating_systems.LIST, errors=[503],
    ),
    route.Route(
        'GET', '/v1/drivers', drivers.index,
        'Lists the drivers that make disks, with their options.',
        answer=schemas.drivers.LIST,
    ),
    route.Route(
        'GET', '/v1/destinations', destinations.index,
        'Lists the clouds that images can be uploaded to.',
        answer=schemas.destinations.LIST,
    ),
    route.Route(
        'GET', '/v1/conductors', conductors.index,
        'Lists the conductors (operators only).',
        answer=schemas.conductors.LIST,
    ),
    route.Route(
        'POST', '/v1/uploads', uploads.create,
        'Uploads the image of a build to one more cloud.',
        status=202, body=schemas.uploads.CREATE, answer=base.ref('Upload'),
        errors=[404, 409, 503], headers=[_UPLOAD_LOCATION],
    ),
    route.Route(
        'GET', _UPLOAD, uploads.show,
        'Shows an upload.',
        answer=base.ref('Upload'), errors=[404],
    ),
    route.Route(
        'DELETE', _UPLOAD, uploads.delete,
        'Cancels an upload, or deletes the image that it made.',
        status=204, errors=[404, 409],
    ),
    route.Route(
        'GET', '/v1/uploads', uploads.index,
        'Lists uploads of images, the oldest first.',
        query=schemas.uploads.LIST_QUERY, answer=schemas.uploads.LIST,
    ),
    route.Route(
        'GET', '/openapi.json', service.document,
        'Describes this API.',
        answer=schemas.service.OPENAPI, public=True,
    ),
    route.Route(
        'GET', '/healthcheck', service.healthcheck,
        'Shows whether the service can do its work.',
        answer=schemas.service.HEALTH, text='text/plain', public=True,
    ),
    route.Route(
        'GET', '/metrics', service.scrape,
        'Shows metrics for Prometheus.',
        text='text/plain', public=True,
    ),
)  # fmt: skip
