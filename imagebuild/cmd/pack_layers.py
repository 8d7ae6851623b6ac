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
"""Layers of imagebuild-pack: ``--cache``."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild import layers
from imagebuild import manifest
from imagebuild.disks import image_file
from imagebuild.drivers import isolations
from imagebuild.layers import content


@dataclasses.dataclass(frozen=True)
class CacheSpec:
    """Where layers are kept, and how many.

    :ivar settings: ``directory`` is what the user named.
    :ivar facts: what else than the image decides what the disk is like.
    """

    settings: layers.Settings
    facts: Mapping[str, Any]


class PackLayers:
    """The layers of one pack.

    :ivar session: of the image, as soon as it is known.
    :ivar steps: the steps that need not be run, likewise.
    :raises InvalidInput: the directory cannot be used.
    :raises EnvironmentFault: likewise.
    """

    session: layers.Session | None = None
    steps: manifest.StepCache | None = None

    def __init__(self, spec: CacheSpec, what: manifest.Runnable) -> None:
        self._spec = spec
        self._what = what
        self._store = spec.settings.store()

    def look_up(
        self, image: image_file.ImageInfo, choice: isolations.Choice
    ) -> image_file.ImageInfo:
        """Find the layers of an image.

        :param image: it is locked, so that nobody changes it.
        :param choice: in what it will be opened.
        :returns: what its overlay is to be made over.
        :raises EnvironmentFault: the image cannot be read.
        """
        if self.session is None:
            try:
                identity = content.identity(image)
            except OSError as error:
                raise exception.InvalidImage(
                    path=image.path, reason=error.strerror or error
                ) from error
            self.session = layers.Session(
                self._store,
                layers.Base(identity, self._spec.facts),
                # Whoever may write to the directory is one user.
                scope='user',
                isolations=choice.possible,
                policy=self._spec.settings.policy,
            )
        self.steps = self._what.cached(self.session)
        return self.session.over(image)

    def give_up(self) -> bool:
        """Do without them, if it may be their fault that something failed.

        :returns: whether it may.
        """
        if self.session is None or not self.session.tried:
            return False
        self.session.discard()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.session is not None:
            self.session.close()


def spec(
    directory: pathlib.Path,
    config: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> CacheSpec:
    """What ``--cache`` means with a configuration.

    :param config: sections by name; ``layers`` says how much is kept.
    """
    section = {
        **config.get('layers', {}),
        'enabled': True,
        'directory': str(directory),
    }
    settings = layers.Settings.from_config({**config, 'layers': section})
    # It is enabled, and has a directory.
    assert settings is not None  # noqa: S101
    return CacheSpec(settings, facts)
