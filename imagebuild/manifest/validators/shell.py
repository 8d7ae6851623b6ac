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
"""Fixed shell scripts; data reaches them as arguments only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from imagebuild import exception
from imagebuild.manifest import reports
from imagebuild.manifest.validators import base


@dataclasses.dataclass(frozen=True)
class Script:
    """A POSIX shell script that does not depend on data.

    :ivar name: what it does, for failures; they do not repeat its text.
    :ivar text: the script; its arguments are the data.
    """

    name: str
    text: str

    def run(
        self,
        context: base.Context,
        *args: str,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b'',
        record: base.StepRecord | None = None,
    ) -> str:
        """Run it: one call into the guest.

        :param env: for what must not be seen in a list of processes.
        :param record: takes the output while it runs; None for looks.
        :returns: its standard output.
        :raises StepFailed: it exited with another code than 0. Neither its
            environment nor its arguments are in the failure.
        """
        result = context.remote.run(
            ['/bin/sh', '-c', self.text, 'imagebuild', *args],
            env=env,
            stdin=stdin,
            check=False,
            on_output=record.on_output if record else None,
        )
        if result.exit_code:
            raise exception.StepFailed(
                _last_line(result.stderr)
                or f'"{self.name}" failed with exit code {result.exit_code}',
                command=self.name,
                command_exit_code=result.exit_code,
                output=result.output[-reports.TAIL :],
            )
        return result.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ''
