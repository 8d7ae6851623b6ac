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
import inspect
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common import extensions
from imagebuild.drivers import base
from imagebuild.drivers import isolations

NAMESPACE = 'imagebuild.drivers'

#: What a driver is called with a context.
_WITH_CONTEXT = ('open', 'prepared', 'possible_isolations')


@functools.cache
def installed() -> extensions.Installed[base.Driver]:
    """One object of every driver that is installed."""
    return extensions.installed(NAMESPACE, _made)


def _made(plugin: Callable[[], base.Driver]) -> base.Driver:
    """Make the object of a driver.

    :raises TypeError: a build would come to that, minutes later: what the
        driver is called with was another in an earlier release.
    """
    driver = plugin()
    for name in _WITH_CONTEXT:
        try:
            inspect.signature(getattr(driver, name)).bind(None)
        except TypeError as error:
            raise TypeError(
                f'{name}() does not take a BuildContext alone, as of an '
                'earlier release'
            ) from error
    return driver


def drivers() -> dict[str, base.Driver]:
    """The drivers that load, by their names."""
    return installed().usable


def offered(
    found: Mapping[str, base.Driver],
    wanted: Sequence[str],
    isolation: isolations.Setting,
    broken: Mapping[str, str] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Tell the drivers that can work on this host from those that cannot.

    :param found: of :func:`drivers`.
    :param wanted: names; empty for those that are meant for everybody.
    :param isolation: in what the operator has disks opened.
    :param broken: reasons of :func:`installed`.
    :returns: names, and of each other one the reason.
    """
    broken = broken or {}
    usual = [name for name in sorted(found) if found[name].by_default]
    working = []
    reasons = {}
    for name in wanted or [*usual, *sorted(broken)]:
        if name not in found:
            reasons[name] = broken.get(name, 'not installed')
        elif missing := found[name].missing(isolation):
            reasons[name] = f'missing: {", ".join(missing)}'
        else:
            working.append(name)
    return working, reasons


def get(name: str) -> base.Driver:
    """A driver by its name.

    :raises InvalidInput: there is none of that name.
    :raises MissingDependency: it does not load.
    """
    try:
        return drivers()[name]
    except KeyError:
        if broken := installed().broken_one(name):
            raise broken from None
        raise exception.InvalidInput(
            f'There is no driver "{name}"; found: {", ".join(drivers())}.'
        ) from None
