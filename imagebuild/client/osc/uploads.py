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
"""``openstack image build upload ...``"""

from __future__ import annotations

import argparse

from osc_lib.command import command

from imagebuild.client.osc import builds
from imagebuild.client.osc import columns
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import terminal
from imagebuild.common import statuses

_FORMATS = ('qcow2', 'raw', 'vmdk', 'vhd', 'vdi')


class CreateUpload(terminal.SafeOutput, command.ShowOne):
    """Upload the image of a build to one more cloud"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'build', metavar='<build>', help='Name or ID of the build'
        )
        parser.add_argument(
            'destination',
            metavar='<cloud>',
            help='Name of the cloud, as the operator calls it',
        )
        parser.add_argument(
            '--disk-format',
            metavar='<format>',
            choices=_FORMATS,
            help=f'Format of the image there: {", ".join(_FORMATS)}',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        client = plugin.client_of(self)
        build = client.builds.find(parsed_args.build)
        made = client.uploads.create(
            build.id,
            destination=parsed_args.destination,
            disk_format=parsed_args.disk_format,
        )
        return columns.shown(columns.UPLOAD, made)


class ListUpload(terminal.SafeOutput, command.Lister):
    """List uploads of images, the oldest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--build',
            metavar='<build>',
            help='Only of this build',
        )
        parser.add_argument(
            '--status',
            metavar='<status>',
            choices=statuses.UPLOAD,
            help=f'Only uploads that are {", ".join(statuses.UPLOAD)}',
        )
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='Uploads of all projects (for administrators)',
        )
        options.add_pages(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        client = plugin.client_of(self)
        build_id = None
        if parsed_args.build:
            build_id = client.builds.find(parsed_args.build).id
        found = client.uploads.list(
            build_id=build_id,
            status=parsed_args.status,
            all_projects=parsed_args.all_projects or None,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
        )
        return columns.table(columns.UPLOADS, found)


class ShowUpload(terminal.SafeOutput, command.ShowOne):
    """Show an upload"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('upload', metavar='<upload>', help='ID')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        found = plugin.client_of(self).uploads.get(parsed_args.upload)
        return columns.shown(columns.UPLOAD, found)


class DeleteUpload(terminal.SafeOutput, command.Command):
    """Cancel uploads, or delete the images that they made"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'upload', metavar='<upload>', nargs='+', help='ID(s)'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).uploads
        builds.for_each(parsed_args.upload, manager.delete)
