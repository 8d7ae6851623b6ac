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
from imagebuild.manifest.context import Context
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import package


def run(validators: Sequence[base.Validator], context: Context) -> None:
    """Run validators in order.

    Reconcile stops at the first failure. Test-only goes on and collects.
    Groups and cases are replaced by what they stand for when their turn
    comes; package steps that then stand side by side are installed in one
    transaction.

    :raises StepFailed: in reconcile.
    """
    queue = deque(validators)
    while queue:
        validator = _next(queue, context)
        if validator is None:
            return
        if not isinstance(validator, package.PackageValidator):
            validator.run(context)
            continue
        side_by_side = [validator]
        while (following := _next(queue, context)) is not None:
            if not isinstance(following, package.PackageValidator):
                queue.appendleft(following)
                break
            side_by_side.append(following)
        _run_packages(side_by_side, context)


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


def _run_packages(
    steps: Sequence[package.PackageValidator], context: Context
) -> None:
    transaction = package.Transaction()
    if context.reconcile and len(steps) > 1 and _may_merge(steps):
        transaction.wanted = [item for step in steps for item in step.wanted]
    for step in steps:
        step.run_with(context, transaction)


def _may_merge(steps: Sequence[package.PackageValidator]) -> bool:
    """One transaction must mean the same as several.

    It does unless a package is named twice with different versions.
    """
    versions: dict[str, str | None] = {}
    for step in steps:
        for item in step.wanted:
            if versions.setdefault(item.name, item.version) != item.version:
                return False
    return True


def count(validators: Sequence[base.Validator], context: Context) -> int:
    """How many steps a run is expected to have, as far as can be told."""
    total = 0
    for validator in validators:
        try:
            inside = validator.expand(context)
        except exception.StepError:
            inside = ()
        total += 1 if inside is None else count(inside, context)
    return total
