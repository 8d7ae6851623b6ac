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
"""``openstack image build validate`` and ``openstack image validation ...``"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import osc_lib.exceptions
from osc_lib.command import command

from imagebuild.client import records
from imagebuild.client.osc import builds
from imagebuild.client.osc import columns
from imagebuild.client.osc import description
from imagebuild.client.osc import options
from imagebuild.client.osc import plugin
from imagebuild.client.osc import progress
from imagebuild.client.osc import terminal
from imagebuild.common import statuses

_HOST_KEYS = ('address', 'server', 'port', 'user', 'host_key')
_CREDENTIALS = (
    ('key', '<name>', "Name of a key of the service's operator"),
    ('secret', '<href>', 'Secret of Barbican: a private key'),
    ('passphrase_secret', '<href>', 'Its passphrase, likewise'),
    ('password_secret', '<href>', 'Password of the login, likewise'),
    ('sudo_password_secret', '<href>', 'Password for sudo, likewise'),
)
#: Status -> exit code; as of imagebuild-validate.
_EXIT_CODES = {'passed': 0, 'error': 3}


class ValidateMachines(terminal.SafeOutput, command.ShowOne):
    """Have running machines looked at, or reconciled

    With --wait it ends with 0 when every machine is as described, with 1 when
    one is not, and with 3 when one could not be reached.
    """

    _exit_code = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--name', metavar='<name>', help='Name of the validation'
        )
        parser.add_argument(
            '--host',
            dest='hosts',
            metavar='address=<ip>|server=<id>[,port=<port>,user=<user>,'
            'host_key=<fingerprint>]',
            action='append',
            required=True,
            type=_host,
            help='Machine (repeat for several)',
        )
        for name, metavar, text in _CREDENTIALS:
            parser.add_argument(
                f'--{name.replace("_", "-")}', metavar=metavar, help=text
            )
        parser.add_argument(
            '--reconcile',
            action='store_true',
            default=None,
            help='Change what does not hold; default: only look',
        )
        parser.add_argument(
            '--timeout',
            metavar='<seconds>',
            type=int,
            help='Time for all of it',
        )
        parser.add_argument(
            '--wait', action='store_true', help='Wait until it has ended'
        )
        options.add_content(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print what came out, and return the exit code."""
        code = super().run(parsed_args)
        return code or self._exit_code

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).validations
        credential = {
            name: value
            for name, _, _ in _CREDENTIALS
            if (value := getattr(parsed_args, name)) is not None
        }
        if not credential:
            raise osc_lib.exceptions.CommandError(
                'Name a --key, a --secret or a --password-secret.'
            )
        values = {
            name: value
            for name in ('name', 'reconcile', 'timeout')
            if (value := getattr(parsed_args, name)) is not None
        }
        found = manager.create(
            parsed_args.hosts,
            credential,
            **values,
            **description.load_content(parsed_args),
        )
        if parsed_args.wait:
            with progress.Display() as display:
                found = manager.wait(
                    found.id,
                    on_progress=lambda now: display.tell(
                        now.status, _ended(now)
                    ),
                )
            self._exit_code = _EXIT_CODES.get(found.status, 1)
            if self._exit_code and found.status_reason:
                terminal.safe(sys.stderr).write(f'{found.status_reason}\n')
        return columns.shown(columns.VALIDATION, found)


class ListValidation(terminal.SafeOutput, command.Lister):
    """List validations of machines"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='Validations of all projects (for administrators)',
        )
        parser.add_argument(
            '--status',
            metavar='<status>',
            choices=statuses.VALIDATION,
            help=f'Only those that are {", ".join(statuses.VALIDATION)}',
        )
        options.add_pages(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        fields = columns.VALIDATIONS
        if parsed_args.all_projects:
            fields = (*fields, columns.PROJECT)
        found = plugin.client_of(self).validations.list(
            all_projects=parsed_args.all_projects or None,
            status=parsed_args.status,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
        )
        return columns.table(fields, found)


class ShowValidation(terminal.SafeOutput, command.ShowOne):
    """Show a validation, and what came out for each machine"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).validations
        found = manager.get(parsed_args.validation)
        return columns.shown(columns.VALIDATION, found)


class CancelValidation(terminal.SafeOutput, command.ShowOne):
    """Cancel a validation that has not ended"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).validations
        found = manager.cancel(parsed_args.validation)
        return columns.shown(columns.VALIDATION, found)


class DeleteValidation(terminal.SafeOutput, command.Command):
    """Delete validations that do not run"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'validations',
            metavar='<validation>',
            nargs='+',
            help='Validations (ID)',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        manager = plugin.client_of(self).validations
        builds.for_each(parsed_args.validations, manager.delete)


def _ended(validation: records.Validation) -> str:
    """How many machines have been looked at."""
    hosts = validation.request.get('hosts') or ()
    return f'(machines done: {len(validation.results)} of {len(hosts)})'


def _with_id(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        'validation', metavar='<validation>', help='Validation (ID)'
    )
    return parser


def _host(text: str) -> dict[str, Any]:
    host: dict[str, Any] = {}
    for part in text.split(','):
        name, equals, value = part.partition('=')
        if not equals or name not in _HOST_KEYS:
            raise argparse.ArgumentTypeError(
                f'"{part}" is not <key>=<value>; keys are '
                f'{", ".join(_HOST_KEYS)}'
            )
        host[name] = value
    if 'port' in host:
        if not host['port'].isdecimal():
            raise argparse.ArgumentTypeError(
                f'the port "{host["port"]}" is not a number'
            )
        host['port'] = int(host['port'])
    return host
