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
"""What a step knows while it runs."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import ClassVar
from typing import Protocol

from imagebuild import distros
from imagebuild import exception
from imagebuild.common.counts import counted
from imagebuild.manifest import arguments
from imagebuild.manifest import hiding
from imagebuild.manifest import monitors
from imagebuild.manifest import output_lines
from imagebuild.manifest import package_cache
from imagebuild.manifest import placeholders
from imagebuild.manifest import reports
from imagebuild.remotes.base import Remote
from imagebuild.remotes.base import Stream

#: Characters of a failed command's output that are looked at.
_LONGEST_OUTPUT = 256 * 1024
#: Names that have a value in every run.
BUILT_IN = frozenset(
    {'distro', 'distro_codename', 'distro_family', 'distro_release'}
)


class Describable(Protocol):
    """What :meth:`Context.step` needs of a validator."""

    type_name: ClassVar[str]
    path: str

    def describe(self) -> str: ...


class StepRecord:
    """What a running step collects for its report.

    :ivar result: set by the step; OK by default.
    :ivar message: what was found or changed.
    """

    def __init__(self, context: Context, step: monitors.RunningStep) -> None:
        self.result = reports.Result.OK
        self.message = ''
        self._context = context
        self._step = step
        self._tail = ''
        self._lines = output_lines.LineCutter(self._line)

    def on_output(self, stream: Stream, text: str) -> None:
        """Take output from a Remote; lines go to the monitor, masked."""
        self._lines.add(stream, text)

    def _line(self, stream: Stream, line: str, dropped: int) -> None:
        line = self._context.mask(line)
        if dropped:
            line = self._context.without_cut_secret(line)
            line += f' [{counted(dropped, "more character")}]'
        self._tail = (self._tail + line[-reports.TAIL :] + '\n')[
            -reports.TAIL :
        ]
        self._context.monitor.output(self._step, stream, line)

    def flush(self) -> None:
        """Pass on what did not end with a newline."""
        self._lines.flush()

    @property
    def tail(self) -> str:
        """The last characters of the output, for the report."""
        return self._tail.rstrip('\n')


@dataclasses.dataclass
class StepCounter:
    """Counts steps, shared by a context and those derived from it."""

    total: int = 0
    started: int = 0
    names: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def name(self, path: str, description: str) -> str:
        """What a step is called: two never carry the same name.

        :param path: of the step; the same one keeps its name.
        """
        paths = self.names.setdefault(description, {})
        number = paths.setdefault(path, len(paths) + 1)
        return description if number == 1 else f'{description} ({number})'


@dataclasses.dataclass
class Context:
    """One run of a manifest over one system.

    :ivar remote: the way in.
    :ivar distro: the family of the system.
    :ivar declared: the manifest's arguments, by name.
    :ivar values: current values; steps may set more.
    :ivar packages: what is installed, looked up once.
    :ivar monitor: informed of progress.
    :ivar report: where finished steps are written.
    :ivar reconcile: False: change nothing, only look.
    :ivar trial: an alternative of ``any`` is being tried.
    :ivar failures: in test-only, what does not hold so far.
    :ivar temporary: files to be removed when the run ends.
    :ivar undo: to be called when the run fails, the last one first: what is
        not in the image, and stays when that is thrown away.
    :ivar assigned: names of the values that steps have set.
    """

    remote: Remote
    distro: distros.Distro
    declared: Mapping[str, arguments.Argument]
    values: dict[str, str]
    packages: package_cache.PackageCache
    monitor: monitors.Monitor
    report: reports.Report
    counter: StepCounter
    reconcile: bool
    trial: bool = False
    failures: list[exception.StepFailed] = dataclasses.field(
        default_factory=list
    )
    temporary: list[str] = dataclasses.field(default_factory=list)
    undo: list[Callable[[], object]] = dataclasses.field(default_factory=list)
    assigned: set[str] = dataclasses.field(default_factory=set)

    def derive(self, *, reconcile: bool, trial: bool) -> Context:
        """A context for one alternative of ``any``.

        It shares everything but the mode and the list of failures; values
        set in it are the caller's to keep or to roll back.
        """
        return dataclasses.replace(
            self,
            reconcile=reconcile,
            trial=trial or self.trial,
            failures=[],
        )

    # -- steps --------------------------------------------------------------

    @contextlib.contextmanager
    def step(self, validator: Describable) -> Iterator[StepRecord]:
        """Run the body as a step: announced, timed, reported.

        A command that fails in it becomes a :class:`StepFailed` that names
        the step. In test-only that failure is noted and the run goes on.

        :raises StepFailed: in reconcile, and in a trial.
        """
        name = self.describe(validator)
        # An alternative that is tried is no step of the report or a plan, so
        # it takes no name away from one.
        if not self.trial:
            self.counter.started += 1
            name = self.counter.name(validator.path, name)
        step = monitors.RunningStep(
            path=validator.path,
            validator=validator.type_name,
            description=name,
            number=self.counter.started,
            total=max(self.counter.total, self.counter.started),
            trial=self.trial,
        )
        record = StepRecord(self, step)
        self.monitor.step_started(step)
        start = time.monotonic()
        failure: exception.StepFailed | None = None
        try:
            yield record
        except exception.StepError as error:
            failure = self._failure(error, validator, record)
            record.result = reports.Result.FAILED
        finally:
            # Also when the environment failed: the step was running then.
            record.flush()
        self._finish(step, record, failure, time.monotonic() - start)
        if failure is not None:
            # A trial asks whether this alternative holds: what follows in it
            # may need what is missing.
            if self.reconcile or self.trial:
                raise failure
            self.failures.append(failure)

    def replay(
        self, validator: Describable, kept: reports.StepReport, *, alone: bool
    ) -> None:
        """Report a step that need not be run.

        :param kept: of the run that did it.
        :param alone: it is the only report of that step.
        """
        path = validator.path if alone else kept.path
        described = self.describe(validator) if alone else kept.description
        self.counter.started += 1
        step = monitors.RunningStep(
            path=path,
            validator=validator.type_name,
            description=self.counter.name(path, described),
            number=self.counter.started,
            total=max(self.counter.total, self.counter.started),
        )
        done = dataclasses.replace(
            kept,
            path=path,
            description=step.description,
            result=reports.Result.CACHED,
            seconds=0.0,
        )
        self.monitor.step_started(step)
        self.report.steps.append(done)
        self.monitor.step_finished(step, done)

    def _finish(
        self,
        step: monitors.RunningStep,
        record: StepRecord,
        failure: exception.StepFailed | None,
        seconds: float,
    ) -> None:
        done = reports.StepReport(
            path=step.path,
            validator=step.validator,
            description=step.description,
            result=record.result,
            seconds=seconds,
            message=failure.reason if failure else self.mask(record.message),
            output=failure.output if failure else record.tail,
        )
        if not self.trial:
            self.report.steps.append(done)
        self.monitor.step_finished(step, done)

    def _failure(
        self,
        error: exception.StepError,
        validator: Describable,
        record: StepRecord,
    ) -> exception.StepFailed:
        record.flush()
        if isinstance(error, exception.StepFailed):
            return type(error)(
                self.mask(error.reason),
                path=error.path or validator.path,
                validator=error.validator or validator.type_name,
                command=self.mask(error.command),
                command_exit_code=error.command_exit_code,
                output=self.mask(error.output) or record.tail,
            )
        if isinstance(error, exception.RemoteCommandFailed):
            output = '\n'.join(
                part.rstrip('\n')
                for part in map(_end_of, (error.stdout, error.stderr))
                if part.strip()
            )
            return exception.StepFailed(
                self.mask(str(error)),
                path=validator.path,
                validator=validator.type_name,
                command=self.mask(' '.join(error.argv)),
                command_exit_code=error.exit_code_of_command,
                output=self.mask(output)[-reports.TAIL :] or record.tail,
            )
        return exception.StepFailed(
            self.mask(str(error)),
            path=validator.path,
            validator=validator.type_name,
            output=record.tail,
        )

    # -- values -------------------------------------------------------------

    def text_value(self, name: str) -> str | None:
        """What ``{{ name }}`` stands for in a text, None without a value."""
        # As a script would see them: they are no arguments.
        if name == 'distro_codename':
            return self.distro.os_release.codename
        if name in BUILT_IN:
            return self.environment(())[name]
        return self.value(name)

    def set_value(self, name: str, value: str) -> None:
        """Set an argument for the steps that follow.

        :raises StepError: it is hidden, and too much to be looked for.
        """
        hidden = self._hidden_values({**self.values, name: value})
        if wrong := hiding.excess(hidden):
            raise exception.StepError(f'"{name}" cannot be set: {wrong}')
        self.values[name] = value
        self.assigned.add(name)

    def remember(self) -> tuple[dict[str, str], set[str]]:
        """The values as they are now, for :meth:`restore`."""
        return dict(self.values), set(self.assigned)

    def restore(self, before: tuple[dict[str, str], set[str]]) -> None:
        """Take back what was set since :meth:`remember`."""
        # In place: derived contexts share them.
        values, assigned = before
        self.values.clear()
        self.values.update(values)
        self.assigned.clear()
        self.assigned.update(assigned)

    def value(self, name: str) -> str | None:
        """The value of an argument, by its name or target variable."""
        return arguments.value_of(self.declared.values(), self.values, name)

    def argument(self, name: str) -> arguments.Argument | None:
        """The declared argument that scripts see under a name."""
        return arguments.find(self.declared.values(), name)

    def environment(self, names: Sequence[str]) -> dict[str, str]:
        """Variables for a script.

        :param names: arguments it asked for; those without a value are left
            unset.
        :returns: ``distro``, ``distro_release``, ``distro_family``,
            ``test_only`` and ``reconcile`` (1 or 0), and the arguments,
            each under its own name and its target variable.
        """
        env: dict[str, str] = {}
        for name in names:
            value = self.value(name)
            if value is None:
                continue
            env[name] = value
            argument = self.argument(name)
            known = argument.name if argument else name
            for variable in arguments.variables(known, argument):
                env[variable] = value
        env.update(
            distro=self.distro.os_release.id,
            distro_release=self.distro.os_release.version_id,
            distro_family=self.distro.family,
            test_only='0' if self.reconcile else '1',
            reconcile='1' if self.reconcile else '0',
        )
        return env

    def describe(self, validator: Describable) -> str:
        """A step in a few words, with the values that it is run with.

        Those of hidden arguments are not put there at all.
        """
        described = placeholders.show(validator.describe(), self._shown_value)
        return self.mask(described)

    def _shown_value(self, name: str) -> str | None:
        argument = self.argument(name)
        hidden = argument is not None and argument.hidden
        return None if hidden else self.text_value(name)

    def mask(self, text: str) -> str:
        """Replace the values of hidden arguments."""
        return self._secrets().hide(text)

    def without_cut_secret(self, text: str) -> str:
        """A masked text without the first part of a secret at its end.

        Where a text was cut a secret may have been cut too, and is not
        recognized.
        """
        return text[: max(len(text) - self._secrets().longest, 0)]

    def _secrets(self) -> hiding.Secrets:
        # Not kept: a step may set the value of a hidden argument.
        return hiding.secrets_of(tuple(self._hidden_values(self.values)))

    def _hidden_values(self, values: Mapping[str, str]) -> Iterator[str]:
        for argument in self.declared.values():
            value = values.get(argument.name, '')
            # What the manifest itself declares is no secret.
            if argument.hidden and value and value != argument.default:
                yield value


def _end_of(text: str) -> str:
    """The last lines of a text, for a report that keeps its end only.

    Whole lines, since secrets are masked line by line; '' when there are
    none in it.
    """
    if len(text) <= _LONGEST_OUTPUT:
        return text
    return text[-_LONGEST_OUTPUT:].partition('\n')[2]
