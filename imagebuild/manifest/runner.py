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

from imagebuild import exception
from imagebuild.manifest.contexts import Context
from imagebuild.manifest.validators import base


def run(validators: Sequence[base.Validator], context: Context) -> None:
    """Run validators in order.

    Reconcile stops at the first failure. Test-only goes on and collects.
    Groups and cases are replaced by what they stand for when their turn
    comes; neighbours of a type that is ``batched`` are run together.

    :raises StepFailed: in reconcile.
    """
    queue = deque(validators)
    while queue:
        validator = _next(queue, context)
        if validator is None:
            return
        kind = type(validator)
        if not kind.batched:
            # Nothing behind it is expanded yet: it may set the argument
            # that decides a case.
            validator.run(context)
            continue
        batch = [validator]
        while (following := _next(queue, context)) is not None:
            if not isinstance(following, kind):
                queue.appendleft(following)
                break
            batch.append(following)
        kind.run_batch(batch, context)


def _next(
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
