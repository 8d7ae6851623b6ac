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
"""imagebuild-boot: does an image boot?"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import pathlib
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import BinaryIO
from typing import get_args

from imagebuild import exception
from imagebuild.appliance import accelerator
from imagebuild.appliance import appliance_settings
from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.boot import firmware
from imagebuild.boot import machine
from imagebuild.cmd import json_report
from imagebuild.cmd import live_line
from imagebuild.cmd import program
from imagebuild.common import control_characters
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.disks import image_file
from imagebuild.disks import workspaces

_EPILOG = """
The image is only read: what the machine writes is thrown away. Without any
--expect, --cloud-init, --systemd, --port or --command a login prompt on the
serial console is waited for. All but --expect are asked inside the machine by
cloud-init, which the image must have.

Exit codes: 0 it boots, and all that is expected holds; 1 it does not; 2 bad
usage, or no image; 3 the machine could not be run.
"""
_MOST_MEMORY = 1024 * 1024
_MOST_CPUS = 64
#: GiB
_LARGEST_DISK = 8192
_MOST_SECONDS = 24 * 3600
_LONGEST_TEXT = 4096


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program.Parser(
        prog='imagebuild-boot',
        description='Boots an image once, in a machine that is thrown away, '
        'and waits for what is expected of it.',
        epilog=_EPILOG,
    )
    _add_machine(parser)
    _add_expectations(parser)
    add = parser.add_argument
    path = pathlib.Path
    add(
        '--timeout',
        metavar='SECONDS',
        type=_Number('a number of seconds', _MOST_SECONDS),
        default=int(boot_test.TIMEOUT),
        help='until all must hold (default: %(default)s)',
    )
    add(
        '--console',
        metavar='FILE',
        type=path,
        help='write what the console says',
    )
    add(
        '--screenshot',
        metavar='FILE',
        type=path,
        help='write what the screen shows at the end, as PNG',
    )
    add(
        '--work-dir',
        metavar='DIR',
        type=path,
        default=path(tempfile.gettempdir()),
        help='for what the machine writes (default: %(default)s)',
    )
    add('--verbose', action='store_true', help='show the console')
    add('--json', action='store_true', help='print the result as JSON')
    add('--debug', action='store_true', help='print tracebacks')
    program.add_version(parser)
    return parser


def _add_machine(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--image',
        metavar='FILE',
        type=pathlib.Path,
        required=True,
        help='what to boot: qcow2 or raw',
    )
    add(
        '--firmware',
        choices=get_args(firmware.Firmware),
        default='bios',
        help='what starts the machine (default: %(default)s)',
    )
    add(
        '--memory',
        metavar='MIB',
        type=_Number('a number of MiB', _MOST_MEMORY),
        default=appliance_settings.default_memory(),
        help='of the machine (default: %(default)s)',
    )
    add(
        '--cpus',
        metavar='N',
        type=_Number('a number of CPUs', _MOST_CPUS),
        default=appliance_settings.default_cpus(),
        help='of the machine (default: %(default)s)',
    )
    add(
        '--disk-size',
        metavar='GIB',
        type=_Number('a number of GiB', _LARGEST_DISK),
        default=0,
        help='of its disk, if larger than the image, as with a flavor',
    )
    add(
        '--accelerator',
        choices=get_args(appliance_settings.Accelerator),
        default='auto',
        help='KVM or emulation (default: KVM where guests run on it)',
    )


def _add_expectations(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--expect',
        metavar='TEXT',
        type=_text,
        action='append',
        default=[],
        help='the serial console must show this',
    )
    add(
        '--cloud-init',
        action='store_true',
        help='cloud-init must end without an error',
    )
    add(
        '--systemd',
        action='store_true',
        help='every unit of systemd must start',
    )
    add(
        '--port',
        metavar='PORT',
        type=_Number('a port', 65535),
        action='append',
        default=[],
        help='something must listen on this TCP port',
    )
    add(
        '--command',
        metavar='COMMAND',
        type=_text,
        action='append',
        default=[],
        help='this shell command must succeed in the machine',
    )


@dataclasses.dataclass(frozen=True)
class _Number:
    """Reads a number from 1 on."""

    what: str
    most: int

    def __call__(self, text: str) -> int:
        if text.isascii() and text.isdigit() and 1 <= int(text) <= self.most:
            return int(text)
        raise argparse.ArgumentTypeError(
            f'"{text[:40]}" is not {self.what} from 1 to {self.most}'
        )


def _text(text: str) -> str:
    if not text.strip() or len(text) > _LONGEST_TEXT:
        raise argparse.ArgumentTypeError(
            f'it must have 1 to {_LONGEST_TEXT} characters'
        )
    if control_characters.found_in(text):
        raise argparse.ArgumentTypeError('it has control characters')
    return text


def run(
    options: argparse.Namespace, report: json_report.JsonReport
) -> boot_test.Outcome:
    """Boot the image that the command line names.

    :raises InvalidImage: it is none.
    :raises EnvironmentFault: the machine could not be run.
    """
    image = image_file.inspect(options.image)
    if not options.work_dir.is_dir():
        raise exception.InvalidInput(
            f'There is no directory {options.work_dir}.'
        )
    for path in filter(None, (options.console, options.screenshot)):
        if path.exists() and path.samefile(options.image):
            raise exception.InvalidInput(f'{path} is the image itself.')
    _, reason = accelerator.choose(options.accelerator)
    if reason:
        report.document.setdefault('notices', []).append(reason)
        print(reason, file=sys.stderr)
    workspaces.sweep_directory(options.work_dir)
    with (
        _opened(options.console) as file,
        _opened(options.screenshot) as picture,
        workspaces.Workspace(
            options.image, directory=options.work_dir
        ) as workspace,
    ):
        with _watched(options) as on_line:
            return boot_test.run(
                image,
                _spec(options, picture),
                workspace,
                file=file,
                on_line=on_line,
            )


def _spec(
    options: argparse.Namespace, picture: BinaryIO | None
) -> boot_test.BootSpec:
    return boot_test.BootSpec(
        machine.MachineSettings(
            options.firmware,
            options.memory,
            options.cpus,
            options.accelerator,
            options.disk_size * space.GIB,
        ),
        expectations.Expectations(
            console=tuple(dict.fromkeys(options.expect)),
            cloud_init=options.cloud_init,
            systemd=options.systemd,
            ports=tuple(dict.fromkeys(options.port)),
            commands=tuple(options.command),
        ),
        options.timeout,
        picture,
    )


@contextlib.contextmanager
def _opened(path: pathlib.Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with os_errors.on_write(path), path.open('wb') as file:
        yield file


@contextlib.contextmanager
def _watched(options: argparse.Namespace) -> Iterator[Callable[[str], None]]:
    """Show that the machine runs: a live line, or a plain one.

    :returns: what is given each line of the console.
    """
    what = f'Booting {options.image.name}, which may take {options.timeout} s'
    line = live_line.LiveLine()
    if options.verbose or not line.live:
        line.print(f'{what} ...')
        yield _print_line if options.verbose else _nothing
        return
    line.show(what)
    try:
        yield lambda text: line.show(what, text.strip())
    finally:
        line.close()


def _nothing(_line: str) -> None:
    pass


def _print_line(line: str) -> None:
    print(f'  | {line}', file=sys.stderr, flush=True)


def _describe(image: pathlib.Path, outcome: boot_test.Outcome) -> str:
    if outcome.passed:
        return f'{image} boots ({outcome.seconds:.0f} s).'
    lines = [f'{image} does not boot as expected: {outcome.describe()}.']
    if not outcome.reason:
        # It is up, and said itself what does not hold.
        return lines[0]
    if outcome.telling:
        lines += ['The console says:', *(f'    {t}' for t in outcome.telling)]
    else:
        last = [line for line in outcome.console.splitlines() if line.strip()]
        lines += ['The end of the console:', *(f'    {t}' for t in last[-20:])]
    return '\n'.join(lines)


def _work(argv: Sequence[str], report: json_report.JsonReport) -> int:
    options = make_parser().parse_args(argv)
    if options.debug:
        logging.basicConfig(level=logging.DEBUG)
    outcome = run(options, report)
    report.document |= {
        'result': 'boots' if outcome.passed else 'does-not-boot',
        'reason': outcome.describe(),
        'findings': [dataclasses.asdict(each) for each in outcome.findings],
        'telling': list(outcome.telling),
        'console': outcome.console,
    }
    good = outcome.passed and not options.json
    print(
        control_characters.escaped(
            _describe(options.image, outcome), layout=True
        ),
        file=sys.stdout if good else sys.stderr,
    )
    return 0 if outcome.passed else exception.StepFailed.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: its arguments, those of the process by default.
    :returns: the exit code.
    """
    return program.run_reporting(_work, argv)


if __name__ == '__main__':
    sys.exit(main())
