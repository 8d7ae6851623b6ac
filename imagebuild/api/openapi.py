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
"""The OpenAPI 3.1 document, made of the table of routes."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from imagebuild.api import microversion
from imagebuild.api import route
from imagebuild.api import samples
from imagebuild.api.schemas import base
from imagebuild.api.schemas import components

#: What OpenAPI lets components be called.
_COMPONENT = re.compile(r'[A-Za-z0-9._-]+')
_PARAMETER = re.compile(r'<(\w+)>')

#: What a path parameter is.
_PATH_PARAMETERS = {
    'build_id': base.Parameter('build_id', 'Id of a build.', base.UUID),
    'name': base.Parameter('name', 'Name of a recipe.', base.NAME),
    'channel_id': base.Parameter('channel_id', 'Id of a channel.', base.UUID),
    'pipeline_id': base.Parameter(
        'pipeline_id', 'Id of a pipeline.', base.UUID
    ),
    'upload_id': base.Parameter('upload_id', 'Id of an upload.', base.UUID),
    'validation_id': base.Parameter(
        'validation_id', 'Id of a validation.', base.UUID
    ),
    'version': base.Parameter('version', 'Version of a recipe.', base.NAME),
}
_VERSION_HEADER = base.Parameter(
    microversion.HEADER,
    'The microversion asked for, such as "image-build 1.0" or "image-build '
    'latest"; without it, the first.',
)
#: Besides its own, each route may answer with these.
_ANY_ERRORS = (400, 406, 500)
_TOKEN_ERRORS = (401, 403, 503)
_BODY_ERRORS = (413, 415)


def document(
    routes: Iterable[route.Route],
    root: str,
    drivers: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the document.

    :param root: URL of the service without a slash at the end.
    :param drivers: JSON schemas of the options of drivers, by their names.
    """
    paths: dict[str, dict[str, Any]] = {}
    for entry in routes:
        path = _PARAMETER.sub(r'{\1}', entry.path)
        paths.setdefault(path, {})[entry.method.lower()] = _operation(entry)
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'OpenStack image build service',
            'version': str(microversion.MAX),
            'description': 'Builds images for OpenStack from a description.',
            'license': {'name': 'Apache-2.0', 'identifier': 'Apache-2.0'},
        },
        'servers': [{'url': root or '/'}],
        'security': [{'token': []}],
        'paths': paths,
        'components': {
            'schemas': {
                **components.BY_NAME,
                **_driver_options(drivers or {}),
            },
            'securitySchemes': {
                'token': {
                    'type': 'apiKey',
                    'in': 'header',
                    'name': 'X-Auth-Token',
                    'description': 'A token of the identity service, for a '
                    'project.',
                }
            },
        },
    }


def _driver_options(
    drivers: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """What "driver_options" is for each driver, under a name of its own."""
    return {
        f'DriverOptions_{name}': {
            'title': f'driver_options of "{name}"',
            **schema,
        }
        for name, schema in drivers.items()
        if _COMPONENT.fullmatch(name)
    }


def _operation(entry: route.Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        'operationId': _operation_id(entry),
        'summary': entry.summary,
        'tags': [_tag(entry)],
        'parameters': _parameters(entry),
        'responses': _responses(entry),
    }
    if entry.public:
        operation['security'] = []
    if entry.body is not None:
        operation['requestBody'] = {
            'required': True,
            'content': {'application/json': _content(_named(entry.body))},
        }
    return operation


def _named(schema: base.Schema) -> base.Schema:
    """Refer to a schema by its name, if it has one."""
    # By identity: two schemas may be equal and mean different things.
    for name, component in components.BY_NAME.items():
        if component is schema:
            return base.ref(name)
    return schema


def _content(schema: base.Schema) -> dict[str, Any]:
    return {
        'schema': dict(schema),
        'example': samples.sample(schema, components.BY_NAME),
    }


def _operation_id(entry: route.Route) -> str:
    module = entry.handler.__module__.rpartition('.')[2]
    return f'{module}_{entry.handler.__name__}'


def _tag(entry: route.Route) -> str:
    return entry.handler.__module__.rpartition('.')[2].replace('_', '-')


def _parameters(entry: route.Route) -> list[dict[str, Any]]:
    names = _PARAMETER.findall(entry.path)
    found = [
        _parameter(_PATH_PARAMETERS[name], 'path', required=True)
        for name in names
    ]
    found += [_parameter(each, 'query') for each in entry.query]
    found.append(_parameter(_VERSION_HEADER, 'header'))
    return found


def _parameter(
    parameter: base.Parameter, where: str, *, required: bool = False
) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.repeatable:
        schema = {
            'type': 'array',
            'items': schema,
            'maxItems': base.MAX_REPEATED,
        }
    return {
        'name': parameter.name,
        'in': where,
        'required': required or parameter.required,
        'description': parameter.description,
        'schema': schema,
    }


def _responses(entry: route.Route) -> dict[str, Any]:
    errors = {*_ANY_ERRORS, *entry.errors}
    if not entry.public:
        errors.update(_TOKEN_ERRORS)
    if entry.body is not None:
        errors.update(_BODY_ERRORS)
    responses = {str(entry.status): _answer(entry)}
    for code in sorted(errors):
        responses[str(code)] = {
            'description': http.HTTPStatus(code).phrase,
            'content': {'application/json': {'schema': base.ref('Error')}},
        }
    # Its 503 is no error document: it lists the checks that failed.
    if entry.path == '/healthcheck':
        responses['503'] = _answer(entry)
    return responses


def _answer(entry: route.Route) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if entry.answer is not None:
        content['application/json'] = _content(entry.answer)
    if entry.text:
        content[entry.text] = {'schema': {'type': 'string'}}
    answer: dict[str, Any] = {
        'description': http.HTTPStatus(entry.status).phrase,
        'headers': {
            each.name: {
                'description': each.description,
                'schema': dict(each.schema),
            }
            for each in entry.headers
        },
    }
    if content:
        answer['content'] = content
    return answer
