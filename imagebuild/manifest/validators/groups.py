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
"""``all`` and ``any``: several validators as one."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import json_schema
from imagebuild.manifest import plans
from imagebuild.manifest import runner
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base

_LIST: Mapping[str, Any] = {
    'title': 'a list of validators',
    'type': 'array',
    'maxItems': json_schema.MANY,
    'minItems': 1,
}


class AllValidator(base.Validator):
    """Every one, in order."""

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'all'
    schema: ClassVar[Mapping[str, Any]] = _LIST

    def __init__(
        self, path: str, validators: Sequence[base.Validator]
    ) -> None:
        super().__init__(path)
        self.validators = tuple(validators)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        return cls(builder.path, builder.validators(spec))

    def describe(self) -> str:
        if len(self.validators) == 1:
            return self.validators[0].describe()
        return f'all of {len(self.validators)} steps'

    def expand(self, context: base.Context) -> Sequence[base.Validator]:
        return self.validators

    def children(self) -> Sequence[base.Validator]:
        return self.validators

    def argument_names(self) -> Sequence[str]:
        return ()

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        for validator in self.validators:
            yield from compiler.compiled(validator)

    def key(self) -> Any:
        return {'all': [child.key() for child in self.validators]}


class AnyValidator(base.Validator):
    """One of several alternatives; the first that is available.

    Both modes first try every alternative in test-only and stop at
    the first that holds. Reconcile then tries each for real. Arguments that
    a failed alternative set are as they were before it.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'any'
    schema: ClassVar[Mapping[str, Any]] = _LIST

    def __init__(
        self, path: str, alternatives: Sequence[base.Validator]
    ) -> None:
        super().__init__(path)
        self.alternatives = tuple(alternatives)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        return cls(builder.path, builder.validators(spec))

    def describe(self) -> str:
        shown = ' | '.join(item.describe() for item in self.alternatives)
        return f'any of {shown}'

    def children(self) -> Sequence[base.Validator]:
        return self.alternatives

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        reasons = self._try_each(context, record, reconcile=False)
        if reasons:
            raise _none_of_them(reasons, 'holds')

    def apply(self, context: base.Context, record: base.StepRecord) -> None:
        # One that holds already is preferred to one that would be changed.
        if not self._try_each(context, record, reconcile=False):
            return
        record.result = base.Result.CHANGED
        reasons = self._try_each(context, record, reconcile=True)
        if reasons:
            raise _none_of_them(reasons, 'is available')

    def _try_each(
        self,
        context: base.Context,
        record: base.StepRecord,
        *,
        reconcile: bool,
    ) -> list[exception.StepFailed]:
        """Try until one succeeds.

        :returns: why each failed; empty when one succeeded.
        """
        reasons: list[exception.StepFailed] = []
        for alternative in self.alternatives:
            before = context.remember()
            failed = _try(alternative, context, reconcile=reconcile)
            if not failed:
                record.message = f'{alternative.path} ' + (
                    'was applied' if reconcile else 'holds'
                )
                return []
            context.restore(before)
            reasons.extend(failed)
        return reasons

    def plan(self, context: base.Context) -> Iterator[plans.PlannedStep]:
        yield plans.PlannedStep(
            self.path, self.type_name, context.describe(self)
        )

    def argument_names(self) -> Sequence[str]:
        return ()

    def foresee(self, context: base.Context) -> bool:
        # Which alternative will be taken is not known: nothing is, if one
        # of them sets anything.
        before = context.remember()
        known = all(
            item.foresee(context) for item in base.walk(self.alternatives)
        )
        same = context.remember() == before
        context.restore(before)
        return known and same

    def key(self) -> Any:
        return {'any': [child.key() for child in self.alternatives]}


def _try(
    alternative: base.Validator, context: base.Context, *, reconcile: bool
) -> list[exception.StepFailed]:
    derived = context.derive(reconcile=reconcile, trial=True)
    try:
        runner.run([alternative], derived)
    except exception.StepFailed as error:
        return [error]
    return derived.failures


def _none_of_them(
    reasons: Sequence[exception.StepFailed], verb: str
) -> exception.StepFailed:
    joined = '; '.join(str(reason) for reason in reasons)
    last = reasons[-1]
    return type(last)(
        f'none of the alternatives {verb} ({joined})',
        command=last.command,
        command_exit_code=last.command_exit_code,
        output='\n'.join(item.output for item in reasons if item.output),
    )
