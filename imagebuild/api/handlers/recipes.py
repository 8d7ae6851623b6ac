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
"""Recipes that the service has."""

from __future__ import annotations

from typing import Any

import flask

from imagebuild import exception
from imagebuild import policies
from imagebuild import recipes
from imagebuild.api import responses
from imagebuild.api import views
from imagebuild.api.api_call import Call


def index(call: Call) -> flask.Response:
    """GET /v1/recipes"""
    call.context.can(policies.recipes.LIST)
    found = _find(call)
    return responses.ok(
        {
            'recipes': [
                _shown(call, views.recipe_summary(recipe, call.root))
                for versions in found.values()
                for recipe in versions.values()
            ]
        }
    )


def show(call: Call, name: str, version: str) -> flask.Response:
    """GET /v1/recipes/{name}/{version}"""
    call.context.can(policies.recipes.SHOW)
    recipe = _find(call).get(name, {}).get(version)
    if recipe is None:
        raise exception.NotFound(what='recipe', id=f'{name} {version}')
    try:
        content = views.recipe(recipe, call.root)
    except exception.ImageBuildError as error:
        raise exception.Conflict(
            what='Recipe', id=recipe, status='broken', reason=error
        ) from error
    return responses.ok(_shown(call, content))


def _shown(call: Call, content: dict[str, Any]) -> dict[str, Any]:
    """Hide paths: the description of a broken recipe names its file."""
    description = call.service.paths.hide(content['description'])
    return {**content, 'description': description}


def _find(call: Call) -> dict[str, dict[str, recipes.Recipe]]:
    try:
        return recipes.find(call.service.recipe_paths)
    except exception.InvalidInput as error:
        # A directory of the configuration: the user cannot correct it.
        raise exception.ServiceUnavailable(
            service='image-build', reason='its recipes cannot be read'
        ) from error
