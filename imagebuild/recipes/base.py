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
"""What a recipe is to those who use one."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild import manifest

#: An ``imagebuild.remotes.base.Remote``. Recipes hand it on and never look
#: at it, so they do not import it (doc/source/contributor/architecture.rst).
Remote = Any


class Recipe(manifest.Bindable):
    """A manifest, or a program, that has a name and a version.

    Making one opens nothing: what is wrong with a recipe shows when it is
    used, so that a broken one does not disturb the others.

    :ivar name: as users type it.
    :ivar version: as users type it.
    """

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version

    def __str__(self) -> str:
        return f'{self.name} {self.version}'

    @property
    @abc.abstractmethod
    def origin(self) -> str:
        """Where it was found, for people."""

    @abc.abstractmethod
    def _description(self) -> str:
        """What it makes; may raise as :meth:`arguments` does."""

    @property
    def description(self) -> str:
        """What it makes, in short; of a broken recipe, why it is.

        Never raises, since lists of recipes show it.
        """
        try:
            return ' '.join(self._description().split())
        except exception.ImageBuildError as error:
            reason = ' '.join(str(error).split())
            return f'cannot be used: {reason}'

    @property
    def min_disk(self) -> int:
        """GiB that the disk must have, 0 for any."""
        return 0

    @property
    def elements(self) -> Sequence[str]:
        """Elements of diskimage-builder out of which a disk is made."""
        return ()

    @abc.abstractmethod
    def arguments(self) -> Sequence[manifest.Argument]:
        """The arguments it takes, in order.

        :raises InvalidManifest: its manifest is not valid.
        :raises InvalidRecipe: it cannot be used at all.
        """

    def resolve(self, values: Mapping[str, Any] | None) -> dict[str, str]:
        """See :meth:`imagebuild.manifest.Bindable.resolve`.

        :raises InvalidArguments: every problem at once.
        :raises InvalidManifest: as :meth:`arguments` does.
        :raises InvalidRecipe: likewise.
        """
        return manifest.resolve(self.arguments(), values)
