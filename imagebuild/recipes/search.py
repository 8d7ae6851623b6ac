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
"""Find recipes: directories that were given, ours, and plugins."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterable
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.recipes import base
from imagebuild.recipes import directory
from imagebuild.recipes import plugin

#: The recipes that come with imagebuild.
SHIPPED = pathlib.Path(__file__).parent


def find(
    paths: Sequence[pathlib.Path] = (),
) -> dict[str, dict[str, base.Recipe]]:
    """Find every recipe; none is read, so a broken one does not matter.

    :param paths: recipe paths, searched in order before the recipes that
        come with imagebuild and those of plugins. The first that has a
        name and version wins.
    :returns: name to version to recipe, both in natural order.
    :raises InvalidInput: one of the paths is not a directory.
    """
    return _sorted(itertools.chain(_in_directories(paths), plugin.find()[0]))


def get(
    name: str, version: str, paths: Sequence[pathlib.Path] = ()
) -> base.Recipe:
    """Find one recipe.

    :raises UnknownRecipe: there is none; the message lists what there is.
    :raises InvalidRecipe: the plugin of that name does not load.
    :raises InvalidInput: one of the paths is not a directory.
    """
    plugins, broken = plugin.find()
    found = _sorted(itertools.chain(_in_directories(paths), plugins))
    recipe = found.get(name, {}).get(version)
    if recipe is not None:
        return recipe
    if name in broken:
        raise exception.InvalidRecipe(name=name, reason=broken[name])
    known = ', '.join(
        str(recipe) for versions in found.values()
        for recipe in versions.values()
    )  # fmt: skip
    raise exception.UnknownRecipe(
        name=name, version=version, found=known or 'none'
    )


def _in_directories(paths: Sequence[pathlib.Path]) -> Iterable[base.Recipe]:
    for path in (*paths, SHIPPED):
        yield from directory.find(pathlib.Path(path))


def _sorted(
    recipes: Iterable[base.Recipe],
) -> dict[str, dict[str, base.Recipe]]:
    found: dict[str, dict[str, base.Recipe]] = {}
    for recipe in recipes:
        found.setdefault(recipe.name, {}).setdefault(recipe.version, recipe)
    return {
        name: {
            version: found[name][version]
            for version in sorted(found[name], key=_natural)
        }
        for name in sorted(found, key=_natural)
    }


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort 7 before 10."""
    parts = re.findall(r'[0-9]+|[^0-9]+', name)
    return [
        (int(part), '') if part.isdecimal() else (-1, part) for part in parts
    ], name
