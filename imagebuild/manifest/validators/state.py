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
"""What the validators of a describable state have in common."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.manifest import plans
from imagebuild.manifest.validators import base

#: Part of a step to what is wrong with it.
Differences = Mapping[str, Sequence[str]]


class StateValidator(base.Validator):
    """A validator that can name every difference from its state."""

    @abc.abstractmethod
    def differences(self, context: base.Context) -> Differences:
        """Look once; change nothing.

        :returns: what does not hold: for each part of the step that is
            concerned (a path, a unit, a user), a clause or several.
        :raises StepError: it cannot be looked at, or cannot ever hold here.
        """

    @abc.abstractmethod
    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        """Apply the state.

        :param parts: of what :meth:`differences` found, the keys.
        :returns: what was done, in a few words.
        :raises StepError: it could not be done.
        """

    def commands(self, context: base.Context) -> Sequence[str]:
        """What a change would run, for people to read; no secrets."""
        return ()

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        wrong = self.differences(context)
        if wrong:
            raise exception.StepFailed(_clauses(wrong))

    def apply(self, context: base.Context, record: base.StepRecord) -> None:
        wrong = self.differences(context)
        if not wrong:
            record.message = 'holds already'
            return
        record.message = self.change(context, record, wrong.keys())
        record.result = base.Result.CHANGED
        left = self.differences(context)
        if left:
            raise exception.StepFailed(
                'after the change still: ' + _clauses(left)
            )

    def plan(self, context: base.Context) -> Iterator[plans.PlannedStep]:
        message = ''
        try:
            state = 'missing' if self.differences(context) else 'holds'
        except exception.StepError as error:
            # An earlier step may bring what is lacking.
            state, message = 'unknown', str(error)
        commands: Sequence[str] = ()
        if state != 'holds':
            # A value that an earlier step sets may be missing here.
            with contextlib.suppress(exception.StepError):
                commands = self.commands(context)
        yield plans.PlannedStep(
            self.path,
            self.type_name,
            context.describe(self),
            state=state,
            commands=tuple(map(context.mask, commands)),
            message=context.mask(message),
        )


def _clauses(wrong: Differences) -> str:
    return '; '.join(clause for part in wrong.values() for clause in part)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names for a description, not too many."""
    more = len(names) - most
    return ', '.join(names[:most]) + (f' and {more} more' if more > 0 else '')
