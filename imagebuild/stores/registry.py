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
"""The stores that are installed, by the entry point imagebuild.stores."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.common import extensions
from imagebuild.stores import base

NAMESPACE = 'imagebuild.stores'


@functools.cache
def installed() -> extensions.Installed[type[base.Store]]:
    """The class of every store that is installed."""
    return extensions.installed(NAMESPACE, lambda plugin: plugin)


def stores() -> dict[str, type[base.Store]]:
    """The stores that load, by their names."""
    return installed().usable


def load(name: str, config: Mapping[str, Mapping[str, Any]]) -> base.Store:
    """Make a store.

    :param name: of its entry point.
    :param config: see :meth:`base.Store.from_config`.
    :raises InvalidInput: there is none of that name, or an option is wrong.
    :raises MissingDependency: it does not load.
    """
    try:
        kind = stores()[name]
    except KeyError:
        if broken := installed().broken_one(name):
            raise broken from None
        raise exception.InvalidInput(
            f'There is no store "{name}"; found: {", ".join(stores())}.'
        ) from None
    return kind.from_config(config)
