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
"""What a host has already that builds can use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild import layers
from imagebuild.appliance import accelerator
from imagebuild.drivers import settings as driver_settings

LOG = logging.getLogger(__name__)

#: Of so many it is said, those used or written last.
_MOST_BASES = 32
_MOST_LAYERS = 256

Config = Mapping[str, Mapping[str, Any]]


def known_accelerator(config: Config) -> str:
    """What guests run on: ``kvm``, ``tcg``, or '' until one has run.

    :param config: the sections that a job is given.
    """
    section = config.get('guestfs', {})
    return accelerator.known(
        driver_settings.appliance_settings(section).accelerator
    )


def cached_bases(config: Config) -> tuple[str, ...]:
    """Checksums of the base images in the cache of this host."""
    cache = driver_settings.Settings.from_config(config).cache
    try:
        return tuple(cache.checksums(_MOST_BASES))
    except OSError as error:
        LOG.info('The cache of base images cannot be read: %s', error)
        return ()


def cached_layers(config: Config) -> dict[str, int]:
    """Identities of base images, each with the number of layers over it."""
    known = layers.Settings.from_config(config)
    if known is None:
        return {}
    try:
        return known.store().bases(_MOST_LAYERS)
    except (OSError, exception.ImageBuildError) as error:
        LOG.info('The layers cannot be read: %s', error)
        return {}
