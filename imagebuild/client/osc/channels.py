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
"""``openstack image build promote`` and ``openstack image channel ...``."""

from __future__ import annotations

import argparse
from typing import Any

import osc_lib.exceptions
from osc_lib.command import command

from imagebuild.client import Client
from imagebuild.client import channel_records
from imagebuild.client import managers
from imagebuild.client.osc import columns
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import terminal


class PromoteBuild(terminal.SafeOutput, command.ShowOne):
    """Make the image of a build the current one of a channel

    With --rollback the other way round: the build, which is the current one
    now, is taken back from the channel, and the one before is current again.
    Their name is enough for that.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'build', metavar='<build>', help='Build (name or ID)'
        )
        parser.add_argument(
            'channel', metavar='<channel>', help='Channel, such as prod'
        )
        parser.add_argument(
            '--rollback',
            action='store_true',
            help='Take the build back: the one before is current again',
        )
        tags = parser.add_mutually_exclusive_group()
        tags.add_argument(
            '--tag',
            dest='tags',
            metavar='<tag>',
            action='append',
            help='Further tag that goes with the channel from now on, such '
            "as Octavia's amp_image_tag (repeat for several); default: those "
            'that it has',
        )
        tags.add_argument(
            '--no-tag',
            action='store_true',
            help='No further tags from now on',
        )
        parser.add_argument(
            '--if-current',
            metavar='<build-id>',
            help='Only if this build is the current one until then; "none": '
            'only if there is none',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        values = _values(parsed_args)
        client = plugin.client_of(self)
        name = parsed_args.build
        if parsed_args.rollback:
            if values:
                raise osc_lib.exceptions.CommandError(
                    'With --rollback there is no --tag, --no-tag or '
                    '--if-current.'
                )
            build_id = _current(client, name, parsed_args.channel)
            found = client.channels.roll_back(build_id, parsed_args.channel)
        else:
            build = client.builds.find(name)
            found = client.channels.promote(
                build.id, parsed_args.channel, **values
            )
        return columns.shown(columns.CHANNEL, found)


class ListChannel(terminal.SafeOutput, command.Lister):
    """List channels"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long', action='store_true', help='Show more of each channel'
        )
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='Channels of all projects (for administrators)',
        )
        parser.add_argument(
            '--name', metavar='<name>', help='Only of images of this name'
        )
        parser.add_argument(
            '--channel', metavar='<channel>', help='Only this channel'
        )
        parser.add_argument(
            '--build',
            metavar='<build>',
            help='Only those that have this build (name or ID), as the '
            'current one or the one before',
        )
        options.add_pages(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        client = plugin.client_of(self)
        build_id = None
        if parsed_args.build:
            build_id = client.builds.find(parsed_args.build).id
        fields = (
            columns.CHANNELS_LONG if parsed_args.long else columns.CHANNELS
        )
        if parsed_args.all_projects:
            fields = (*fields, columns.PROJECT)
        found = client.channels.list(
            name=parsed_args.name,
            channel=parsed_args.channel,
            build_id=build_id,
            all_projects=parsed_args.all_projects or None,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
        )
        return columns.table(fields, found)


class ShowChannel(terminal.SafeOutput, command.ShowOne):
    """Show a channel: its current image, and the one before"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_channel(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        return columns.shown(columns.CHANNEL, _found(self, parsed_args))


class ListPromotion(terminal.SafeOutput, command.Lister):
    """List what was promoted to a channel, the newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_channel(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        found = _found(self, parsed_args)
        history = plugin.client_of(self).channels.history(found.id)
        return columns.table(columns.PROMOTIONS, history)


class DeleteChannel(terminal.SafeOutput, command.Command):
    """Delete a channel; its images stay, and lose its tags"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_channel(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        found = _found(self, parsed_args)
        plugin.client_of(self).channels.delete(found.id)


def _with_channel(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument('name', metavar='<name>', help='Name of its images')
    parser.add_argument(
        'channel', metavar='<channel>', help='Channel, such as prod'
    )
    return parser


def _found(
    asked_by: command.Command, args: argparse.Namespace
) -> channel_records.Channel:
    manager = plugin.client_of(asked_by).channels
    return manager.find(args.name, args.channel)


def _current(client: Client, name_or_id: str, channel: str) -> str:
    """The build to take back: the current one where a name is given.

    At least two builds have that name.
    """
    if managers.is_id(name_or_id):
        return name_or_id
    return client.channels.find(name_or_id, channel).current_build_id


def _values(args: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if args.no_tag or args.tags:
        values['tags'] = args.tags or []
    if args.if_current is not None:
        wanted = args.if_current
        values['current_build_id'] = None if wanted == 'none' else wanted
    return values
