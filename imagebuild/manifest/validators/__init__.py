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
"""The validators of the language, one file each."""

from __future__ import annotations

import functools

import stevedore

from imagebuild import exception
from imagebuild.common import extensions
from imagebuild.manifest.validators import base

NAMESPACE = 'imagebuild.validators'


@functools.cache
def types() -> dict[str, type[base.Validator]]:
    """Every validator that is installed, by its name in manifests.

    :raises MissingDependency: one does not load, or two claim one name.
    """
    manager: stevedore.ExtensionManager[base.Validator] = (
        stevedore.ExtensionManager(
            NAMESPACE, on_load_failure_callback=extensions.refuse
        )
    )
    found: dict[str, type[base.Validator]] = {}
    for extension in manager:
        other = found.setdefault(extension.name, extension.plugin)
        if other is not extension.plugin:
            raise exception.MissingDependency(
                what=f'one clear validator "{extension.name}"',
                remedy=f'both {other.__module__} and '
                f'{extension.plugin.__module__} claim the name',
            )
    return found


@functools.cache
def release_of(kind: type[base.Validator]) -> str:
    """The code of a validator: its module, its class and its release.

    :returns: without the release for what no distribution installed.
    """
    manager: stevedore.ExtensionManager[base.Validator] = (
        stevedore.ExtensionManager(
            NAMESPACE, on_load_failure_callback=extensions.refuse
        )
    )
    name = f'{kind.__module__}.{kind.__qualname__}'
    for extension in manager:
        distribution = extension.entry_point.dist
        if issubclass(kind, extension.plugin) and distribution:
            return f'{name} {distribution.name} {distribution.version}'
    return name
