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
"""What every program does around its work: signals, errors, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NoReturn
from typing import TextIO

from imagebuild import exception
from imagebuild.cmd import json_report
from imagebuild.common import control_characters
from imagebuild.common import interruption
from imagebuild.common import release

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are reported in one message.

    No abbreviated options: a recipe may add one that makes them clash, and
    ``--json`` is looked for before the rest is read.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        :raises InvalidInput: always.
        """
        message = ' '.join(message.split()).rstrip('.')
        raise exception.InvalidInput(f'{message}; see "{self.prog} --help".')


def run(
    work: Callable[[], int],
    *,
    debug: bool = False,
    report: json_report.JsonReport | None = None,
) -> int:
    """Do a program's work and report what goes wrong.

    The first SIGINT, SIGTERM or SIGHUP is raised in the work as
    :class:`exception.Interrupted`; further ones are ignored while it cleans
    up. All that is printed is escaped.

    :param work: returns an exit code.
    :param debug: print a traceback as well.
    :param report: is completed and printed on standard output at the end.
    :returns: the exit code.
    """
    restore = interruption.raise_first(_SIGNALS)
    try:
        with control_characters.protect_output():
            code = _print_end(_attempt(work, debug, report), report)
            _end_stream(sys.stderr)
            return code
    finally:
        restore()


def _attempt(
    work: Callable[[], int],
    debug: bool,
    report: json_report.JsonReport | None,
) -> int:
    try:
        return work()
    except SystemExit as stop:
        # Of argparse, after --help and --version; a text is an error.
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    except exception.ImageBuildError as error:
        caught: BaseException = error
        code, message, shown = error.exit_code, str(error), _describe(error)
    except exception.Interrupted as error:
        caught = error
        code, message, shown = error.exit_code, str(error), str(error)
    except BrokenPipeError as error:
        caught = error
        code = exception.EnvironmentFault.exit_code
        message, shown = 'Standard output was closed.', ''
    except Exception as error:
        # The last resort; whatever comes here is a bug of ours.
        caught = error
        code = exception.EnvironmentFault.exit_code
        details = ' '.join(str(error).split()) or 'no more is known'
        message = f'Unexpected {type(error).__name__}: {details}'
        shown = f'{message} (--debug shows where).'
    if report is not None:
        # --json has the error as well, for whoever reads no standard error.
        report.failed(caught, message)
    # Nobody may be there to read it; the exit code shows it, too.
    with contextlib.suppress(OSError):
        if debug:
            traceback.print_exception(caught)
        if shown:
            print(shown, file=sys.stderr, flush=True)
    return code


def _print_end(code: int, report: json_report.JsonReport | None) -> int:
    """Print the report; standard output may be full, or closed."""
    text = report.text() if report is not None else ''
    try:
        if text:
            print(text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        control_characters.discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            reason = getattr(error, 'strerror', None) or error
            with contextlib.suppress(OSError):
                print(
                    f'Standard output cannot be written to: {reason}.',
                    file=sys.stderr,
                    flush=True,
                )
        return code or exception.EnvironmentFault.exit_code
    return code


def _end_stream(stream: TextIO) -> None:
    """Write what is left for a stream, which may be full, or closed."""
    try:
        stream.flush()
    except (OSError, ValueError):
        control_characters.discard(stream)


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add ``--version``, which prints it and ends."""
    parser.add_argument(
        '--version',
        action='version',
        version=f'%(prog)s {release.version()}',
    )


def run_parsed(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], object],
    argv: Sequence[str] | None,
    *,
    report: json_report.JsonReport | None = None,
) -> int:
    """Read a command line, do what it asks for; see :func:`run`.

    :param parser: has an option ``--debug``.
    :param work: is given what was read.
    :param argv: the arguments, None for the process's own.
    :param report: as for :func:`run`.
    """
    arguments = sys.argv[1:] if argv is None else argv

    def do() -> int:
        work(parser.parse_args(arguments))
        return 0

    return run(do, debug='--debug' in arguments, report=report)


def run_reporting(
    work: Callable[[Sequence[str], json_report.JsonReport], int],
    argv: Sequence[str] | None,
) -> int:
    """Do the work of a program that has ``--json``; see :func:`run`.

    :param work: is given the arguments, and the document to fill; returns an
        exit code.
    :param argv: the arguments, None for the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    report = json_report.JsonReport()
    return run(
        lambda: work(arguments, report),
        debug='--debug' in arguments,
        report=report if '--json' in arguments else None,
    )


def _describe(error: exception.ImageBuildError) -> str:
    """An error for people; a failed step shows what it printed."""
    failures = (
        error.failures
        if isinstance(error, exception.NotConforming)
        else (error,)
    )
    lines = [str(error)]
    for failure in failures:
        if isinstance(failure, exception.StepFailed) and failure.output:
            tail = failure.output.splitlines()[-20:]
            lines.append(f'Last output of {failure.path}:')
            lines += [f'    {line}' for line in tail]
    return '\n'.join(lines)
