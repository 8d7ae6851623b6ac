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
"""What the benchmarks share: arithmetic, tables, machine."""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Mapping
from collections.abc import Sequence

#: What is printed of a distribution.
PERCENTS = (50, 95, 99, 100)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed.

    :raises ValueError: there are no values.
    """
    if not values:
        raise ValueError('nothing was measured')
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Percentiles by their names; empty when nothing was measured."""
    names = {percent: f'p{percent}' for percent in PERCENTS} | {100: 'max'}
    if not values:
        return {}
    return {
        names[percent]: percentile(values, percent) for percent in PERCENTS
    }


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Divide turn by turn; a turn without its counterpart does not count."""
    return [a / b for a, b in zip(over, under, strict=False)]


def median(values: Sequence[float]) -> float:
    """The median; not a number when nothing was measured."""
    return statistics.median(values) if values else math.nan


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need; numbers to the right, text to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(row[column]) for row in [list(titles), *cells])
        for column in range(len(titles))
    ]
    is_text = [
        any(isinstance(row[column], str) for row in rows)
        for column in range(len(titles))
    ]
    lines = []
    for row in [list(titles), *cells]:
        padded = [
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(row, widths, is_text, strict=True)
        ]
        lines.append('  '.join(padded).rstrip())
    return '\n'.join(lines)


def _cell(value: object) -> str:
    return f'{value:.2f}' if isinstance(value, float) else str(value)


def described(values: Mapping[str, object]) -> str:
    """Lines of a name and a value."""
    return '\n'.join(
        f'{name + ":":16}{value}' for name, value in values.items()
    )


def machine() -> dict[str, object]:
    """Describe this machine."""
    model = re.search(
        r'^model name\s*: (.*)$',
        pathlib.Path('/proc/cpuinfo').read_text(),
        re.MULTILINE,
    )
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return {
        'cpu': model[1] if model else platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'memory': f'{memory / 2**30:.1f} GiB',
        'kernel': platform.release(),
        'python': platform.python_version(),
    }


def load() -> float:
    """The machine's load average of the last minute."""
    return os.getloadavg()[0]


def make_parser(
    doc: str | None, numbers: Sequence[tuple[str, int, str]]
) -> argparse.ArgumentParser:
    """A command line with the options that all benchmarks have.

    :param doc: of the program; its first line describes it.
    :param numbers: options that take a whole number from 1 on: name,
        default, and what it is.
    """
    parser = argparse.ArgumentParser(description=(doc or '').splitlines()[0])
    for name, number, text in numbers:
        parser.add_argument(
            name,
            metavar='N',
            type=positive,
            default=number,
            help=f'{text} (default: {number})',
        )
    parser.add_argument(
        '--json', metavar='FILE', type=pathlib.Path, help='write a report'
    )
    return parser


def add_state(parser: argparse.ArgumentParser) -> None:
    """Let a cloud of tools/cloud be kept."""
    parser.add_argument(
        '--state',
        metavar='FOLDER',
        type=pathlib.Path,
        help='make the cloud here, or use the one here, and leave it up; it '
        'must not be for anything else (default: a temporary one)',
    )


def positive(text: str) -> int:
    """An argument: 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError('it must be 1 or more')
    return number
