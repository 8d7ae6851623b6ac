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
"""A recipe that is a plugin, run after the lists of a request as one run."""

from __future__ import annotations

import dataclasses
from typing import Any

from imagebuild import exception
from imagebuild import manifest

#: A plugin's place in a request.
PATH = 'recipe'
VALIDATOR = 'plugin'


class _Part(manifest.Monitor):
    """Passes one part of the run on, as a part.

    :param inner: follows the whole run.
    :param before: how many steps went before.
    :param name: what the plugin calls its own place, '' for what has paths
        of the request already.
    """

    def __init__(
        self, inner: manifest.Monitor, total: int, before: int, name: str = ''
    ) -> None:
        self._inner = inner
        self._total = total
        self._before = before
        self._name = name

    def _moved(self, step: manifest.RunningStep) -> manifest.RunningStep:
        return dataclasses.replace(
            step,
            path=_path(step.path, self._name),
            number=step.number + self._before,
            total=max(self._total, step.total + self._before),
        )

    def step_started(self, step: manifest.RunningStep) -> None:
        self._inner.step_started(self._moved(step))

    def output(
        self, step: manifest.RunningStep, stream: Any, line: str
    ) -> None:
        self._inner.output(self._moved(step), stream, line)

    def step_finished(
        self, step: manifest.RunningStep, result: manifest.StepReport
    ) -> None:
        self._inner.step_finished(
            self._moved(step), _named(result, self._name)
        )

    def notice(self, message: str) -> None:
        self._inner.notice(message)


class _First(_Part):
    """Also reports how many steps there are, the plugin included."""

    def run_started(self, total: int) -> None:
        # The plugin counts as one step until it reports its own.
        self._total = total + 1
        self._inner.run_started(self._total)


def run_after(
    first: manifest.Runnable | None,
    recipe: manifest.Runnable,
    remote: Any,
    name: str,
    *,
    reconcile: bool,
    monitor: manifest.Monitor,
    cache: manifest.StepCache | None = None,
) -> manifest.Report:
    """Run the steps of the lists, then a plugin, as one run with one report.

    :param first: None if there is nothing to be done before.
    :param name: what the plugin calls its own place.
    :param cache: of ``first``; a plugin is opaque.
    :raises ImageBuildError: as :meth:`imagebuild.manifest.Runnable.run`;
        ``report`` is that of the whole.
    """
    report = manifest.Report(reconcile=reconcile)
    try:
        if first is None:
            monitor.run_started(1)
        else:
            _run(
                report,
                first.run,
                remote,
                reconcile=reconcile,
                monitor=_First(monitor, 0, 0),
                cache=cache,
            )
        before = len(report.steps)
        _run(
            report,
            recipe.run,
            remote,
            reconcile=reconcile,
            monitor=_Part(monitor, before + 1, before, name),
            name=name,
        )
    finally:
        monitor.run_finished(report)
    return report


def plan(
    recipe: manifest.Runnable, remote: Any, name: str
) -> list[manifest.PlannedStep]:
    """Plan a recipe that is a plugin, with paths of the request."""
    return [
        dataclasses.replace(step, path=_path(step.path, name))
        for step in recipe.plan(remote)
    ]


def _run(
    whole: manifest.Report, run: Any, *args: Any, name: str = '', **kwargs: Any
) -> None:
    try:
        part = run(*args, **kwargs)
    except (exception.ImageBuildError, exception.Interrupted) as error:
        if isinstance(error.report, manifest.Report):
            _add(whole, error.report, name)
        error.report = whole
        if name and isinstance(error, exception.StepFailed):
            raise _moved(error, name) from error
        raise
    _add(whole, part, name)


def _add(whole: manifest.Report, part: manifest.Report, name: str) -> None:
    whole.distro = whole.distro or part.distro
    whole.release = whole.release or part.release
    whole.seconds += part.seconds
    whole.steps.extend(_named(step, name) for step in part.steps)


def _named(step: manifest.StepReport, name: str) -> manifest.StepReport:
    return dataclasses.replace(step, path=_path(step.path, name))


def _moved(error: exception.StepFailed, name: str) -> exception.StepFailed:
    moved = exception.StepFailed(
        error.reason,
        path=_path(error.path, name),
        validator=error.validator or VALIDATOR,
        command=error.command,
        command_exit_code=error.command_exit_code,
        output=error.output,
    )
    moved.report = error.report
    return moved


def _path(path: str, name: str) -> str:
    if not name:
        return path
    return PATH if path in ('', name) else f'{PATH}.{path}'
