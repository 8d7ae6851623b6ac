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
"""imagebuild-convert: a manifest from what other programs read."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from imagebuild import conversion
from imagebuild import exception
from imagebuild.cmd import program
from imagebuild.common import os_errors
from imagebuild.common.counts import counted

_EPILOG = """
What could not be carried over is written to standard error and into the
manifest as comments. Exit codes: 0 done; 1 with --strict, when something could
not be carried over; 2 bad usage, or nothing that can be converted; 3 the
environment failed. In every case but 0 nothing is written.
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    path = pathlib.Path
    parser = program.Parser(
        prog='imagebuild-convert',
        description="Makes a manifest of another program's description of "
        'an image: a manifest of Sahara, user data of cloud-init, elements '
        'of diskimage-builder, or a template of Packer.',
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add(
        'file',
        metavar='FILE',
        type=path,
        help='what to convert; of diskimage-builder an element, or a file '
        'with names of elements',
    )
    add(
        '--from',
        dest='form',
        choices=conversion.FORMS,
        help='what it is (default: found out)',
    )
    add(
        '--output',
        metavar='FILE',
        type=path,
        help='the manifest to write (default: standard output); files that '
        'it needs are put beside it',
    )
    add(
        '--element-path',
        metavar='DIR',
        type=path,
        action='append',
        default=[],
        help='a directory with elements of diskimage-builder',
    )
    add(
        '--strict',
        action='store_true',
        help='fail if something cannot be carried over',
    )
    add('--force', action='store_true', help='replace files that are there')
    add('--debug', action='store_true', help='print tracebacks')
    program.add_version(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Convert what the command line names.

    :raises ImageBuildError: nothing was written.
    """
    made = conversion.convert(
        options.file, options.form, element_paths=_element_paths(options)
    )
    for note in made.notes:
        kind = 'not carried over' if note.lost else 'look at'
        print(f'{kind}: {note}', file=sys.stderr)
    lost = sum(note.lost for note in made.notes)
    if options.strict and lost:
        raise exception.StepFailed(
            f'{counted(lost, "part")} of {options.file} cannot be carried '
            'over; '
            'nothing is written.'
        )
    if options.output is None:
        if made.resources:
            print(
                'The manifest needs files beside it, which --output writes: '
                f'{", ".join(made.resources)}',
                file=sys.stderr,
            )
        print(made.text, end='')
        return
    _write(options.output, made, force=options.force)
    how = f'; {counted(lost, "part")} not carried over' if lost else ''
    print(f'{options.output} is written, from {made.form}{how}.')


def _element_paths(options: argparse.Namespace) -> list[pathlib.Path]:
    for path in options.element_path:
        if not path.is_dir():
            raise exception.InvalidInput(f'{path} is not a directory.')
    usual = os.environ.get('ELEMENTS_PATH', '').split(':')
    return [
        *options.element_path,
        *(pathlib.Path(one) for one in usual if one),
    ]


def _write(
    output: pathlib.Path, made: conversion.Converted, *, force: bool
) -> None:
    """Write a manifest and its files; the manifest last."""
    directory = output.parent
    if not directory.is_dir():
        raise exception.InvalidInput(f'There is no directory {directory}.')
    wanted = {
        _beside(directory, name): content
        for name, content in made.resources.items()
    }
    wanted[output] = made.text.encode()
    for path, content in wanted.items():
        if path.exists() and not path.is_file():
            raise exception.InvalidInput(f'{path} is not a file.')
        if path.exists() and not force and not _same(path, content):
            raise exception.InvalidInput(
                f'{path} is there already; use --force to replace it.'
            )
    for path, content in wanted.items():
        _replace(path, content)


def _beside(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Where a file that the manifest names goes: nowhere else than below."""
    path = directory / name
    inside = path.parent.resolve().is_relative_to(directory.resolve())
    if not inside or '..' in path.relative_to(directory).parts:
        raise exception.InvalidInput(f'{path} would not be in {directory}.')
    return path


def _same(path: pathlib.Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _replace(path: pathlib.Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    with os_errors.on_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix='.imagebuild-convert.'
        ) as directory:
            new = pathlib.Path(directory, path.name)
            new.write_bytes(content)
            new.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The program's entry point.

    :returns: the exit code.
    """
    return program.run_parsed(make_parser(), run, argv)


if __name__ == '__main__':
    sys.exit(main())
