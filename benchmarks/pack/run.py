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
"""How long packing an image takes, in turn with other ways to do it.

sandbox and appliance: imagebuild-pack; virt-customize; and native: apt-get in
a chroot on this machine and the write of its disk, the limit. See README.rst.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from benchmarks import generated  # noqa: E402
from benchmarks.pack import edit  # noqa: E402
from benchmarks.pack import ways  # noqa: E402
from imagebuild.appliance import accelerator  # noqa: E402

_PACKAGE = re.compile(r'[a-z0-9][a-z0-9.+-]*\Z')
#: What is divided by what, and the most that it may be (issue of the fast
#: way); None where it is for reference.
RATIOS: Sequence[tuple[str, str, float | None]] = (
    ('sandbox', 'virt-customize', 0.15),
    ('sandbox', 'native', 2.0),
    ('appliance', 'virt-customize', 0.5),
    ('sandbox', 'appliance', None),
)


def _package(text: str) -> str:
    if not _PACKAGE.match(text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a package name')
    return text


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = figures.make_parser(
        __doc__, [('--runs', 3, 'how often each way has its turn')]
    )
    add = parser.add_argument
    add(
        '--base',
        metavar='IMAGE',
        type=pathlib.Path,
        help='a Debian or Ubuntu qcow2 image; only copied (default: one '
        'made by imagebuild-bootstrap --minimal)',
    )
    add(
        '--packages',
        metavar='NAME',
        nargs='+',
        type=_package,
        default=['nginx'],
        help='what is installed (default: nginx)',
    )
    add(
        '--ways',
        metavar='WAY',
        nargs='+',
        choices=ways.WAYS,
        default=list(ways.WAYS),
        help=f'which ways: {", ".join(ways.WAYS)} (default: all)',
    )
    add(
        '--no-edit',
        action='store_true',
        help='leave out the edit of the last of ten steps',
    )
    add(
        '--workspace',
        metavar='DIR',
        type=pathlib.Path,
        help='directory for the copies (default: the temporary directory)',
    )
    add(
        '--readme',
        action='store_true',
        help='write the tables into benchmarks/README.rst',
    )
    return parser


def summary(runs: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Medians of the ways, and of the ratios of their turns.

    :param runs: pairs of way and seconds, in the order they ran.
    """
    by_way = {
        way: [seconds for name, seconds in runs if name == way]
        for way in dict(runs)
    }
    result: dict[str, Any] = {
        'median': {way: figures.median(each) for way, each in by_way.items()},
        'ratios': {},
    }
    for over, under, _ in RATIOS:
        pairs = figures.ratios(by_way.get(over, []), by_way.get(under, []))
        if pairs:
            result['ratios'][f'{over}/{under}'] = {
                'pairs': pairs,
                'median': figures.median(pairs),
            }
    return result


def _first_line(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ['unknown'])[0]


def machine(chosen: str) -> dict[str, Any]:
    """Describe this machine."""
    return figures.machine() | {
        'qemu': _first_line('qemu-system-x86_64', '--version'),
        'libguestfs': _first_line('guestfish', '--version'),
        'virt-customize': _first_line('virt-customize', '--version'),
        'accelerator': chosen,
    }


def report(found: dict[str, Any], title: str) -> str:
    """The medians and ratios as tables."""
    medians = [[way, seconds] for way, seconds in found['median'].items()]
    rows = []
    for over, under, most in RATIOS:
        ratio = found['ratios'].get(f'{over}/{under}')
        if ratio:
            pairs = ' '.join(f'{pair:.2f}' for pair in ratio['pairs'])
            goal = '' if most is None else f'at most {most}'
            rows.append([f'{over} / {under}', ratio['median'], goal, pairs])
    return '\n\n'.join(
        [
            figures.table([title, 'median s'], medians),
            figures.table(['ratio', 'median', 'goal', 'pairs'], rows),
        ]
    )


def _turns(
    benchmark: ways.Benchmark,
    options: argparse.Namespace,
    say: Callable[..., None],
) -> list[ways.Run]:
    say('\nway             seconds    cpu   load  packages')
    runs = []
    for way in options.ways * options.runs:
        run = benchmark.run(way)
        runs.append(run)
        say(
            f'{way:14}{run.seconds:9.1f}{run.cpu:7.1f}{run.load:7.1f}'
            f'{run.packages:10}'
        )
    return runs


def _base(options: argparse.Namespace, directory: pathlib.Path) -> Any:
    if options.base is not None:
        return options.base
    base = directory / 'base.qcow2'
    ways.call(
        [
            ways.program('imagebuild-bootstrap'),
            '--minimal', '--os', 'debian-12', '--output', base,
        ]
    )  # fmt: skip
    return base


def _benchmark(
    options: argparse.Namespace,
    directory: pathlib.Path,
    say: Callable[..., None],
) -> None:
    chosen, _ = accelerator.choose('auto')
    described = machine(chosen) | {'packages': ' '.join(options.packages)}
    say(figures.described(described))
    base = _base(options, directory)
    benchmark = ways.Benchmark(base, options.packages, chosen, directory)
    benchmark.prepare()
    runs = _turns(benchmark, options, say)
    found = summary([(each.way, each.seconds) for each in runs])
    found_cpu = summary([(each.way, each.cpu) for each in runs])
    document = {
        'machine': described,
        'runs': [dataclasses.asdict(each) for each in runs],
        'wall': found,
        'processor': found_cpu,
    }
    tables = [report(found, 'wall time'), report(found_cpu, 'processor time')]
    say('\n' + '\n\n'.join(tables))
    if not options.no_edit:
        edited = edit.measure(base, directory, options.runs, say)
        document['edit'] = [dataclasses.asdict(each) for each in edited]
        tables.append(edit.report(edited))
        say('\n' + tables[-1])
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + '\n')
    if options.readme:
        generated.write(
            ROOT / 'benchmarks' / 'README.rst',
            'packing',
            '\n\n'.join([figures.described(described), *tables]),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: exit code.
    """
    options = make_parser().parse_args(argv)
    if os.geteuid():
        raise SystemExit('Mounting the results needs root.')

    def say(text: str = '') -> None:
        print(text, flush=True)

    with tempfile.TemporaryDirectory(
        prefix='benchmark-', dir=options.workspace
    ) as directory:
        _benchmark(options, pathlib.Path(directory), say)
    return 0


if __name__ == '__main__':
    sys.exit(main())
