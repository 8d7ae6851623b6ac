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
"""``openstack image pipeline ...``"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import osc_lib.exceptions
from osc_lib.command import command

from imagebuild.client import pipelines
from imagebuild.client import records
from imagebuild.client.osc import builds
from imagebuild.client.osc import columns
from imagebuild.client.osc import description
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import terminal
from imagebuild.common import statuses

_VALUES = ('cron', 'max_age', 'keep', 'max_failures', 'current_tag', 'paused')


class CreatePipeline(terminal.SafeOutput, command.ShowOne):
    """Make a pipeline: an image that is built again and again"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'name', metavar='<name>', help='Name, unique in the project'
        )
        _add_values(parser, 'Only run it on request')
        _add_image(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).pipelines
        made = manager.create(
            parsed_args.name, _image(parsed_args), **_values(parsed_args)
        )
        return columns.shown(columns.PIPELINE, made)


class ListPipeline(terminal.SafeOutput, command.Lister):
    """List pipelines"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long', action='store_true', help='Show more of each pipeline'
        )
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='Pipelines of all projects (for administrators)',
        )
        parser.add_argument(
            '--status',
            metavar='<status>',
            choices=statuses.PIPELINE,
            help=f'Only pipelines that are {", ".join(statuses.PIPELINE)}',
        )
        parser.add_argument(
            '--name', metavar='<name>', help='Only the one with this name'
        )
        options.add_pages(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        fields = (
            columns.PIPELINES_LONG if parsed_args.long else columns.PIPELINES
        )
        if parsed_args.all_projects:
            fields = (*fields, columns.PROJECT)
        found = plugin.client_of(self).pipelines.list(
            all_projects=parsed_args.all_projects or None,
            status=parsed_args.status,
            name=parsed_args.name,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
        )
        return columns.table(fields, found)


class ShowPipeline(terminal.SafeOutput, command.ShowOne):
    """Show a pipeline"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_pipeline(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).pipelines
        found = manager.find(parsed_args.pipeline)
        return columns.shown(columns.PIPELINE, found)


class SetPipeline(terminal.SafeOutput, command.ShowOne):
    """Change a pipeline, and have one that has stopped go on

    Options about the image replace the whole of it: give all of them.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_pipeline(super().get_parser(prog_name))
        _add_values(parser, 'Only run it on request')
        parser.add_argument(
            '--no-schedule',
            action='store_true',
            help='No --cron and no --max-age: run on request only',
        )
        _add_image(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        changes = _values(parsed_args)
        if parsed_args.no_schedule:
            changes |= {'cron': None, 'max_age': None}
        if image := _image(parsed_args):
            changes['image'] = image
        if not changes:
            raise osc_lib.exceptions.CommandError('Nothing is to be changed.')
        return _shown(
            self,
            parsed_args,
            lambda manager, id: manager.update(id, **changes),
        )


class PausePipeline(terminal.SafeOutput, command.ShowOne):
    """Have a pipeline run on request only"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_pipeline(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        return _shown(
            self, parsed_args, lambda manager, id: manager.update(
                id, paused=True
            )
        )  # fmt: skip


class UnpausePipeline(terminal.SafeOutput, command.ShowOne):
    """Have a pipeline that is paused, or has stopped, go on"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_pipeline(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        return _shown(
            self, parsed_args, lambda manager, id: manager.update(
                id, paused=False
            )
        )  # fmt: skip


class RunPipeline(terminal.SafeOutput, command.ShowOne):
    """Have a pipeline run now, also one that is paused or has stopped"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_pipeline(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        return _shown(self, parsed_args, lambda manager, id: manager.run(id))


class DeletePipeline(terminal.SafeOutput, command.Command):
    """Delete pipelines; their images stay, unless --images is given"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'pipelines',
            metavar='<pipeline>',
            nargs='+',
            help='Pipelines (name or ID)',
        )
        parser.add_argument(
            '--images',
            action='store_true',
            help='Delete their builds, too, and the images with them',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).pipelines
        builds.for_each(
            parsed_args.pipelines,
            lambda name: manager.delete(
                manager.find(name).id, delete_images=parsed_args.images
            ),
        )


def _shown(
    shown_by: command.ShowOne,
    args: argparse.Namespace,
    act: Callable[[pipelines.PipelineManager, str], records.Pipeline],
) -> columns.Shown:
    manager = plugin.client_of(shown_by).pipelines
    found = act(manager, manager.find(args.pipeline).id)
    return columns.shown(columns.PIPELINE, found)


def _with_pipeline(
    parser: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    parser.add_argument(
        'pipeline', metavar='<pipeline>', help='Pipeline (name or ID)'
    )
    return parser


def _add_values(parser: argparse.ArgumentParser, paused: str) -> None:
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        '--cron',
        metavar='<line>',
        help='When it runs, in UTC: five fields as in crontab(5), or @daily '
        'and the like',
    )
    when.add_argument(
        '--max-age',
        metavar='<seconds>',
        type=int,
        help='Build the current image again when it is so old',
    )
    parser.add_argument(
        '--keep',
        metavar='<number>',
        type=int,
        help='Images that are kept, the current one among them; default: 2',
    )
    parser.add_argument(
        '--max-failures',
        metavar='<number>',
        type=int,
        help='Stop after so many failures in a row; 0: never; default: 3',
    )
    parser.add_argument(
        '--current-tag',
        metavar='<tag>',
        help='Tag of the current image; default: imagebuild_pipeline:<name>',
    )
    parser.add_argument(
        '--paused', action='store_true', default=None, help=paused
    )


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--image-name',
        metavar='<name>',
        help='Name of the images; default: that of the pipeline',
    )
    options.add_description(parser)


def _values(args: argparse.Namespace) -> dict[str, Any]:
    return {
        name: value
        for name in _VALUES
        if (value := getattr(args, name)) is not None
    }


def _image(args: argparse.Namespace) -> dict[str, Any]:
    image = description.load_fields(args)
    if args.image_name is not None:
        image['name'] = args.image_name
    return image
