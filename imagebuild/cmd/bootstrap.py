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
"""imagebuild-bootstrap: a base image out of nothing but packages."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.cmd import json_report
from imagebuild.cmd import live_line
from imagebuild.cmd import program
from imagebuild.drivers import bootstrap

_RAW_SUFFIXES = ('.raw', '.img')


class _StepMonitor(bootstrap.DiskMonitor):
    """Prints the steps and keeps them for the report."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self._line = live_line.LiveLine()

    def step_started(self, name: str) -> None:
        if self._line.live:
            self._line.show(name)
        else:
            self._line.print(f'{name} ...')

    def close(self) -> None:
        """Take the live line away."""
        self._line.close()

    def step_finished(self, name: str, seconds: float, error: str) -> None:
        self.steps.append(
            {
                'path': f'steps[{len(self.steps)}]',
                'name': name,
                'result': 'failed' if error else 'done',
                'seconds': round(seconds, 2),
                'output': error,
            }
        )
        how = 'failed' if error else 'done'
        self._line.print(f'{name}: {how} ({seconds:.1f} s)')
        # Until the next step, or until what is temporary is removed.
        self._line.show('tidying up')

    def notice(self, message: str) -> None:
        self.notices.append(message)
        self._line.print(message)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program.Parser(
        prog='imagebuild-bootstrap',
        description="Makes a base image from a distribution's packages, "
        "taken from the mirrors in this machine's apt sources.",
    )
    parser.add_argument(
        '--os',
        required=True,
        metavar='NAME',
        help='what to make, such as debian-12',
    )
    parser.add_argument(
        '--output',
        required=True,
        metavar='PATH',
        type=pathlib.Path,
        help='the file to make: raw when its name ends in .raw or .img, '
        'else qcow2',
    )
    parser.add_argument(
        '--size',
        metavar='GIB',
        type=int,
        help='size of the disk in GiB (default: 4, minimal: 3); unused '
        'room takes none in the file',
    )
    parser.add_argument(
        '--file-system',
        metavar='KIND',
        help='of its root: ext4 (the default), xfs or btrfs',
    )
    parser.add_argument(
        '--partition-table',
        metavar='KIND',
        help='gpt (the default) or mbr; both start from BIOS and from UEFI',
    )
    _add_flags(parser)
    program.add_version(parser)
    return parser


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--minimal',
        action='store_true',
        help='no kernel, bootloader, cloud-init or sshd: only what apt needs',
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace a file that is there',
    )
    parser.add_argument(
        '--json',
        action='store_true',
        help='print a report of every step on standard output',
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help='print a traceback when something fails',
    )


def run(arguments: argparse.Namespace, report: json_report.JsonReport) -> None:
    """Make the image that the command line asks for.

    :param report: is given what was made.
    :raises ImageBuildError: it cannot be made.
    """
    progress = _StepMonitor()
    output: pathlib.Path = arguments.output
    report.document |= {
        'os': arguments.os,
        'output': str(output),
        'notices': progress.notices,
        'steps': progress.steps,
    }
    before = _identity(output)
    try:
        disk = _create(arguments, progress)
        report.document |= {
            'format': disk.format,
            'virtual_size': disk.virtual_size,
            'size': disk.path.stat().st_size,
        }
    except exception.Interrupted:
        if _identity(output) == before:
            raise
        # It came after the last rename: the image is made.
    finally:
        progress.close()
        report.changed = _identity(output) != before
    report.document['result'] = 'done'


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    """What another file at the same path differs in, None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _create(
    arguments: argparse.Namespace, progress: bootstrap.DiskMonitor
) -> bootstrap.FileArtifact:
    options = {
        'os': arguments.os,
        'minimal': arguments.minimal,
        'size': arguments.size,
        'file_system': arguments.file_system,
        'partition_table': arguments.partition_table,
    }
    output: pathlib.Path = arguments.output
    driver = bootstrap.BootstrapDriver()
    driver.validate(options)
    _check_output(output, force=arguments.force)
    disk_format: bootstrap.DiskFormat = (
        'raw' if output.suffix.lower() in _RAW_SUFFIXES else 'qcow2'
    )
    return driver.create_disk(
        options, output, disk_format=disk_format, monitor=progress
    )


def _check_output(output: pathlib.Path, *, force: bool) -> None:
    if not output.parent.is_dir():
        raise exception.InvalidInput(f'There is no directory {output.parent}.')
    if output.is_symlink() or not output.exists():
        if output.is_symlink():
            raise exception.InvalidInput(
                f'{output} is a link; name the file itself.'
            )
        return
    if not output.is_file():
        raise exception.InvalidInput(f'{output} is not a file.')
    if not force:
        raise exception.InvalidInput(
            f'{output} is there already; use --force to replace it.'
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The program's entry point.

    :returns: the exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    report = json_report.JsonReport()
    return program.run_parsed(
        make_parser(),
        lambda parsed: run(parsed, report),
        arguments,
        report=report if '--json' in arguments else None,
    )


if __name__ == '__main__':
    sys.exit(main())
