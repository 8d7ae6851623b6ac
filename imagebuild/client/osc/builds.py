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
"""``openstack image build`` for builds that there are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import osc_lib.exceptions
from osc_lib.command import command

from imagebuild.client import exceptions
from imagebuild.client.osc import columns
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import progress
from imagebuild.client.osc import terminal
from imagebuild.common import statuses


class ListBuild(terminal.SafeOutput, command.Lister):
    """List builds"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long', action='store_true', help='Show more of each build'
        )
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='Builds of all projects (for administrators)',
        )
        parser.add_argument(
            '--status',
            metavar='<status>',
            action='append',
            choices=statuses.ALL,
            help=f'Only builds that are {", ".join(statuses.ALL)} (repeat for '
            'several)',
        )
        for option, what in (
            ('os', 'of this operating system'),
            ('driver', 'of this driver'),
            ('content-key', 'of this content'),
        ):
            parser.add_argument(
                f'--{option}',
                metavar=f'<{option}>',
                action='append',
                help=f'Only builds {what} (repeat for several)',
            )
        parser.add_argument(
            '--name', metavar='<name>', help='Only builds with this name'
        )
        parser.add_argument(
            '--sort',
            metavar='<key>[:<direction>]',
            help='Such as created_at:asc; the newest are first by default',
        )
        options.add_pages(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        fields = columns.LONG if parsed_args.long else columns.LIST
        if parsed_args.all_projects:
            fields = (*fields, columns.PROJECT)
        found = plugin.client_of(self).builds.list(
            all_projects=parsed_args.all_projects or None,
            status=parsed_args.status,
            os=parsed_args.os,
            driver=parsed_args.driver,
            content_key=parsed_args.content_key,
            name=parsed_args.name,
            sort=parsed_args.sort,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
        )
        return columns.table(fields, found)


class ShowBuild(terminal.SafeOutput, command.ShowOne):
    """Show a build"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_build(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).builds
        found = manager.find(parsed_args.build)
        if found.id != parsed_args.build:
            # By its name it comes from a list, which has not all of it:
            # packages, say, and findings of a boot test.
            found = manager.get(found.id)
        return columns.shown(columns.BUILD, found)


class ListStep(terminal.SafeOutput, command.Lister):
    """List the steps of a build that have ended"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_build(super().get_parser(prog_name))
        parser.add_argument(
            '--long', action='store_true', help='With what they printed'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        manager = plugin.client_of(self).builds
        steps = manager.steps(manager.find(parsed_args.build).id)
        fields = columns.STEPS_LONG if parsed_args.long else columns.STEPS
        return columns.table(fields, steps)


class SetBuild(terminal.SafeOutput, command.ShowOne):
    """Change the metadata of the image of a build

    Tags, members and properties take the place of those that were there;
    --no-tag, --no-member and --no-property leave none.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_build(super().get_parser(prog_name))
        options.add_changes(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        changes = options.changes(parsed_args)
        if not changes:
            raise osc_lib.exceptions.CommandError('Nothing is to be changed.')
        manager = plugin.client_of(self).builds
        build = manager.find(parsed_args.build)
        return columns.shown(
            columns.BUILD, manager.update(build.id, **changes)
        )


class DeleteBuild(terminal.SafeOutput, command.Command):
    """Delete builds, and their images if no other build uses them"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_builds(super().get_parser(prog_name))
        parser.add_argument(
            '--wait', action='store_true', help='Wait until they are gone'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).builds
        deleted = []

        def delete(name: str) -> None:
            build = manager.find(name)
            manager.delete(build.id)
            deleted.append(build.id)

        try:
            for_each(parsed_args.builds, delete)
        finally:
            if parsed_args.wait:
                with progress.Display() as display:
                    for build_id in deleted:
                        manager.wait_deleted(
                            build_id,
                            on_progress=lambda build: display.tell(
                                build.status, f'{build.name} ({build.id})'
                            ),
                        )


class CancelBuild(terminal.SafeOutput, command.Command):
    """Stop builds"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_builds(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).builds
        for_each(
            parsed_args.builds,
            lambda name: manager.cancel(manager.find(name).id),
        )


class LogBuild(terminal.SafeOutput, command.Command):
    """Print the log of a build"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_build(super().get_parser(prog_name))
        parser.add_argument(
            '--follow',
            action='store_true',
            help='Go on until the build has ended; fail if it did',
        )
        parser.add_argument(
            '--offset',
            metavar='<bytes>',
            type=int,
            default=0,
            help='Where to begin',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).builds
        build = manager.find(parsed_args.build)
        if parsed_args.follow:
            with progress.Display() as display:
                shown = display.show if display.live else None
                for text in manager.follow_log(
                    build.id, parsed_args.offset, shown
                ):
                    display.write(text, sys.stdout)
            build = manager.get(build.id)
            progress.check(manager, build)
            progress.tell_reuse(build)
            return
        offset = parsed_args.offset
        while True:
            chunk = manager.log(build.id, offset)
            if not chunk.text:
                return
            _write(chunk.text)
            offset = chunk.next_offset


def _write(text: str) -> None:
    terminal.safe(sys.stdout).write(text)
    sys.stdout.flush()


def with_build(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the argument that names a build."""
    parser.add_argument('build', metavar='<build>', help='Build (name or ID)')
    return parser


def _with_builds(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        'builds', metavar='<build>', nargs='+', help='Builds (name or ID)'
    )
    return parser


def for_each(names: list[str], act: Callable[[str], None]) -> None:
    """Do the same with each name, also after one has failed.

    :raises CommandError: with the errors of all that failed.
    """
    failed = []
    for name in names:
        try:
            act(name)
        except exceptions.ClientError as error:
            failed.append(f'{name}: {error}')
    if failed:
        raise osc_lib.exceptions.CommandError('\n'.join(failed))
