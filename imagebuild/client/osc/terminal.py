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
from typing import Any
from typing import TextIO
from typing import cast

from imagebuild import control_characters


class _Escaping:
    """A stream that escapes what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(
            control_characters.escaped(text, layout=True)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def safe(stream: TextIO) -> TextIO:
    """Return a stream, or one that escapes when it is a terminal."""
    return cast(TextIO, _Escaping(stream)) if stream.isatty() else stream


class SafeOutput:
    """Mixin of all our commands, before the class of osc-lib."""

    app: Any

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command with its output escaped on a terminal."""
        before = self.app.stdout
        self.app.stdout = safe(before)
        try:
            return int(super().run(parsed_args))  # type: ignore[misc]
        finally:
            self.app.stdout = before
