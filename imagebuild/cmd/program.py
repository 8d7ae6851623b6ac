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
import signal
import sys
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from types import FrameType

from imagebuild import control_characters
from imagebuild import exception
from imagebuild import release

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(work: Callable[[], int], *, debug: bool = False) -> int:
    """Do a program's work and put what goes wrong into words.

    The first SIGINT, SIGTERM or SIGHUP is raised in the work as
    :class:`exception.Interrupted`; further ones are ignored while it cleans
    up.

    :param work: returns an exit code.
    :param debug: print a traceback as well.
    :returns: the exit code (INTERFACE, section 1).
    """
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        return work()
    except exception.ImageBuildError as error:
        if debug:
            traceback.print_exc()
        print(f'{_tell(error)}', file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return exception.EnvironmentFault.exit_code
    except Exception as error:
        # The last resort; whatever comes here is a defect of ours.
        if debug:
            traceback.print_exc()
        words = ' '.join(str(error).split()) or 'no more is known'
        print(
            f'Unexpected {type(error).__name__}: {words} '
            '(--debug shows where).',
            file=sys.stderr,
        )
        return exception.EnvironmentFault.exit_code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
) -> int:
    """Read a command line, do what it says; see :func:`run`.

    :param parser: has an option ``--debug``.
    :param work: is given what was read.
    :param argv: the arguments, None for the process's own.
    """
    arguments = parser.parse_args(argv)

    def do() -> int:
        work(arguments)
        return 0

    return run(do, debug=arguments.debug)


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise exception.Interrupted(signal=signal.Signals(number).name)


def _tell(error: exception.ImageBuildError) -> str:
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
    # What a guest printed does nothing to the terminal.
    return control_characters.escaped('\n'.join(lines), layout=True)
