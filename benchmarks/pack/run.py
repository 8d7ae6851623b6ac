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
"""The same packages into the same image by three ways, side by side.

A: imagebuild-pack; B: virt-customize; C: apt-get in a chroot on this
machine, without any guest, for reference. See README.rst.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402
from imagebuild.appliance import accelerator  # noqa: E402

MARKER = 'etc/imagebuild-benchmark'
COMMAND = f'id -u >/{MARKER}'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

_PACKAGE = re.compile(r'[a-z0-9][a-z0-9.+-]*\Z')
# As virt-customize and imagebuild-pack do it: the guest's own apt
# configuration decides what is recommended, and no service starts.
_CHROOT = """\
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update && apt-get -y -q install "$@" || exit
rm /usr/sbin/policy-rc.d
"""


@dataclasses.dataclass
class Run:
    """One way's turn.

    :ivar way: ``A``, ``B`` or ``C``.
    :ivar seconds: wall time.
    :ivar cpu: seconds of processor time, of the guest's emulation as well;
        with KVM, of the guest.
    :ivar load: the machine's load average when it began.
    :ivar packages: number of packages installed in the result.
    :ivar details: the program's own report.
    """

    way: str
    seconds: float
    cpu: float
    load: float
    packages: int
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


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
        '--workspace',
        metavar='DIR',
        type=pathlib.Path,
        help='directory for the copies (default: the temporary directory)',
    )
    return parser


def ratios(
    runs: Sequence[tuple[str, float]], over: str, under: str
) -> list[float]:
    """Divide the times of two ways, turn by turn.

    :param runs: pairs of way and seconds, in the order they ran.
    """
    above = [seconds for way, seconds in runs if way == over]
    below = [seconds for way, seconds in runs if way == under]
    return [a / b for a, b in zip(above, below, strict=False)]


def summary(runs: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Medians of the ways, and of the ratios of their turns."""
    result: dict[str, Any] = {'median': {}, 'ratios': {}}
    for way in sorted({way for way, _ in runs}):
        result['median'][way] = statistics.median(
            seconds for name, seconds in runs if name == way
        )
    for under in ('B', 'C'):
        found = ratios(runs, 'A', under)
        if found:
            result['ratios'][f'A/{under}'] = {
                'pairs': found,
                'median': statistics.median(found),
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


def _call(
    argv: Sequence[str | pathlib.Path], env: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        list(map(str, argv)),
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f'{argv[0]} failed with exit code {done.returncode}:\n'
            f'{done.stdout[-2000:]}{done.stderr[-2000:]}'
        )
    return done.stdout


def _processor_time() -> float:
    """Of every process that was waited for, and of those it waited for."""
    times = os.times()
    return times.children_user + times.children_system


@contextlib.contextmanager
def _mounted(
    raw: pathlib.Path, where: pathlib.Path, options: str
) -> Iterator[None]:
    """Mount the largest partition of a raw disk."""
    table = json.loads(_call(['sfdisk', '--json', raw]))['partitiontable']
    largest = max(table['partitions'], key=lambda part: part['size'])
    unit = int(table.get('sectorsize', 512))
    offset, size = largest['start'] * unit, largest['size'] * unit
    where.mkdir(exist_ok=True)
    options = f'loop,offset={offset},sizelimit={size},{options}'
    _call(['mount', '-o', options, raw, where])
    try:
        yield
    finally:
        _call(['umount', '--recursive', where])


class Benchmark:
    """The three ways over one base image."""

    def __init__(
        self,
        base: pathlib.Path,
        packages: Sequence[str],
        chosen: str,
        directory: pathlib.Path,
    ) -> None:
        self._base = base
        self._packages = packages
        self._chosen = chosen
        self._directory = directory
        self._raw = directory / 'base.raw'
        self._root = directory / 'root'
        self._manifest = directory / 'manifest.yaml'

    def prepare(self) -> None:
        """What is made once, outside of the timing."""
        document = {
            'validators': [
                {'package': list(self._packages)},
                {'script': {'mark': {'inline': COMMAND}}},
            ]
        }
        self._manifest.write_text(json.dumps(document))
        _call(['qemu-img', 'convert', '-O', 'raw', self._base, self._raw])

    def run(self, way: str) -> Run:
        """One way's turn: copy, run by the clock, check."""
        function, source, name = {
            'A': (self._pack, self._base, 'a.qcow2'),
            'B': (self._virt_customize, self._base, 'b.qcow2'),
            'C': (self._chroot, self._raw, 'c.raw'),
        }[way]
        image = self._directory / name
        _call(['cp', '--sparse=always', source, image])
        image.chmod(0o600)
        try:
            load = os.getloadavg()[0]
            start, cpu = time.monotonic(), _processor_time()
            details = function(image)
            seconds, cpu = time.monotonic() - start, _processor_time() - cpu
            return Run(way, seconds, cpu, load, self._check(image), details)
        finally:
            image.unlink(missing_ok=True)

    def _pack(self, image: pathlib.Path) -> dict[str, Any]:
        program = pathlib.Path(sys.executable).with_name('imagebuild-pack')
        output = _call(
            [program, '--image', image, '--manifest', self._manifest, '--json']
        )
        report: dict[str, Any] = json.loads(output)
        return report

    def _virt_customize(self, image: pathlib.Path) -> dict[str, Any]:
        environment = dict(os.environ)
        if self._chosen == 'tcg':
            environment['LIBGUESTFS_BACKEND'] = 'direct'
            environment['LIBGUESTFS_BACKEND_SETTINGS'] = 'force_tcg'
        output = _call(
            [
                'virt-customize', '-a', image,
                '--install', ','.join(self._packages),
                '--run-command', COMMAND,
            ],
            environment,
        )  # fmt: skip
        return {'output': output.splitlines()}

    def _chroot(self, image: pathlib.Path) -> dict[str, Any]:
        root = self._root
        environment = {'PATH': PATH, 'DEBIAN_FRONTEND': 'noninteractive'}
        chroot: list[str | pathlib.Path] = ['chroot', root, '/bin/sh', '-c']
        with _mounted(image, root, 'rw'):
            for name in ('proc', 'sys', 'dev'):
                _call(['mount', '--rbind', f'/{name}', root / name])
                _call(['mount', '--make-rslave', root / name])
            resolver = root / 'etc/resolv.conf'
            resolver.unlink(missing_ok=True)
            shutil.copyfile('/etc/resolv.conf', resolver)
            _call([*chroot, _CHROOT, 'sh', *self._packages], environment)
            _call([*chroot, COMMAND], environment)
        return {}

    def _check(self, image: pathlib.Path) -> int:
        """See that it is done, and count the packages."""
        raw = image
        if image.suffix == '.qcow2':
            raw = image.with_suffix('.check')
            _call(['qemu-img', 'convert', '-O', 'raw', image, raw])
        try:
            with _mounted(raw, self._root, 'ro,noload'):
                listed = _call(
                    [
                        'dpkg-query',
                        f'--admindir={self._root}/var/lib/dpkg',
                        '-W',
                        '--showformat=${Package} ${db:Status-Status}\\n',
                    ]
                ).splitlines()
                marked = (self._root / MARKER).is_file()
        finally:
            if raw != image:
                raw.unlink()
        installed = {
            line.split()[0] for line in listed if line.endswith(' installed')
        }
        missing = set(self._packages) - installed
        if missing or not marked:
            raise SystemExit(
                f'{image.name}: not done: {", ".join(missing) or MARKER}'
            )
        return len(installed)


def _benchmark(
    options: argparse.Namespace,
    directory: pathlib.Path,
    say: Callable[..., None],
) -> None:
    chosen, _ = accelerator.choose('auto')
    described = machine(chosen)
    for name, value in described.items():
        say(f'{name + ":":16}{value}')
    base = options.base
    if base is None:
        base = directory / 'base.qcow2'
        program = pathlib.Path(sys.executable).with_name(
            'imagebuild-bootstrap'
        )
        _call([program, '--minimal', '--os', 'debian-12', '--output', base])
    benchmark = Benchmark(base, options.packages, chosen, directory)
    benchmark.prepare()
    say(f'{"packages:":16}{" ".join(options.packages)}')
    say('\nway  seconds    cpu   load  packages')
    runs: list[Run] = []
    for way in 'ABC' * options.runs:
        run = benchmark.run(way)
        runs.append(run)
        say(
            f'{way:3}{run.seconds:9.1f}{run.cpu:7.1f}{run.load:7.1f}'
            f'{run.packages:10}'
        )
        found = summary([(each.way, each.seconds) for each in runs])
        found_cpu = summary([(each.way, each.cpu) for each in runs])
        if options.json:
            document = {
                'machine': described,
                'packages': options.packages,
                'runs': [dataclasses.asdict(each) for each in runs],
                'wall': found,
                'processor': found_cpu,
            }
            options.json.write_text(json.dumps(document, indent=2) + '\n')
    for title, numbers in (('wall', found), ('processor', found_cpu)):
        say(f'\n{title} time')
        for way, seconds in numbers['median'].items():
            say(f'median {way}    {seconds:.1f} s')
        for name, ratio in numbers['ratios'].items():
            pairs = ' '.join(f'{pair:.2f}' for pair in ratio['pairs'])
            say(f'{name}  median {ratio["median"]:.2f}  (pairs: {pairs})')


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
