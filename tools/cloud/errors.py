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
"""What may go wrong; the messages are for people."""

import pathlib

#: Lines of a log that are shown with a failure.
TAIL_LINES = 20


class CloudError(Exception):
    """The cloud cannot do what was asked; the message has the reason.

    :param log: the log of the process that failed; its end is shown.
    """

    def __init__(self, message: str, log: pathlib.Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def __str__(self) -> str:
        message = super().__str__()
        end = tail(self.log) if self.log else ''
        return f'{message}\nThe end of {self.log}:\n{end}' if end else message


class Interrupted(CloudError):
    """Somebody pressed Ctrl-C, or asked us to end."""

    def __init__(self) -> None:
        super().__init__('interrupted; "tools/cloud/down" clears what is left')


def tail(log: pathlib.Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented; '' when there is none."""
    try:
        with log.open('rb') as file:
            file.seek(max(0, log.stat().st_size - 65536))
            text = file.read().decode(errors='replace')
    except OSError:
        return ''
    return '\n'.join(f'  {line[:400]}' for line in text.splitlines()[-lines:])
