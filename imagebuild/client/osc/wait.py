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
"""``openstack image build wait``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterable

from osc_lib.command import command

from imagebuild.client import builds
from imagebuild.client import exceptions
from imagebuild.client import records
from imagebuild.client.osc import columns
from imagebuild.client.osc import create
from imagebuild.client.osc import plugin
from imagebuild.client.osc import progress
from imagebuild.client.osc import terminal


class WaitBuild(terminal.SafeOutput, command.Lister):
    """Wait until builds have ended, and fail if one did

    Ends with the worst exit code of the builds: 0 for an image that is
    there, 3 for a fault of the service, 1 for all others and when the time is
    up.
    """

    _exit_code = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'builds',
            metavar='<build>',
            nargs='+',
            help='Builds (name or ID)',
        )
        parser.add_argument(
            '--timeout',
            metavar='<seconds>',
            type=_seconds,
            help='Wait no longer for all of them; the builds go on',
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print how each ended, and return the worst exit code."""
        code = super().run(parsed_args)
        return code or self._exit_code

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        manager = plugin.client_of(self).builds
        # Before any is waited for: a name may be misspelt.
        found = [manager.find(name) for name in parsed_args.builds]
        each = {build.id: build for build in found}.values()
        ended = self._wait(manager, each, parsed_args.timeout)
        return columns.table(columns.ENDED, ended)

    def _wait(
        self,
        manager: builds.BuildManager,
        waited: Iterable[records.Build],
        timeout: float | None,
    ) -> list[records.Build]:
        """One after the other: it ends when the last one has."""
        end = None if timeout is None else time.monotonic() + timeout
        waited = list(waited)
        ended = []
        for build in waited:
            if len(waited) > 1:
                _print(f'{build.name} ({build.id}):')
            left = None if end is None else max(0, end - time.monotonic())
            last, code, message = _ending(manager, build, left)
            if last is None:
                last = manager.get(build.id)
                message = (
                    f'The build {build.id} is still {last.status} after '
                    f'{timeout:g} seconds; it goes on.'
                )
            self._exit_code = max(self._exit_code, code)
            if message:
                _print(message)
            elif code == 0:
                progress.tell_reuse(last)
            ended.append(last)
        return ended


def _ending(
    manager: builds.BuildManager, build: records.Build, timeout: float | None
) -> tuple[records.Build | None, int, str]:
    """Wait for one.

    :returns: how it is now, its exit code, and what is wrong; None when the
        time is up.
    """
    try:
        last = create.watched(manager, build, follow=False, timeout=timeout)
    except exceptions.WaitTimeout:
        return None, 1, ''
    except exceptions.NotFound:
        message = f'The build {build.id} was deleted meanwhile.'
        return dataclasses.replace(build, status='deleted'), 1, message
    except exceptions.ClientError as error:
        # The others may have better luck, and theirs is not to be lost.
        return dataclasses.replace(build, status='unknown'), 1, str(error)
    code = progress.exit_code(last)
    return last, code, progress.failure(manager, last) if code else ''


def _print(text: str) -> None:
    terminal.safe(sys.stderr).write(f'{text}\n')
    sys.stderr.flush()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f'"{text}" is not 0 or more')
    return seconds
