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
"""The ways of packing one image that are compared, each with its check."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

#: In the order of a turn.
WAYS = ('sandbox', 'appliance', 'virt-customize', 'native')

MARKER = 'etc/imagebuild-benchmark'
COMMAND = f'id -u >/{MARKER}'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

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

    :ivar way: of :data:`WAYS`.
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


def program(name: str) -> pathlib.Path:
    """A program of this project, beside the running Python."""
    return pathlib.Path(sys.executable).with_name(name)


def call(
    argv: Sequence[str | pathlib.Path], env: Mapping[str, str] | None = None
) -> str:
    """Run a command.

    :returns: its standard output.
    :raises SystemExit: it failed; with the end of what it printed.
    """
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


def copied(source: pathlib.Path, image: pathlib.Path) -> None:
    """Copy an image, holes kept."""
    call(['cp', '--sparse=always', source, image])
    image.chmod(0o600)


def _processor_time() -> float:
    """Of every process that was waited for, and of those it waited for."""
    times = os.times()
    return times.children_user + times.children_system


@contextlib.contextmanager
def mounted(
    raw: pathlib.Path, where: pathlib.Path, options: str
) -> Iterator[None]:
    """Mount the largest partition of a raw disk."""
    table = json.loads(call(['sfdisk', '--json', raw]))['partitiontable']
    largest = max(table['partitions'], key=lambda part: part['size'])
    unit = int(table.get('sectorsize', 512))
    offset, size = largest['start'] * unit, largest['size'] * unit
    where.mkdir(exist_ok=True)
    options = f'loop,offset={offset},sizelimit={size},{options}'
    call(['mount', '-o', options, raw, where])
    try:
        yield
    finally:
        call(['umount', '--recursive', where])


class Benchmark:
    """The ways over one base image.

    :param accelerator: ``kvm`` or ``tcg``, which virt-customize is told.
    :param directory: for the copies.
    """

    def __init__(
        self,
        base: pathlib.Path,
        packages: Sequence[str],
        accelerator: str,
        directory: pathlib.Path,
    ) -> None:
        self._base = base
        self._packages = packages
        self._accelerator = accelerator
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
        call(['qemu-img', 'convert', '-O', 'raw', self._base, self._raw])

    def run(self, way: str) -> Run:
        """One way's turn: copy, run by the clock, check."""
        function, source = {
            'sandbox': (self._pack_in('sandbox'), self._base),
            'appliance': (self._pack_in('appliance'), self._base),
            'virt-customize': (self._virt_customize, self._base),
            'native': (self._native, self._raw),
        }[way]
        image = self._directory / f'{way}{source.suffix}'
        copied(source, image)
        try:
            load = os.getloadavg()[0]
            start, cpu = time.monotonic(), _processor_time()
            details = function(image)
            seconds, cpu = time.monotonic() - start, _processor_time() - cpu
            return Run(way, seconds, cpu, load, self._check(image), details)
        finally:
            image.unlink(missing_ok=True)

    def _pack_in(self, isolation: str) -> Any:
        def pack(image: pathlib.Path) -> dict[str, Any]:
            output = call(
                [
                    program('imagebuild-pack'), '--image', image,
                    '--isolation', isolation,
                    '--manifest', self._manifest, '--json',
                ]
            )  # fmt: skip
            report: dict[str, Any] = json.loads(output)
            return report

        return pack

    def _virt_customize(self, image: pathlib.Path) -> dict[str, Any]:
        environment = dict(os.environ)
        if self._accelerator == 'tcg':
            environment['LIBGUESTFS_BACKEND'] = 'direct'
            environment['LIBGUESTFS_BACKEND_SETTINGS'] = 'force_tcg'
        output = call(
            [
                'virt-customize', '-a', image,
                '--install', ','.join(self._packages),
                '--run-command', COMMAND,
            ],
            environment,
        )  # fmt: skip
        return {'output': output.splitlines()}

    def _native(self, image: pathlib.Path) -> dict[str, Any]:
        root = self._root
        environment = {'PATH': PATH, 'DEBIAN_FRONTEND': 'noninteractive'}
        chroot: list[str | pathlib.Path] = ['chroot', root, '/bin/sh', '-c']
        with mounted(image, root, 'rw'):
            for name in ('proc', 'sys', 'dev'):
                call(['mount', '--rbind', f'/{name}', root / name])
                call(['mount', '--make-rslave', root / name])
            resolver = root / 'etc/resolv.conf'
            resolver.unlink(missing_ok=True)
            shutil.copyfile('/etc/resolv.conf', resolver)
            call([*chroot, _CHROOT, 'sh', *self._packages], environment)
            call([*chroot, COMMAND], environment)
        # The others have written their disk when they end.
        call(['sync', image])
        return {}

    def _check(self, image: pathlib.Path) -> int:
        """See that it is done, and count the packages."""
        raw = image
        if image.suffix == '.qcow2':
            raw = image.with_suffix('.check')
            call(['qemu-img', 'convert', '-O', 'raw', image, raw])
        try:
            with mounted(raw, self._root, 'ro,noload'):
                listed = call(
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
