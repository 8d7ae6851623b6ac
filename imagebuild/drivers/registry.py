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
"""The drivers that are installed, by the entry point imagebuild.drivers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from collections.abc import Sequence

import stevedore

from imagebuild import exception
from imagebuild.common import extensions
from imagebuild.drivers import base
from imagebuild.drivers import isolations

NAMESPACE = 'imagebuild.drivers'


@functools.cache
def drivers() -> dict[str, base.Driver]:
    """One object of every driver that is installed, by its name.

    :raises MissingDependency: an extension does not load.
    """
    manager: stevedore.ExtensionManager[base.Driver] = (
        stevedore.ExtensionManager(
            NAMESPACE,
            invoke_on_load=False,
            on_load_failure_callback=extensions.refuse,
        )
    )
    found = {extension.name: extension.plugin() for extension in manager}
    return dict(sorted(found.items()))


def offered(
    installed: Mapping[str, base.Driver],
    wanted: Sequence[str],
    isolation: isolations.Setting,
) -> tuple[list[str], dict[str, str]]:
    """Tell the drivers that can work on this host from those that cannot.

    :param installed: of :func:`drivers`.
    :param wanted: names; empty for those that are meant for everybody.
    :param isolation: in what the operator has disks opened.
    :returns: names, and of each other one the reason.
    """
    usual = [name for name in sorted(installed) if installed[name].by_default]
    found = []
    reasons = {}
    for name in wanted or usual:
        if name not in installed:
            reasons[name] = 'not installed'
        elif missing := installed[name].missing(isolation):
            reasons[name] = f'missing: {", ".join(missing)}'
        else:
            found.append(name)
    return found, reasons


def get(name: str) -> base.Driver:
    """A driver by its name.

    :raises InvalidInput: there is none of that name.
    """
    try:
        return drivers()[name]
    except KeyError:
        raise exception.InvalidInput(
            f'There is no driver "{name}"; found: {", ".join(drivers())}.'
        ) from None
