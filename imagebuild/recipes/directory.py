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
"""Recipes that are a manifest and its scripts in a directory.

::

    <recipe path>/<name>/<version>/manifest.yaml
    <recipe path>/<name>/<version>/...     its scripts and files
    <recipe path>/<name>/common/...        those that versions share
    <recipe path>/common/...               those that recipes share

``image.yaml``, as Sahara calls it, will do for ``manifest.yaml``. What the
recipes that come with imagebuild share is looked up last, by all recipes.
"""

from __future__ import annotations

import functools
import logging
import pathlib
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild import manifest
from imagebuild.recipes import base

LOG = logging.getLogger(__name__)

MANIFEST = 'manifest.yaml'
#: What a directory's manifest may be called; the first that is there is meant.
MANIFESTS = (MANIFEST, 'image.yaml')
COMMON = 'common'
#: What our recipes share; others may include it.
SHIPPED_COMMON = pathlib.Path(__file__).parent.resolve() / COMMON

#: What a recipe and a version may be called.
SAFE_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+-]*')


class DirectoryRecipe(base.Recipe):
    """A manifest with its scripts.

    :ivar recipe_path: the directory that holds it and others; nothing outside
        of it is read.
    """

    def __init__(
        self, recipe_path: pathlib.Path, name: str, version: str
    ) -> None:
        super().__init__(name, version)
        self.recipe_path = recipe_path
        self.directory = recipe_path / name / version

    @property
    def origin(self) -> str:
        return str(self.directory)

    @functools.cached_property
    def _manifest(self) -> manifest.Manifest:
        return self._read('')

    def _read(self, path: str) -> manifest.Manifest:
        # Its own files hide those of the same name that versions share.
        roots = [self._inside(self.directory)]
        for common in (
            self._inside(self.directory.parent / COMMON),
            self._inside(self.recipe_path / COMMON),
            SHIPPED_COMMON,
        ):
            if common.is_dir() and common not in roots:
                roots.append(common)
        return manifest.load(
            self._inside(_manifest_of(self.directory)),
            resource_roots=roots,
            path=path,
        )

    def _inside(self, path: pathlib.Path) -> pathlib.Path:
        """Resolve links, which may not lead out of the recipe path."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError) as error:
            raise exception.InvalidRecipe(
                name=self, reason=f'{path} cannot be read ({error})'
            ) from None
        if not real.is_relative_to(self.recipe_path.resolve()):
            raise exception.InvalidRecipe(
                name=self,
                reason=f'{path} leads out of {self.recipe_path}',
            )
        return real

    def load(self, path: str = '') -> manifest.Manifest:
        """Its manifest, read once.

        :param path: where the recipe stands in a larger document; paths of
            steps begin with it; it is read again then.
        :raises InvalidManifest: it is not valid.
        :raises InvalidRecipe: a link leads out of the recipe path.
        """
        return self._read(path) if path else self._manifest

    def _description(self) -> str:
        return self.load().description

    @property
    def min_disk(self) -> int:
        return self.load().min_disk

    @property
    def elements(self) -> Sequence[str]:
        """See :attr:`base.Recipe.elements`."""
        return self.load().elements

    def arguments(self) -> Sequence[manifest.Argument]:
        return self.load().arguments

    def bound(self, values: Mapping[str, str]) -> manifest.Runnable:
        return self.load().bound(values)


def find(recipe_path: pathlib.Path) -> Iterator[DirectoryRecipe]:
    """Find the recipes of one recipe path; no manifest is read.

    :raises InvalidInput: it is not a directory that can be read.
    """
    try:
        names = _directories(recipe_path)
    except OSError as error:
        raise exception.InvalidInput(
            f'The recipe path {recipe_path} cannot be read: {error.strerror}.'
        ) from None
    for name in names:
        if name == COMMON:
            continue
        try:
            for version in _directories(recipe_path / name):
                directory = recipe_path / name / version
                if version != COMMON and _manifest_of(directory).is_file():
                    yield DirectoryRecipe(recipe_path, name, version)
        except OSError as error:
            LOG.warning('%s/%s was passed over: %s', recipe_path, name, error)


def _manifest_of(directory: pathlib.Path) -> pathlib.Path:
    for name in MANIFESTS:
        if (directory / name).is_file():
            return directory / name
    return directory / MANIFEST


def _directories(path: pathlib.Path) -> list[str]:
    return sorted(
        item.name
        for item in path.iterdir()
        if SAFE_NAME.fullmatch(item.name) and item.is_dir()
    )
