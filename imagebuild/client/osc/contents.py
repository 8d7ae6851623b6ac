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
"""The commands ``openstack image build sbom`` and ``... package list``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

import osc_lib.exceptions
from osc_lib.command import command

from imagebuild.client.osc import builds
from imagebuild.client.osc import columns
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import terminal


class ShowSbom(terminal.SafeOutput, command.Command):
    """Print what is in the image of a build, as a document of SPDX"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = builds.with_build(super().get_parser(prog_name))
        add_file(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).builds
        document = manager.sbom(manager.find(parsed_args.build).id)
        write(document, parsed_args.file)


class ShowProvenance(terminal.SafeOutput, command.Command):
    """Print where the image of a build comes from, as in-toto and SLSA"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = builds.with_build(super().get_parser(prog_name))
        add_file(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).builds
        statement = manager.provenance(manager.find(parsed_args.build).id)
        write(statement, parsed_args.file)


class ListPackage(terminal.SafeOutput, command.Lister):
    """List the active images that hold a package"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--name',
            metavar='<name>',
            required=True,
            help='Name of the package, exactly',
        )
        # "--version" is the program's own, wherever it is on the line.
        parser.add_argument(
            '--package-version',
            metavar='<conditions>',
            help="A version, or conditions such as '<3.0.15' or "
            "'>=3.0,<3.0.15', compared as the package's ecosystem does",
        )
        parser.add_argument(
            '--type',
            metavar='<type>',
            choices=('deb', 'pypi', 'rpm'),
            help='Only packages of this type: deb, pypi, rpm',
        )
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='Images of all projects (for administrators)',
        )
        options.add_pages(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        fields = columns.PACKAGES
        if parsed_args.all_projects:
            fields = (*fields, columns.PROJECT)
        found = plugin.client_of(self).packages.list(
            parsed_args.name,
            version=parsed_args.package_version,
            type=parsed_args.type,
            all_projects=parsed_args.all_projects or None,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
        )
        return columns.table(fields, found)


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the option that names where a document goes."""
    parser.add_argument(
        '--file',
        metavar='<file>',
        help='Write it into this file; to the standard output by default',
    )


def write(document: Mapping[str, Any], path: str | None) -> None:
    """Write a document as JSON, for people.

    :param path: of the file, which is replaced; None for standard output.
    :raises CommandError: it cannot be written.
    """
    text = json.dumps(document, indent=2) + '\n'
    if path is None:
        terminal.safe(sys.stdout).write(text)
        sys.stdout.flush()
        return
    try:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise osc_lib.exceptions.CommandError(
            f'{path} cannot be written: {reason}.'
        ) from error
