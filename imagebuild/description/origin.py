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
"""The recipe or manifest that a request names, if any."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.common import json_schema
from imagebuild.exception import Problem
from imagebuild.manifest import document
from imagebuild.manifest import resource_files

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the steps after the lists come from.

    :ivar arguments: declared; None when they are not known, because what
        declares them is broken.
    :ivar manifest: of a directory recipe or of the request.
    :ivar plugin: a recipe that has no manifest.
    :ivar recipe: name and version, None for a manifest of the request.
    """

    arguments: Sequence[manifest.Argument] | None = ()
    manifest: manifest.Manifest | None = None
    plugin: recipes.Recipe | None = None
    recipe: tuple[str, str] | None = None


#: After a problem.
BROKEN = Origin(arguments=None)


class _Resources(resource_files.Resources):
    """The texts of ``resources``, and nothing else.

    :ivar unused: names that were not read.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__((), texts)
        self.names = tuple(texts)
        self.unused = dict.fromkeys(texts)

    def read(self, name: str, limit: int = resource_files.MAX_BYTES) -> bytes:
        if name not in self.names:
            held = ', '.join(self.names) or 'nothing'
            raise resource_files.ResourceError(
                f'there is no "{name}" in "resources", which holds: {held}'
            )
        self.unused.pop(name, None)
        return super().read(name, limit)


def read(
    request: Mapping[str, Any],
    recipe_paths: Sequence[pathlib.Path],
    problems: list[Problem],
) -> Origin:
    """Find the recipe or read the manifest.

    :param request: plain values.
    :param recipe_paths: directories with recipes.
    :param problems: what is wrong is added here.
    :raises EnvironmentFault: a recipe path cannot be read.
    """
    if 'recipe_version' in request and 'recipe' not in request:
        problems.append(
            Problem('recipe_version', 'it is nothing without "recipe"')
        )
    if 'resources' in request and 'manifest' not in request:
        problems.append(Problem('resources', 'they are for a "manifest" only'))
    if 'recipe' in request and 'manifest' in request:
        problems.append(
            Problem('manifest', '"recipe" and "manifest" exclude each other')
        )
        return BROKEN
    if 'recipe' in request:
        return _recipe(request, recipe_paths, problems)
    if 'manifest' in request:
        return _manifest(request, problems)
    return Origin()


# -- a manifest of the request ----------------------------------------------


def _manifest(request: Mapping[str, Any], problems: list[Problem]) -> Origin:
    given = request['manifest']
    if not isinstance(given, dict):
        problems.append(
            Problem(
                'manifest', 'it is not a mapping; send it as JSON, not as text'
            )
        )
        return BROKEN
    texts = _texts(request.get('resources', {}), problems)
    resources = _Resources(texts)
    try:
        loaded = manifest.load(
            _ordered(given), resources=resources, path='manifest'
        )
    except exception.InvalidManifest as error:
        problems.extend(error.errors)
        return BROKEN
    problems.extend(
        Problem(
            json_schema.join('resources', name),
            'no step of the manifest names it',
        )
        for name in resources.unused
    )
    return Origin(loaded.arguments, loaded)


def _texts(given: Any, problems: list[Problem]) -> dict[str, str]:
    if not isinstance(given, dict):
        problems.append(
            Problem('resources', 'it is not a mapping of name to text')
        )
        return {}
    texts = {}
    for name, text in given.items():
        place = json_schema.join('resources', name)
        if not name or not name.isprintable():
            problems.append(Problem(place, 'it is not a name'))
        if not isinstance(text, str):
            problems.append(Problem(place, 'it is not a text'))
            text = ''
        texts[name] = text
    return texts


def _ordered(given: Mapping[str, Any]) -> dict[str, Any]:
    """Put the keys of its steps into one order.

    JSON's mappings have none, and on the way of a request to its build
    they may come into any. ``arguments`` are left alone: the order decides
    nothing there, and one of their older forms is known by its first key.
    """
    return {
        key: _sorted(value) if key == 'validators' else value
        for key, value in given.items()
    }


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


# -- a recipe ---------------------------------------------------------------


def _recipe(
    request: Mapping[str, Any],
    recipe_paths: Sequence[pathlib.Path],
    problems: list[Problem],
) -> Origin:
    name = request['recipe']
    version = request.get('recipe_version')
    for field, value in (('recipe', name), ('recipe_version', version)):
        if not document.is_scalar(value) or value == '':
            problems.append(Problem(field, 'it is not a name'))
            return BROKEN
    recipe = _find(
        document.as_text(name),
        None if version is None else document.as_text(version),
        recipe_paths,
        problems,
    )
    if recipe is None:
        return BROKEN
    try:
        return _origin(recipe)
    except exception.ImageBuildError as error:
        # Whose fault it is, its path on this host: not the user's matter.
        LOG.error('The recipe %s cannot be used: %s', recipe, error)
        problems.append(
            Problem(
                'recipe',
                f'the recipe {recipe} of this service is broken; its '
                'operator finds the reason in the log',
            )
        )
        return BROKEN


def _origin(recipe: recipes.Recipe) -> Origin:
    known = (recipe.name, recipe.version)
    if isinstance(recipe, recipes.DirectoryRecipe):
        loaded = recipe.load('recipe')
        return Origin(loaded.arguments, loaded, recipe=known)
    return Origin(recipe.arguments(), plugin=recipe, recipe=known)


def _find(
    name: str,
    version: str | None,
    recipe_paths: Sequence[pathlib.Path],
    problems: list[Problem],
) -> recipes.Recipe | None:
    try:
        found = recipes.find(recipe_paths)
    except exception.InvalidInput as error:
        raise exception.EnvironmentFault(str(error)) from error
    versions = found.get(name)
    if not versions:
        known = ', '.join(found) or 'none'
        problems.append(
            Problem(
                'recipe', f'there is no recipe "{name}"; known are: {known}'
            )
        )
        return None
    # Chosen for the user only where nothing else could be meant.
    if version is None and len(versions) == 1:
        return next(iter(versions.values()))
    if version in versions:
        return versions[version]
    listed = ', '.join(versions)
    problems.append(
        Problem(
            'recipe_version',
            f'the recipe {name} has several versions; choose one of: {listed}'
            if version is None
            else f'the recipe {name} has no version "{version}"; found: '
            f'{listed}',
        )
    )
    return None
