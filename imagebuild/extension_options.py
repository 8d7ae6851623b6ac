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
"""Options of the drivers and stores that are installed.

Programs that have drivers and stores hand them to ``imagebuild.conf``, which
knows neither. oslo-config-generator finds them by the entry point
``imagebuild.extensions`` of ``oslo.config.opts``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

import imagebuild.conf
from imagebuild.common.config_options import Pairs
from imagebuild.common.extensions import Installed
from imagebuild.conf import destination
from imagebuild.conf import extensions
from imagebuild.conf import opts
from imagebuild.drivers import registry as drivers
from imagebuild.stores import registry as stores


@functools.cache
def pairs() -> Pairs:
    """Sections and options of every driver and store that declares some.

    One whose options cannot be used counts as broken from then on: it is
    named in the log, and the others work.
    """
    # Tried on a configuration of their own.
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    found: list[Any] = []
    everything: tuple[Installed[Any], ...] = (
        drivers.installed(),
        stores.installed(),
    )
    for installed in everything:
        for name, extension in list(installed.usable.items()):
            try:
                declared = _declared(extension)
                extensions.register(conf, declared)
            except Exception as error:
                installed.refuse(name, f'its options cannot be used ({error})')
            else:
                found.extend(declared)
    return found


def list_opts() -> Iterable[tuple[cfg.OptGroup | str, list[cfg.Opt]]]:
    """The same, as oslo.config wants it."""
    return [(group, list(options)) for group, options in pairs()]


def of_stores() -> dict[str, Pairs]:
    """What each store that is installed reads, by the names of stores."""
    pairs()
    return {
        name: destination.OF_STORES.get(name) or _declared(store)
        for name, store in stores.stores().items()
    }


def _declared(extension: Any) -> list[tuple[cfg.OptGroup | str, list[Any]]]:
    """What an extension declares.

    :raises ValueError: it is none of its business.
    """
    ours = {
        extensions.section_name(group).lower() for group, _ in opts.list_opts()
    }
    declared = [
        (group, list(options)) for group, options in extension.list_opts()
    ]
    for group, _ in declared:
        name = extensions.section_name(group)
        if name.lower() in ours | {imagebuild.conf.SECRETS} or name.startswith(
            destination.PREFIX
        ):
            raise ValueError(f"section [{name}] is imagebuild's own")
    return declared
