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
"""``openstack image build create`` and ``plan``."""

from __future__ import annotations

import argparse
import sys

from osc_lib.command import command

from imagebuild.client import builds
from imagebuild.client import records
from imagebuild.client.osc import columns
from imagebuild.client.osc import description
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import progress
from imagebuild.client.osc import terminal


class CreateBuild(terminal.SafeOutput, command.ShowOne):
    """Build an image"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        options.add(parser)
        parser.add_argument(
            '--wait',
            action='store_true',
            help='Show how the build goes and wait until it has ended',
        )
        parser.add_argument(
            '--follow',
            action='store_true',
            help='Print the log of the build and wait until it has ended',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).builds
        build = manager.create(**description.load(parsed_args))
        if parsed_args.wait or parsed_args.follow:
            build = watched(manager, build, follow=parsed_args.follow)
            progress.check(manager, build)
        progress.tell_reuse(build)
        return columns.shown(columns.BUILD, build)


class PlanBuild(terminal.SafeOutput, command.ShowOne):
    """Show what building an image would do, and do nothing"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        options.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).builds
        plan = manager.plan(**description.load(parsed_args))
        return columns.shown(columns.PLAN, plan)


def watched(
    manager: builds.BuildManager,
    build: records.Build,
    *,
    follow: bool,
    timeout: float | None = None,
) -> records.Build:
    """Wait until a build has ended and show how it goes.

    Ctrl-C ends the waiting, not the build; a message tells how to go on.

    :raises WaitTimeout: it has not ended within ``timeout`` seconds.
    """
    try:
        with progress.Display() as display:
            display.show(build)
            if not follow:
                return manager.wait(
                    build.id, timeout, on_progress=display.show
                )
            # Without a live line, the log alone shows how the build goes.
            shown = display.show if display.live else None
            for text in manager.follow_log(build.id, on_progress=shown):
                display.write(text)
            return manager.get(build.id)
    except KeyboardInterrupt:
        sys.stderr.write(
            f'\nThe build {build.id} goes on. To see it again:\n'
            f'  openstack image build log --follow {build.id}\n'
            'To stop it:\n'
            f'  openstack image build cancel {build.id}\n'
        )
        raise
