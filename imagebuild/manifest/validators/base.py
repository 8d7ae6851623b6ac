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
"""What a validator is.

A validator is one key of the manifest language: it describes a part of a
system's state, can check whether that part holds and, mostly, apply it. One
file in this directory and one line under the entry point
``imagebuild.validators`` make one; another package can add its own the same
way (see "Writing a validator" in the documentation).

Life of a validator: :meth:`Validator.from_spec` while the manifest is
loaded (checks everything it can without a system, opens nothing), then
:meth:`Validator.run` for each run, by way of :meth:`check` or
:meth:`apply`.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import json_schema
from imagebuild.manifest import arguments
from imagebuild.manifest import plans
from imagebuild.manifest import resource_files
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.contexts import Context
from imagebuild.manifest.contexts import StepRecord
from imagebuild.manifest.reports import Result

#: Properties that only scripts have.
_OF_SCRIPTS = frozenset({'env_vars', 'inline', 'output'})


@dataclasses.dataclass(frozen=True)
class Names:
    """Names under which steps of a manifest may refer to a value.

    :ivar declared: the declared arguments.
    :ivar of_arguments: their names and target variables.
    :ivar of_steps: what steps set, whether it was declared or not.
    """

    declared: Sequence[arguments.Argument]
    of_arguments: frozenset[str]
    of_steps: frozenset[str]

    @classmethod
    def of(
        cls, declared: Sequence[arguments.Argument], outputs: Iterable[str]
    ) -> Self:
        """Collect them from declared arguments and what steps set."""
        return cls(
            declared,
            frozenset(
                name
                for item in declared
                for name in arguments.variables(item.name, item)
            ),
            frozenset(
                name
                for output in outputs
                for name in arguments.variables(output, None)
            ),
        )


class Builder:
    """Where a validator is built: its place, its files, its siblings.

    :ivar path: manifest path of the value being read.
    :ivar resources: the files that the manifest may name.
    :ivar arguments: the declared arguments, by name.
    :ivar problems: what is wrong so far; add with :meth:`problem`.
    :ivar outputs: names that some step of the manifest sets.
    :ivar included: names of the files that were included, in order.
    :ivar chain: those of them that this place is inside of.
    """

    def __init__(
        self,
        path: str,
        *,
        resources: resource_files.Resources,
        arguments: dict[str, arguments.Argument],
        types: Mapping[str, type[Validator]],
        problems: list[exception.Problem],
        outputs: set[str],
    ) -> None:
        self.path = path
        self.resources = resources
        self.arguments = arguments
        self.problems = problems
        self.outputs = outputs
        self.included: list[str] = []
        self.chain: tuple[str, ...] = ()
        self._types = types

    def at(self, *parts: str | int) -> Builder:
        """The same builder, further down."""
        # What it collects is shared by all of them.
        further = copy.copy(self)
        further.path = json_schema.join(self.path, *parts)
        return further

    def inside(self, name: str) -> Builder:
        """The same builder, for what an included file holds."""
        inner = self.at(name)
        inner.chain = (*self.chain, name)
        self.included.append(name)
        return inner

    def problem(self, message: str, *parts: str | int) -> None:
        """Note that something is wrong.

        :param message: one plain message.
        :param parts: keys and indices below :attr:`path`.
        """
        self.problems.append(
            exception.Problem(json_schema.join(self.path, *parts), message)
        )

    def resource(
        self,
        name: str,
        *parts: str | int,
        limit: int = resource_files.MAX_BYTES,
    ) -> bytes:
        """Read a resource; a problem is noted when that cannot be done.

        :param limit: bytes that it may have.
        :returns: its content, b'' after a problem.
        """
        try:
            return self.resources.read(name, limit)
        except resource_files.ResourceError as error:
            self.problem(str(error), *parts)
            return b''

    def validators(self, spec: Any) -> list[Validator]:
        """Build a list of validators that stands at :attr:`path`."""
        if not isinstance(spec, list):
            self.problem('it is not a list of validators')
            return []
        built = (
            self.at(index).validator(item) for index, item in enumerate(spec)
        )
        return [validator for validator in built if validator is not None]

    def validator(self, item: Any) -> Validator | None:
        """Build one validator, a mapping of one key.

        :returns: None after a problem has been noted.
        """
        if not isinstance(item, dict) or len(item) != 1:
            self.problem('it is not a mapping with exactly one key')
            return None
        [(name, spec)] = item.items()
        kind = self._types.get(name)
        if kind is None:
            self.problem(self._unknown(name, spec), name)
            return None
        inner = self.at(name)
        wrong = json_schema.check(spec, kind.schema, inner.path)
        if wrong:
            self.problems.extend(wrong)
            return None
        return kind.from_spec(spec, inner)

    def _unknown(self, name: Any, spec: Any) -> str:
        known = ', '.join(sorted(self._types))
        script = isinstance(spec, dict) and not _OF_SCRIPTS.isdisjoint(spec)
        if script or '/' in str(name):
            return (
                'unknown validator; a script is written '
                f'{{script: {{{name}: {{...}}}}}}; known are: {known}'
            )
        return f'unknown validator; known are: {known}'


class Validator(abc.ABC):
    """One step of a manifest.

    :cvar type_name: its key in manifests.
    :cvar schema: JSON schema of its value, checked before
        :meth:`from_spec` is called.
    :cvar batched: neighbours of this type are run together, by
        :meth:`run_batch`. Such a step sets no argument, since what follows
        is expanded before it runs.
    :cvar lasting: what it does depends on nothing but the manifest and the
        system: it would do the same on any other day.
    :ivar path: its place in the manifest.
    :ivar boundary: what it leaves is worth keeping, however fast it was.
    """

    type_name: ClassVar[str]
    batched: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    boundary: bool = False
    schema: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    @abc.abstractmethod
    def from_spec(cls, spec: Any, builder: Builder) -> Self:
        """Make one from the value that stands in the manifest.

        Called while the manifest is loaded: no system is there yet, and
        none may be touched. Every error is added to the builder; the
        object returned after that is never run.

        :param spec: the value, already of the form of :attr:`schema`.
        :param builder: its place and surroundings.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """The step in a few words, such as ``install redis-server``."""

    def check(self, context: Context, record: StepRecord) -> None:
        """Look whether the state holds; change nothing.

        :raises StepFailed: it does not; with the reason.
        :raises StepError: it could not be looked at.
        """

    def apply(self, context: Context, record: StepRecord) -> None:
        """Apply the state; one look when it holds already.

        Sets ``record.result`` to CHANGED (or RAN) if it did anything.

        :raises StepFailed: it could not be applied.
        :raises StepError: a command failed.
        """
        self.check(context, record)

    def run(self, context: Context) -> None:
        """Run as one step, in the context's mode.

        :raises StepFailed: in reconcile; test-only collects failures.
        """
        with context.step(self) as record:
            if context.reconcile:
                self.apply(context, record)
            else:
                self.check(context, record)

    @classmethod
    def run_batch(cls, steps: Sequence[Self], context: Context) -> None:
        """Run neighbouring steps of this type, in order.

        :raises StepFailed: in reconcile; test-only collects failures.
        """
        for step in steps:
            step.run(context)

    def expand(self, context: Context) -> Sequence[Validator] | None:
        """The validators this one stands for, None if it is a step itself.

        Groups and cases are not steps: the list they stand for takes their
        place when it is their turn.
        """
        return None

    def children(self) -> Sequence[Validator]:
        """Every validator inside, whatever the branch."""
        return ()

    def check_names(self, names: Names) -> Iterator[exception.Problem]:
        """Check the arguments that it refers to, once all steps are known.

        :param names: what the whole manifest declares and sets.
        :returns: what is wrong.
        """
        yield from ()

    def argument_names(self) -> Sequence[str] | None:
        """Names of the arguments whose values it looks at.

        The values of others make no difference to it, so it need not be
        run again when only they are different. What is inside it speaks
        for itself.

        :returns: None: it may look at any, and set any.
        """
        return None

    def outputs(self) -> Sequence[str]:
        """Names of the values that it sets for the steps that follow."""
        return ()

    def seen_name(self) -> str:
        """What of its name in the manifest the system can see."""
        return ''

    def foresee(self, context: Context) -> bool:
        """Set the values that a run of it would set.

        Called where there is no system yet: ``context.remote`` is of no use.

        :returns: False when only a run can tell.
        """
        return self.argument_names() is not None

    def packages(self) -> Sequence[distros.Package]:
        """Packages this step itself will ask about."""
        return ()

    def plan(self, context: Context) -> Iterator[plans.PlannedStep]:
        """What a run would check and do here; looks, changes nothing."""
        yield plans.PlannedStep(
            self.path, self.type_name, context.describe(self)
        )

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        """Say it in shell, for a guest that nobody reaches from outside.

        :raises NotInShell: it cannot be said so.
        """
        raise shell_compiler.NotInShell('cannot be run by the guest alone')

    @abc.abstractmethod
    def key(self) -> Any:
        """Plain JSON values that decide what this step does.

        Part of the content key: two manifests with the same key build the
        same image. Contents count, not the names of files.
        """


def walk(validators: Sequence[Validator]) -> Iterator[Validator]:
    """Every validator of a tree, parents first."""
    for validator in validators:
        yield validator
        yield from walk(validator.children())


__all__ = ['Builder', 'Context', 'Result', 'StepRecord', 'Validator', 'walk']
