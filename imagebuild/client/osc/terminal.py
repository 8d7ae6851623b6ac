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
"""What others wrote does nothing to the terminal that shows it.

Names, reasons and logs come from users and from guests. On a terminal their
control characters are shown, not sent; in files and pipes they stay.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any
from typing import TextIO
from typing import cast

from osc_lib import exceptions

from imagebuild.common import control_characters


def safe(stream: TextIO) -> TextIO:
    """Return a stream, or one that escapes when it is a terminal."""
    if not stream.isatty():
        return stream
    return cast(TextIO, control_characters.EscapingStream(stream))


class BuildFailed(exceptions.CommandError):
    """A build that was waited for has no image.

    :ivar exit_code: what the command ends with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class SafeOutput:
    """Mixin of all our commands, before the class of osc-lib."""

    app: Any

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command with its output escaped on a terminal."""
        before = self.app.stdout
        self.app.stdout = safe(before)
        try:
            return int(super().run(parsed_args))  # type: ignore[misc]
        except BuildFailed as error:
            # As cliff does; but cliff would return 1 for any error.
            log = self.app.LOG
            (log.exception if self.app.options.debug else log.error)(error)
            return error.exit_code
        except BrokenPipeError:
            # cliff ends with 141 then, as a shell says of SIGPIPE.
            control_characters.discard(sys.stdout)
            raise
        finally:
            self.app.stdout = before
