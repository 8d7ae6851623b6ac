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
"""Characters that do something to whoever looks at a text.

Names, tags, reasons and log lines come from users and from guests, and are
read on operators' terminals and in log files. An escape sequence rewrites
what stands on a terminal, a newline makes a log line that nobody wrote, and a
bidirectional override shows one name and means another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any
from typing import TextIO
from typing import cast

#: C0, DEL, C1, line and paragraph separators, and what turns the direction
#: of writing; as the inside of a class of a regular expression that Python
#: and ECMA 262 (JSON Schema) read the same way.
CLASS = (
    r'\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029'
    r'\u202a-\u202e\u2066-\u2069'
)
#: A whole text without any; for schemas.
PATTERN = f'^[^{CLASS}]*$(?!\\n)'

_ANY = re.compile(f'[{CLASS}]')
#: A log of many lines is fine as it is shown.
_BUT_LAYOUT = re.compile(f'(?![\\n\\t])[{CLASS}]')
#: Colours are part of the format of log lines (log_color, devstack).
_COLOUR = re.compile(r'(\x1b\[[0-9;]*m)')


def found_in(text: str) -> bool:
    """Whether a text holds one."""
    return _ANY.search(text) is not None


def escaped(text: str, *, layout: bool = False) -> str:
    """Return a text with each of them written as Python writes it.

    >>> escaped('a\\x1b[2Jb')
    'a\\\\x1b[2Jb'

    :param layout: leave newlines and tabs.
    """
    pattern = _BUT_LAYOUT if layout else _ANY
    return pattern.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    return character.encode('unicode_escape').decode('ascii')


# -- what is printed --------------------------------------------------------


class EscapingStream:
    """A text stream that escapes what is written to it, but for layout.

    :ivar raw: the stream behind it, for what draws on a terminal and escapes
        the texts of others itself.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write a text; returns the number of its own characters."""
        self.raw.write(escaped(text, layout=True))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def raw_stream(stream: TextIO) -> TextIO:
    """Return the stream behind one that escapes; any other one itself."""
    return stream.raw if isinstance(stream, EscapingStream) else stream


@contextlib.contextmanager
def protect_output() -> Iterator[None]:
    """Escape them in all that this process prints with Python's streams.

    In the streams, so that nothing can be printed without it: sentences,
    tracebacks, what libraries print.
    """
    before = sys.stdout, sys.stderr
    with open(os.devnull, 'w') as null:
        sys.stdout, sys.stderr = (
            # None when the process was started without (2>&-).
            cast(TextIO, EscapingStream(raw_stream(stream or null)))
            for stream in before
        )
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def discard(stream: TextIO) -> None:
    """Lose what could not be written to a stream.

    Python would try again when it ends, and then end with 120 instead of the
    program's own exit code.
    """
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


# -- what is logged ---------------------------------------------------------


def protect_logs() -> None:
    """Escape them in every message that this process logs from now on.

    In the factory of the records, so that it holds for all handlers, also
    for those that are made when the logging is configured again. What else
    stands in a line or behind it (a traceback with an exception's text, the
    names of who asked) is escaped by the formatters that there are now.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            # Its stream would show the colours.
            handler.setStream(raw_stream(handler.stream))
        if not isinstance(handler.formatter, _Formatter):
            handler.setFormatter(_Formatter(handler.formatter))
    before = logging.getLogRecordFactory()
    if getattr(before, 'protected', False):
        return

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:
            # logging reports that itself when the record is handled.
            return record
        if found_in(message):
            record.msg, record.args = escaped(message), ()
        return record

    make.protected = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)


class _Formatter(logging.Formatter):
    """Escapes what another formatter returns, but for layout and colours."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        text = self._formatter.format(record)
        return ''.join(
            part if _COLOUR.fullmatch(part) else escaped(part, layout=True)
            for part in _COLOUR.split(text)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._formatter, name)
