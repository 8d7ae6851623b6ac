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
import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild import manifest
from imagebuild.common import boot_tests
from imagebuild.common import checkpoints
from imagebuild.common import guest_program
from imagebuild.description import origin
from imagebuild.description import plugin
from imagebuild.manifest import content_key
from imagebuild.manifest.validators import base

#: An ``imagebuild.remotes.base.Remote``, handed on and never looked at.
Remote = Any

#: Raised when the service would make another image of the same request.
GENERATION = 1

#: How a build is cleaned up before it is closed; part of its content. The
#: image is for many machines: nothing of one of them stays in it.
CLEANUP: Mapping[str, bool] = {'generalize': True, 'keep_cache': False}


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


class Description(manifest.Runnable):
    """What the inside of an image is to be like, values included.

    Made by :func:`imagebuild.description.load`.

    :ivar arguments: those that the recipe or manifest declares, in order.
    :ivar values: value of every argument that has one. Secrets among them!
    :ivar os: names of releases, distributions or families that it is for;
        empty for any.
    :ivar min_disk: GiB that the disk must have, 0 for any.
    :ivar elements: of diskimage-builder, each with its place in the request.
    :ivar recipe: name and version of the recipe, None without one; the
        version is the one chosen if the request named none.
    """

    def __init__(
        self,
        steps: Sequence[base.Validator],
        source: origin.Origin,
        values: Mapping[str, str],
        elements: Mapping[str, str] | None = None,
    ) -> None:
        self.arguments = tuple(source.arguments or ())
        self.values = dict(values)
        self.elements = dict(elements or {})
        self.recipe = source.recipe
        # What a user wrote comes first, so nothing after it is another's.
        self._operators = not steps and source.recipe is not None
        after = source.manifest or manifest.Manifest(())
        self.os = after.os
        self.min_disk = after.min_disk
        # One manifest, so that neighbouring packages are one transaction
        # and what is installed is asked once for all of it.
        self._manifest = manifest.Manifest(
            [*steps, *after.validators],
            after.arguments,
            description=after.description,
            os=after.os,
            min_disk=after.min_disk,
        )
        self._plugin: manifest.Runnable | None = None
        self._plugin_name = ''
        if source.plugin is None:
            self._steps = self._manifest.bound(self.values)
        else:
            # The values are the plugin's own; the steps before it have none.
            self._steps = self._manifest.bound({})
            self._plugin = source.plugin.bound(self.values)
            self._plugin_name = str(source.plugin)
            self.min_disk = source.plugin.min_disk

    @property
    def steps(self) -> Sequence[DescribedStep]:
        """The steps in order, each named as its run names it.

        A case that only the system decides counts as one, and so does a
        recipe that is a plugin.
        """
        found = [
            DescribedStep(step.path, step.validator, step.description)
            for step in self._steps.foreseen()
        ]
        if self._plugin is not None:
            found.append(
                DescribedStep(plugin.PATH, plugin.VALIDATOR, self._plugin_name)
            )
        return found

    def names_elements(self) -> bool:
        """Whether the request itself names elements, or its manifest does.

        Those of a recipe are the operator's.
        """
        return any(place != 'recipe' for place in self.elements.values())

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
        key = self._steps.content_key()
        if self._plugin is None:
            return key
        # A plugin is opaque: all that is known of it is its own key.
        both = f'{key} {self._plugin.content_key()}'
        return hashlib.sha256(both.encode()).hexdigest()

    def image_content_key(
        self, base_image: Mapping[str, Any], request: Mapping[str, Any]
    ) -> str:
        """A digest of everything that decides the content of an image.

        Two requests with the same key get the same image. Names, tags,
        visibility and the like are not content.

        :param base_image: what the base resolved to: ``identity``, and
            ``driver`` if the request names none.
        :param request: the body of the request: ``disk_format``,
            ``container_format``, ``driver``, ``driver_options``,
            ``architecture``, ``destinations``, ``boot_test``; a default
            that is spelled out makes no difference. ``driver_options`` are
            those that the build will use, the catalogue's included.
        :returns: 64 hexadecimal digits.
        :raises StepFailed: a recipe that is a plugin failed to compute its
            own.
        """
        driver = request.get('driver') or base_image.get('driver')
        facts = {
            'architecture': request.get('architecture') or 'x86_64',
            'base': base_image.get('identity') or '',
            'container_format': request.get('container_format') or 'bare',
            'description': self.content_key(),
            'disk_format': request.get('disk_format') or 'qcow2',
            'driver': driver or 'guestfs',
            'driver_options': {
                name: value
                for name, value in (
                    request.get('driver_options') or {}
                ).items()
                # In what a disk is opened decides nothing of its content.
                if name != 'isolation'
            },
            # The older name; another one would change every key.
            'finish': dict(CLEANUP),
            'generation': GENERATION,
            'language': content_key.LANGUAGE,
            **_elsewhere(request),
            # Left out else: most images are made of none.
            **({'elements': [*self.elements]} if self.elements else {}),
            # Nobody gets an image for a tested one that is not.
            **_tested(request),
        }
        text = json.dumps(
            facts, sort_keys=True, ensure_ascii=True, separators=(',', ':')
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def steps_digest(self) -> str:
        """A digest of the steps; of no value, hidden ones least of all.

        Steps of a recipe that is a plugin are not in it.

        :returns: 64 hexadecimal digits.
        """
        return self._manifest.steps_digest()

    def run(
        self,
        remote: Remote,
        *,
        reconcile: bool = True,
        monitor: manifest.Monitor | None = None,
        cache: manifest.StepCache | None = None,
    ) -> manifest.Report:
        monitor = monitor or manifest.Monitor()
        if self._plugin is None:
            return self._steps.run(
                remote, reconcile=reconcile, monitor=monitor, cache=cache
            )
        return plugin.run_after(
            self._steps if self._manifest.validators else None,
            self._plugin,
            remote,
            self._plugin_name,
            reconcile=reconcile,
            monitor=monitor,
            cache=cache,
        )

    def program(self) -> guest_program.GuestProgram:
        """Say it in shell, for a guest that nobody reaches from outside.

        :raises InvalidRequest: it cannot be said so, with every problem.
        """
        if self._plugin is not None:
            raise exception.InvalidRequest(
                [
                    exception.Problem(
                        'recipe',
                        f'"{self._plugin_name}" is a program of its own, and '
                        'not steps that a guest could run alone; that needs '
                        'a way into the guest',
                    )
                ]
            )
        try:
            return self._steps.program()
        except exception.InvalidManifest as error:
            raise exception.InvalidRequest(error.errors) from error

    def cached(
        self, checkpoint: checkpoints.Checkpoint
    ) -> manifest.StepCache | None:
        return self._steps.cached(checkpoint, operators=self._operators)

    def plan(
        self, remote: Remote, *, cache: manifest.StepCache | None = None
    ) -> list[manifest.PlannedStep]:
        planned = self._steps.plan(remote, cache=cache)
        if self._plugin is not None:
            planned += plugin.plan(self._plugin, remote, self._plugin_name)
        return planned


def _tested(request: Mapping[str, Any]) -> dict[str, Any]:
    """How it is booted, left out where it is not."""
    wanted = request.get(boot_tests.FIELD)
    return {boot_tests.FIELD: wanted} if wanted else {}


def _elsewhere(request: Mapping[str, Any]) -> dict[str, Any]:
    """Where else than in this cloud an image shall be, and as what.

    An image that is there for this cloud alone is not in the others, and
    each of them may have formats of its own for what names none.
    """
    further = {*(request.get('destinations') or ())} - {''}
    if not further:
        return {}
    named = ('disk_format', 'container_format')
    return {
        'destinations': sorted({*request['destinations']}),
        'named_formats': [request.get(name) or '' for name in named],
    }
