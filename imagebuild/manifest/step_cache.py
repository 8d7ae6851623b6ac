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
"""Steps that need not be run, since an earlier run has done the same.

Each step has a key: a digest of everything that decides what the disk is
like after it. That is the disk before the first step, every step up to it
with the files that it names, and the values of those arguments that they can
see. Two runs that come to the same key have come to the same state, and the
second may go on from what the first kept there.

The disk must be opened over what was kept, so it is looked for before there
is a disk: what a walk over the steps has to know of the system was kept by
the first run (:mod:`imagebuild.manifest.base_facts`).
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self
from typing import cast

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import checkpoints
from imagebuild.manifest import arguments
from imagebuild.manifest import base_facts
from imagebuild.manifest import contexts
from imagebuild.manifest import foresight
from imagebuild.manifest import monitors
from imagebuild.manifest import package_cache
from imagebuild.manifest import plans
from imagebuild.manifest import reports
from imagebuild.manifest import runner
from imagebuild.manifest import step_keys
from imagebuild.manifest.validators import base
from imagebuild.remotes.base import Remote


@dataclasses.dataclass(frozen=True)
class State:
    """What a run knows besides its disk.

    :ivar outputs: values that steps have set, by name.
    :ivar temporary: files to be removed when the run ends.
    :ivar index_fetched: the package index need not be fetched again.
    :ivar reports: of each step, in order; most have one.
    """

    outputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    temporary: Sequence[str] = ()
    index_fetched: bool = False
    reports: Sequence[Sequence[reports.StepReport]] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        :raises KeyError: it is something else.
        :raises TypeError: likewise.
        :raises ValueError: likewise.
        """
        return cls(
            dict(values['outputs']),
            list(values['temporary']),
            bool(values['index_fetched']),
            [
                [reports.StepReport.from_dict(item) for item in of_one]
                for of_one in values['reports']
            ],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            'outputs': dict(self.outputs),
            'temporary': list(self.temporary),
            'index_fetched': self.index_fetched,
            'reports': [
                [item.to_dict() for item in of_one] for of_one in self.reports
            ],
        }


@dataclasses.dataclass(frozen=True)
class _Resumed:
    """Where a run is taken up.

    :ivar done: the steps that need not be run.
    :ivar left: what is to be run, not expanded yet.
    """

    done: tuple[base.Validator, ...]
    left: tuple[base.Validator, ...]
    state: State
    trace: step_keys.Trace


class StepCache:
    """Follows one run for a :class:`checkpoints.Checkpoint`.

    :param validators: the steps.
    :param declared: the arguments, by name.
    :param values: what they were given.
    :param operators: the steps are an operator's, not a user's.
    """

    def __init__(
        self,
        checkpoint: checkpoints.Checkpoint,
        validators: Sequence[base.Validator],
        declared: Mapping[str, arguments.Argument],
        values: Mapping[str, str],
        *,
        operators: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        self._validators = tuple(validators)
        self._declared = declared
        self._values = values
        self._operators = operators and checkpoint.from_operator
        self._facts: base_facts.BaseFacts | None = None
        self._resumed: _Resumed | None = None
        self._trace: step_keys.Trace | None = None
        self._reports: list[Sequence[reports.StepReport]] = []
        self._needed = False
        self._start = 0.0
        self._reported = 0

    # -- before there is a disk ----------------------------------------------

    def look_up(self) -> None:
        """Find out how many steps need not be run."""
        try:
            known = self._checkpoint.facts()
            if known is not None:
                self._facts = base_facts.BaseFacts.from_dict(known)
                self._walk(self._context(self._facts))
        except (exception.ImageBuildError, KeyError, TypeError, ValueError):
            # Whatever it is, the run itself reports it, over a disk.
            return

    def _context(self, facts: base_facts.BaseFacts) -> contexts.Context:
        remote = cast(Remote, foresight.NoSystem())
        distro = distros.for_release(facts.os_release)
        return contexts.Context(
            remote=remote,
            distro=distro,
            declared=self._declared,
            values=dict(self._values),
            packages=package_cache.PackageCache(distro, remote),
            monitor=monitors.Monitor(),
            report=reports.Report(),
            counter=contexts.StepCounter(),
            reconcile=True,
        )

    def _walk(self, context: contexts.Context) -> None:
        trace = self._root(context)
        queue = deque(self._validators)
        done: list[base.Validator] = []
        while (step := runner.next_step(queue, context)) is not None:
            trace = trace.after(step, context, self._checkpoint.digest)
            done.append(step)
            found = self._checkpoint.find(trace.key, operators=trace.operators)
            if found is not None:
                state = State.from_dict(found)
                self._resumed = _Resumed(
                    tuple(done), tuple(queue), state, trace
                )
                _restore_values(context, state)
            elif not step.foresee(context):
                return

    def _root(self, context: contexts.Context) -> step_keys.Trace:
        return step_keys.root(
            self._checkpoint.identity,
            context.distro.os_release,
            self._checkpoint.digest,
            operators=self._operators,
        )

    # -- what a run asks -----------------------------------------------------

    @property
    def resumed(self) -> bool:
        """Whether there are steps that need not be run."""
        return self._resumed is not None

    def facts(self) -> base_facts.BaseFacts | None:
        """The system before its first step, where the disk is beyond it."""
        return self._facts if self._resumed else None

    def begin(self, context: contexts.Context) -> Sequence[base.Validator]:
        """Put back what was kept, and report the steps that are done.

        :returns: the steps to be run.
        """
        self._begin(context)
        if self._resumed is None:
            return self._validators
        for step, of_one in zip(
            self._resumed.done, self._resumed.state.reports, strict=False
        ):
            for report in of_one:
                context.replay(step, report, alone=len(of_one) == 1)
        self._reports = list(self._resumed.state.reports)
        self._reported = len(context.report.steps)
        return self._resumed.left

    def plan(self, context: contexts.Context) -> list[plans.PlannedStep]:
        """The steps that are done, for a plan; :meth:`begin` for the rest."""
        self._begin(context)
        return [
            plans.PlannedStep(
                step.path,
                step.type_name,
                context.describe(step),
                state=plans.CACHED,
            )
            for step in (self._resumed.done if self._resumed else ())
        ]

    def left(self) -> Sequence[base.Validator]:
        """The steps that are not done."""
        return self._resumed.left if self._resumed else self._validators

    def _begin(self, context: contexts.Context) -> None:
        if self._resumed and not self._checkpoint.opened():
            # The disk is the bare base: everything has to be run.
            self._resumed = None
        if self._resumed is None:
            self._learn(context)
            self._trace = self._root(context)
            return
        self._trace = self._resumed.trace
        state = self._resumed.state
        _restore_values(context, state)
        context.temporary.extend(state.temporary)
        context.packages.resume(index_fetched=state.index_fetched)

    def _learn(self, context: contexts.Context) -> None:
        release = context.distro.os_release
        if self._facts is None or self._facts.os_release != release:
            facts = base_facts.BaseFacts.read(context.remote, release)
            self._checkpoint.learn(facts.to_dict())

    def before(
        self, steps: Sequence[base.Validator], context: contexts.Context
    ) -> None:
        """Called before neighbouring steps are run together."""
        self._reported = len(context.report.steps)
        # Afterwards their values are no news.
        self._needed = not _foreseen(steps, context)
        self._start = time.monotonic()
        for step in steps:
            if self._trace is not None:
                self._trace = self._trace.after(
                    step, context, self._checkpoint.digest
                )

    def after(
        self, steps: Sequence[base.Validator], context: contexts.Context
    ) -> None:
        """Called when they have been run, and have not failed."""
        seconds = time.monotonic() - self._start
        if self._trace is None:
            return
        new = context.report.steps[self._reported :]
        self._reports.extend(_of_each(steps, new))
        if not context.assigned.isdisjoint(_hidden_names(self._declared)):
            # It would have to be kept, to go on from there.
            self._trace = None
            return
        self._checkpoint.reached(
            checkpoints.Reached(
                key=self._trace.key,
                seconds=seconds,
                boundary=steps[-1].boundary,
                needed=self._needed,
                changed=any(
                    item.result is not reports.Result.OK for item in new
                ),
                lasting=all(item.lasting for item in base.walk(steps)),
                operators=self._trace.operators,
                state=self._state(context).to_dict(),
            )
        )

    def _state(self, context: contexts.Context) -> State:
        return State(
            outputs={
                name: context.values[name]
                for name in sorted(context.assigned & context.values.keys())
            },
            temporary=tuple(context.temporary),
            index_fetched=not context.packages.refresh_needed,
            reports=tuple(self._reports),
        )


def _restore_values(context: contexts.Context, state: State) -> None:
    for name, value in state.outputs.items():
        context.set_value(name, value)


def _foreseen(
    steps: Sequence[base.Validator], context: contexts.Context
) -> bool:
    before = context.remember()
    try:
        return all(step.foresee(context) for step in steps)
    finally:
        context.restore(before)


def _hidden_names(declared: Mapping[str, arguments.Argument]) -> set[str]:
    return {
        name
        for item in declared.values()
        if item.hidden
        for name in arguments.variables(item.name, item)
    }


def _of_each(
    steps: Sequence[base.Validator], new: Sequence[reports.StepReport]
) -> list[Sequence[reports.StepReport]]:
    """Reports of steps that were run together, step by step."""
    if len(steps) == 1:
        return [tuple(new)]
    return [
        tuple(item for item in new if item.path == step.path) for step in steps
    ]
