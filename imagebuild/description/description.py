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
"""A loaded description of the inside of an image."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import manifest
from imagebuild.description import origin
from imagebuild.description import plugin
from imagebuild.manifest.validators import base

#: An ``imagebuild.remotes.base.Remote``, handed on and never looked at.
Remote = Any


@dataclasses.dataclass(frozen=True)
class DescribedStep:
    """A step of a description, as known without a system.

    :ivar path: its place in the request.
    :ivar validator: type name.
    :ivar description: a few words.
    """

    path: str
    validator: str
    description: str

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


class Description:
    """What the inside of an image is to be like, values included.

    Made by :func:`imagebuild.description.load`.

    :ivar arguments: those that the recipe or manifest declares, in order.
    :ivar values: value of every argument that has one. Secrets among them!
    :ivar os: names of releases, distributions or families that it is for;
        empty for any.
    :ivar min_disk: GiB that the disk must have, 0 for any.
    :ivar recipe: name and version of the recipe, None without one; the
        version is the one chosen if the request named none.
    """

    def __init__(
        self,
        steps: Sequence[base.Validator],
        source: origin.Origin,
        values: Mapping[str, str],
    ) -> None:
        self.arguments = tuple(source.arguments or ())
        self.values = dict(values)
        self.recipe = source.recipe
        self._plugin = source.plugin
        after = source.manifest or manifest.Manifest(())
        self.os = after.os
        # One manifest, so that neighbouring packages are one transaction
        # and what is installed is asked once for all of it.
        self._manifest = manifest.Manifest(
            [*steps, *after.validators],
            after.arguments,
            description=after.description,
            os=after.os,
            min_disk=after.min_disk,
        )
        self.min_disk = after.min_disk
        if self._plugin is not None:
            self.min_disk = self._plugin.min_disk

    @property
    def steps(self) -> Sequence[DescribedStep]:
        """The steps in order; a case or group counts as one."""
        found = [
            DescribedStep(step.path, step.type_name, step.describe())
            for step in self._manifest.validators
        ]
        if self._plugin is not None:
            found.append(
                DescribedStep(plugin.PATH, plugin.VALIDATOR, str(self._plugin))
            )
        return found

    def hidden(self) -> set[str]:
        """Names of the arguments whose values are secrets."""
        return {item.name for item in self.arguments if item.hidden}

    def secrets(self) -> list[str]:
        """The values that must not be shown anywhere.

        What a recipe itself declares as the default is none of them.
        """
        return [
            self.values[item.name]
            for item in sorted(self.arguments, key=lambda item: item.name)
            if item.hidden
            and self.values.get(item.name) not in (None, '', item.default)
        ]

    def content_key(self) -> str:
        """A digest of everything in it that decides the result.

        :returns: 64 hexadecimal digits.
        :raises StepFailed: a recipe that is a plugin cannot tell its own.
        """
        key = self._manifest.content_key(self._declared_values())
        if self._plugin is None:
            return key
        both = f'{key} {self._plugin.content_key(self.values)}'
        return hashlib.sha256(both.encode()).hexdigest()

    def steps_digest(self) -> str:
        """A digest of the steps; of no value, hidden ones least of all.

        Steps of a recipe that is a plugin are not in it.

        :returns: 64 hexadecimal digits.
        """
        return self._manifest.steps_digest()

    def run(
        self,
        remote: Remote,
        values: Mapping[str, Any] | None = None,
        *,
        reconcile: bool = True,
        monitor: manifest.Monitor | None = None,
    ) -> manifest.Report:
        """Bring a system into the described state, or only look.

        Parameters and errors are those of
        :meth:`imagebuild.manifest.Manifest.run`; the description has its
        values, none are given.
        """
        monitor = monitor or manifest.Monitor()
        if self._plugin is None:
            return self._manifest.run(
                remote,
                self._declared_values(),
                reconcile=reconcile,
                monitor=monitor,
            )
        return plugin.run_after(
            self._manifest if self._manifest.validators else None,
            self._plugin,
            remote,
            self.values,
            reconcile=reconcile,
            monitor=monitor,
        )

    def plan(self, remote: Remote) -> list[manifest.PlannedStep]:
        """What :meth:`run` would check and do; looks, changes nothing."""
        planned = self._manifest.plan(remote, self._declared_values())
        if self._plugin is not None:
            planned += plugin.plan(self._plugin, remote, self.values)
        return planned

    def _declared_values(self) -> Mapping[str, str]:
        """Values of the manifest; a plugin's are its own."""
        return {} if self._plugin is not None else self.values
