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
"""Run a list of validators in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from imagebuild import exception
from imagebuild.manifest.contexts import Context
from imagebuild.manifest.validators import base


class Follower(Protocol):
    """Decides where a run begins, and is told how far it has come."""

    def begin(self, context: Context) -> Sequence[base.Validator]:
        """Called once; returns the steps to be run."""

    def before(
        self, steps: Sequence[base.Validator], context: Context
    ) -> None:
        """Called before neighbouring steps are run together."""

    def after(self, steps: Sequence[base.Validator], context: Context) -> None:
        """Called when they have been run, and have not failed."""


def run(
    validators: Sequence[base.Validator],
    context: Context,
    follower: Follower | None = None,
) -> None:
    """Run validators in order.

    Reconcile stops at the first failure. Test-only goes on and collects.
    Groups and cases are replaced by what they stand for when their turn
    comes; neighbours of a type that is ``batched`` are run together.

    :param follower: with it, no steps are run together across a
        ``boundary``.
    :raises StepFailed: in reconcile.
    """
    queue = deque(follower.begin(context) if follower else validators)
    while batch := _next_batch(queue, context, boundaries=bool(follower)):
        if follower:
            follower.before(batch, context)
        kind = type(batch[0])
        if kind.batched:
            kind.run_batch(batch, context)
        else:
            batch[0].run(context)
        if follower:
            follower.after(batch, context)


def _next_batch(
    queue: deque[base.Validator], context: Context, *, boundaries: bool
) -> list[base.Validator]:
    """Take the steps that are run together; empty at the end."""
    validator = next_step(queue, context)
    if validator is None:
        return []
    batch = [validator]
    kind = type(validator)
    # Of others nothing behind them is expanded yet: they may set the
    # argument that decides a case.
    while kind.batched and not (boundaries and batch[-1].boundary):
        following = next_step(queue, context)
        if following is None:
            break
        if not isinstance(following, kind):
            queue.appendleft(following)
            break
        batch.append(following)
    return batch


def next_step(
    queue: deque[base.Validator], context: Context
) -> base.Validator | None:
    """Take the next real step, expanding what is not one."""
    while queue:
        validator = queue.popleft()
        inside = validator.expand(context)
        if inside is None:
            return validator
        queue.extendleft(reversed(inside))
    return None


def count(validators: Sequence[base.Validator], context: Context) -> int:
    """How many steps a run is expected to have, as far as is known."""
    total = 0
    for validator in validators:
        try:
            inside = validator.expand(context)
        except exception.StepError:
            # It cannot be expanded yet; the number is only shown.
            inside = ()
        total += 1 if inside is None else count(inside, context)
    return total
