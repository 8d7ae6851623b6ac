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
"""Every address of the service: the table of contents of the API.

A new call is a handler, a schema and a policy of the same name, and an entry
here; the OpenAPI document is made of this table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

import flask

from imagebuild.api.handlers import builds
from imagebuild.api.handlers import conductors
from imagebuild.api.handlers import operating_systems
from imagebuild.api.handlers import recipes
from imagebuild.api.handlers import service
from imagebuild.api.handlers import uploads
from imagebuild.api.schemas import base
from imagebuild.api.schemas import builds as build_schemas
from imagebuild.api.schemas import conductors as conductor_schemas
from imagebuild.api.schemas import operating_systems as os_schemas
from imagebuild.api.schemas import recipes as recipe_schemas
from imagebuild.api.schemas import service as service_schemas
from imagebuild.api.schemas import uploads as upload_schemas


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one address.

    :ivar path: with parameters as Flask writes them: ``<build_id>``.
    :ivar handler: is given a Call and the parameters of the path.
    :ivar summary: one sentence.
    :ivar status: of the answer when all is well.
    :ivar answer: schema of that answer; None when it is not JSON.
    :ivar text: media type of an answer, or of another form of it, that is
        plain text.
    :ivar body: schema of the request's body, None when there is none.
    :ivar query: parameters of the query.
    :ivar errors: statuses of errors, besides those that every route may
        give.
    :ivar headers: of the answer.
    :ivar public: no token is needed.
    """

    method: str
    path: str
    handler: Callable[..., flask.Response]
    summary: str
    status: int = 200
    answer: base.Schema | None = None
    text: str = ''
    body: base.Schema | None = None
    query: Sequence[base.Parameter] = ()
    errors: Sequence[int] = ()
    headers: Sequence[base.Parameter] = ()
    public: bool = False


_LOCATION = base.Parameter('Location', 'Where the build is found.')
_NEXT_OFFSET = base.Parameter(
    'X-Next-Offset',
    'Where to go on, in bytes; as asked for when there is no more yet.',
    {'type': 'integer', 'minimum': 0},
)

#: Schemas that the OpenAPI document holds under a name.
COMPONENTS: dict[str, base.Schema] = {
    'Build': build_schemas.BUILD,
    'Changes': build_schemas.UPDATE,
    'Conductor': conductor_schemas.CONDUCTOR,
    'Description': build_schemas.CREATE,
    'Error': base.ERROR,
    'OperatingSystem': os_schemas.OPERATING_SYSTEM,
    'Plan': build_schemas.PLAN,
    'Recipe': recipe_schemas.RECIPE,
    'RecipeSummary': recipe_schemas.RECIPE_SUMMARY,
    'Step': build_schemas.STEP,
    'Upload': upload_schemas.UPLOAD,
}

_BUILD = '/v1/builds/<build_id>'

ROUTES: tuple[Route, ...] = (
    Route(
        'GET', '/', service.versions,
        'Lists the versions of the API.',
        answer=service_schemas.VERSIONS, public=True,
    ),
    Route(
        'GET', '/v1', service.version,
        'Shows the version of the API.',
        answer=service_schemas.VERSION, public=True,
    ),
    Route(
        'POST', '/v1/builds', builds.create,
        'Builds an image, or finds that there is one already.',
        status=202, body=build_schemas.CREATE, answer=base.ref('Build'),
        errors=[503], headers=[_LOCATION],
    ),
    Route(
        'POST', '/v1/builds/plan', builds.plan,
        'Says what a build would do, and does nothing.',
        body=build_schemas.CREATE, answer=base.ref('Plan'), errors=[503],
    ),
    Route(
        'GET', '/v1/builds', builds.index,
        'Lists builds, the newest first.',
        query=build_schemas.LIST_QUERY, answer=build_schemas.LIST,
    ),
    Route(
        'GET', _BUILD, builds.show,
        'Shows a build.',
        answer=base.ref('Build'), errors=[404],
    ),
    Route(
        'PATCH', _BUILD, builds.update,
        "Changes what is said about a build's image.",
        body=build_schemas.UPDATE, answer=base.ref('Build'),
        errors=[404, 409, 503],
    ),
    Route(
        'DELETE', _BUILD, builds.delete,
        'Deletes a build, and its image with the last build that uses it.',
        status=204, errors=[404, 409],
    ),
    Route(
        'POST', f'{_BUILD}/cancel', builds.cancel,
        'Cancels a build that is not over.',
        status=202, answer=base.ref('Build'), errors=[404, 409],
        headers=[_LOCATION],
    ),
    Route(
        'GET', f'{_BUILD}/log', builds.log,
        'Reads the log of a build, also while it grows.',
        query=build_schemas.LOG_QUERY, text='text/plain', errors=[404],
        headers=[_NEXT_OFFSET],
    ),
    Route(
        'GET', f'{_BUILD}/steps', builds.steps,
        'Lists the finished steps of a build.',
        answer=build_schemas.STEPS, errors=[404],
    ),
    Route(
        'GET', '/v1/recipes', recipes.index,
        'Lists the recipes.',
        answer=recipe_schemas.LIST, errors=[503],
    ),
    Route(
        'GET', '/v1/recipes/<name>/<version>', recipes.show,
        'Shows a recipe and a JSON schema of its arguments.',
        answer=base.ref('Recipe'), errors=[404, 409, 503],
    ),
    Route(
        'GET', '/v1/operating-systems', operating_systems.index,
        'Lists the operating systems that images can be made of.',
        answer=os_schemas.LIST, errors=[503],
    ),
    Route(
        'GET', '/v1/conductors', conductors.index,
        'Lists the conductors (operators only).',
        answer=conductor_schemas.LIST,
    ),
    Route(
        'GET', '/v1/uploads', uploads.index,
        'Lists uploads of images, the oldest first.',
        query=upload_schemas.LIST_QUERY, answer=upload_schemas.LIST,
    ),
    Route(
        'GET', '/openapi.json', service.document,
        'Describes this API.',
        answer=service_schemas.OPENAPI, public=True,
    ),
    Route(
        'GET', '/healthcheck', service.healthcheck,
        'Says whether the service can do its work.',
        answer=service_schemas.HEALTH, text='text/plain', public=True,
    ),
    Route(
        'GET', '/metrics', service.scrape,
        'Gives figures for Prometheus.',
        text='text/plain', public=True,
    ),
)  # fmt: skip
