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
"""tools/cloud/up, down and status."""

import argparse
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from tools.cloud import cloud_state
from tools.cloud import clouds
from tools.cloud import errors
from tools.cloud import venv
from tools.cloud.servers import process

#: Seconds since the start are printed before each line.
_START = time.monotonic()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed or not all up, 2 bad usage."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.interrupted.set())
    try:
        return int(options.run(options))
    except errors.CloudError as error:
        print(f'cloud: {error}', file=sys.stderr)
        return 1


def _up(options: argparse.Namespace) -> int:
    level, virt = options.level
    cloud = clouds.Cloud(options.state, level=level, virt=virt, report=_say)
    if options.wipe:
        cloud.down(wipe=True)
    cloud.up(host_is_ready=options.no_setup)
    _say(f'ready; source {cloud.directory}/openrc')
    return 0


def _down(options: argparse.Namespace) -> int:
    clouds.Cloud(options.state, report=_say).down(wipe=options.wipe)
    _say('down')
    return 0


def _environment(options: argparse.Namespace) -> int:
    site = clouds.Cloud(options.state).site
    venv.make_openstack(site.processes)
    venv.install_plugin(site.processes)
    print(venv.openstack())
    return 0


def _status(options: argparse.Namespace) -> int:
    """Print a line for each program; 1 when one of them has ended."""
    status = clouds.Cloud(options.state).status()
    for name, (pid, port) in status.items():
        state = f'pid {pid}' if pid else 'ENDED'
        print(f'{name:24} {state:12} {port or ""}'.rstrip())
    if not status:
        print('nothing runs')
    return 0 if status and all(pid for pid, _ in status.values()) else 1


def _say(line: str) -> None:
    print(f'[{time.monotonic() - _START:4.0f} s] {line}', flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='tools/cloud', description='A small OpenStack on this machine.'
    )
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    up = _command(commands, 'up', _up, 'start it; what runs is left alone')
    up.add_argument(
        '--with',
        dest='level',
        type=_level,
        default=(None, None),
        metavar='LEVEL',
        help='how much of it: keystone, glance, heat or nova, each with all '
        'that is before it; nova=fake only pretends to have servers '
        '(default: what there was, or nova)',
    )
    up.add_argument(
        '--no-setup',
        action='store_true',
        help='tools/setup-host.sh has been run: do not run it again',
    )
    _wipe(up, 'begin from nothing')
    down = _command(commands, 'down', _down, 'stop every process of it')
    _wipe(down, 'remove its data, too')
    _command(commands, 'status', _status, 'say what runs')
    _command(
        commands,
        'environment',
        _environment,
        "make the services' virtual environment and print where it is",
    )
    return parser


def _level(text: str) -> tuple[str, str | None]:
    level, _, virt = text.partition('=')
    if level not in clouds.LEVELS:
        raise argparse.ArgumentTypeError(f'there is no {text!r}')
    if virt and (level != 'nova' or virt not in clouds.VIRTS):
        raise argparse.ArgumentTypeError(f'there is no {text!r}')
    return level, virt or None


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text
    )
    command.set_defaults(run=run)
    command.add_argument(
        '--state',
        type=pathlib.Path,
        default=cloud_state.default_directory(),
        metavar='DIRECTORY',
        help='where everything is kept (default: %(default)s)',
    )
    return command


def _wipe(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument('--wipe', action='store_true', help=text)


if __name__ == '__main__':
    sys.exit(main())
