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
"""What imagebuild-validate says of each machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from imagebuild import manifest
from imagebuild.cmd import console
from imagebuild.machines import checks
from imagebuild.manifest import hiding


def describe(outcome: checks.Outcome) -> str:
    """A message for people; several lines where several steps fail."""
    message = {
        checks.Result.CONFORMS: f'{outcome.name} conforms.',
        checks.Result.UNCHANGED: f'{outcome.name} was already as described.',
        checks.Result.RECONCILED: f'{outcome.name} is reconciled.',
        checks.Result.DOES_NOT_CONFORM: f'{outcome.name} does not conform',
        checks.Result.FAILED: f'{outcome.name} failed',
        checks.Result.UNREACHABLE: outcome.name,
    }[outcome.result]
    if outcome.result in checks.GOOD:
        return message
    if outcome.error.startswith(outcome.name):
        return outcome.error
    lines = outcome.error.split('\n')
    if len(lines) == 1:
        return f'{message}: {lines[0]}'
    return '\n  '.join([f'{message}:', *lines])


class Mask:
    """Hides what one gets in by: a machine may print what it was told."""

    def __init__(self, wanted: Sequence[checks.Check]) -> None:
        logins = [check.target.login for check in wanted]
        secrets = {
            secret
            for login in logins
            for secret in (
                *(login.password, login.sudo_password),
                login.passphrase,
            )
            if secret
        }
        self._secrets = hiding.Secrets(secrets)

    def text(self, text: str) -> str:
        """A text without passwords."""
        return self._secrets.hide(text)

    def outcome(self, outcome: checks.Outcome) -> checks.Outcome:
        """What came out, without passwords."""
        report = outcome.report
        if report is not None:
            steps = [
                dataclasses.replace(
                    step,
                    message=self.text(step.message),
                    output=self.text(step.output),
                )
                for step in report.steps
            ]
            report = dataclasses.replace(report, steps=steps)
        return dataclasses.replace(
            outcome, error=self.text(outcome.error), report=report
        )


class MaskingMonitor(console.ConsoleMonitor):
    """Progress of one machine, without passwords."""

    def __init__(self, mask: Mask, *, verbose: bool, prefix: str) -> None:
        super().__init__(verbose=verbose, prefix=prefix)
        self._mask = mask

    def output(
        self, step: manifest.RunningStep, stream: str, line: str
    ) -> None:
        super().output(step, stream, self._mask.text(line))

    def step_finished(
        self, step: manifest.RunningStep, result: manifest.StepReport
    ) -> None:
        message = self._mask.text(result.message)
        super().step_finished(
            step, dataclasses.replace(result, message=message)
        )


def document(outcome: checks.Outcome, notices: list[str]) -> dict[str, Any]:
    """What --json has of a machine."""
    made: dict[str, Any] = {
        'host': outcome.name,
        'result': str(outcome.result),
        'error': outcome.error,
        'notices': notices,
        **(outcome.report.to_dict() if outcome.report else {}),
    }
    made['changed'] = made.get('changed', False)
    made['seconds'] = round(outcome.seconds, 3)
    return made


def result(outcomes: Sequence[checks.Outcome]) -> str:
    """The worst, in the order of the exit codes."""
    found = [outcome.result for outcome in outcomes]
    for each in (
        checks.Result.FAILED,
        checks.Result.DOES_NOT_CONFORM,
        checks.Result.UNREACHABLE,
        checks.Result.RECONCILED,
    ):
        if each in found:
            return str(each)
    return str(found[0])
