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
"""The steps of a run that has no system yet, named as the run names them."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NoReturn
from typing import cast

from imagebuild import exception
from imagebuild.manifest import arguments
from imagebuild.manifest import contexts
from imagebuild.manifest import monitors
from imagebuild.manifest import package_cache
from imagebuild.manifest import plans
from imagebuild.manifest import reports
from imagebuild.manifest.validators import base


def steps(
    validators: Sequence[base.Validator],
    declared: Mapping[str, arguments.Argument],
    values: Mapping[str, str],
) -> list[plans.PlannedStep]:
    """The steps that a run would have, as far as is known without a system.

    Groups are their steps. A case that the system or an earlier step decides
    stays one step, and what only a run knows stays a name in a description.

    :param declared: the arguments, by name.
    :param values: of the arguments.
    :returns: them in order. Values of hidden arguments are not in them.
    """
    context = _context(declared, values)
    queue = deque(validators)
    found = []
    while queue:
        step = queue.popleft()
        try:
            inside = step.expand(context)
            known = inside is not None or step.foresee(context)
        except exception.StepError:
            # A case that the system decides, or a value that a step sets.
            inside, known = None, False
        if inside is not None:
            queue.extendleft(reversed(inside))
            continue
        name = context.counter.name(step.path, context.describe(step))
        found.append(plans.PlannedStep(step.path, step.type_name, name))
        if not known:
            context.forget(step)
    return found


class NoSystem:
    """Stands for a Remote, or a family, where there is none yet."""

    def __getattr__(self, name: str) -> NoReturn:
        raise exception.StepFailed('there is no system to look at yet')


@dataclasses.dataclass
class _Context(contexts.Context):
    """A run before its system is there.

    :ivar unknown: names of the values that only a run knows, as the
        arguments are called; None: of all of them.
    """

    unknown: set[str] | None = dataclasses.field(default_factory=set)

    def value(self, name: str) -> str | None:
        """The value of an argument.

        :raises StepFailed: only a run knows it.
        """
        if self.unknown is None or self._known_as(name) in self.unknown:
            raise exception.StepFailed(f'the value of "{name}" is not known')
        return super().value(name)

    def text_value(self, name: str) -> str | None:
        if name in contexts.BUILT_IN:
            return None
        try:
            return self.value(name)
        except exception.StepFailed:
            return None

    def set_value(self, name: str, value: str) -> None:
        if self.unknown is not None:
            self.unknown.discard(self._known_as(name))
        super().set_value(name, value)

    def forget(self, step: base.Validator) -> None:
        """Know nothing more of what a step, or one inside it, sets."""
        for item in base.walk([step]):
            if item.argument_names() is None:
                self.unknown = None
            if self.unknown is not None:
                self.unknown.update(map(self._known_as, item.outputs()))

    def _known_as(self, name: str) -> str:
        argument = self.argument(name)
        known = argument.name if argument else name
        return known.replace('-', '_').replace('.', '_')


def _context(
    declared: Mapping[str, arguments.Argument], values: Mapping[str, str]
) -> _Context:
    nothing = cast(Any, NoSystem())
    return _Context(
        remote=nothing,
        distro=nothing,
        declared=declared,
        values=dict(values),
        packages=package_cache.PackageCache(nothing, nothing),
        monitor=monitors.Monitor(),
        report=reports.Report(),
        counter=contexts.StepCounter(),
        reconcile=True,
    )
