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
"""imagebuild-validate: check or reconcile running machines over SSH."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import logging
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

import imagebuild.conf
from imagebuild import exception
from imagebuild import manifest
from imagebuild.cmd import choice
from imagebuild.cmd import configuration
from imagebuild.cmd import console
from imagebuild.cmd import json_report
from imagebuild.cmd import program
from imagebuild.cmd import validate_report
from imagebuild.common import control_characters
from imagebuild.common import small_files
from imagebuild.machines import checks
from imagebuild.machines import inventory
from imagebuild.remotes import ssh
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings

_EPILOG = """
Exit codes: 0 every machine is as described; 1 one is not, or a step failed;
2 bad usage, manifest or arguments, found before any machine is reached; 3 one
could not be reached, and of no other one is known that it is not as described.
"""
_MOST_PARALLEL = 100
#: Bytes of a file with a password.
_LARGEST = 4096
#: Bytes of a file with a private key.
_LARGEST_KEY = 64 * 1024


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    path = pathlib.Path
    add(
        '--host',
        metavar='[USER@]HOST[:PORT]',
        action='append',
        default=[],
        help='a machine; may be given several times',
    )
    add(
        '--inventory',
        metavar='FILE',
        type=path,
        help='a YAML file of machines',
    )
    add(
        '--reconcile',
        action='store_true',
        help='change what does not hold (default: only look)',
    )
    choice.add_options(parser)
    _add_login(parser)
    add(
        '--parallel',
        metavar='N',
        type=int,
        default=8,
        help='how many machines at a time (default: %(default)s)',
    )
    choice.add_limits(parser)
    choice.add_output(parser)


def _add_login(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    path = pathlib.Path
    add(
        '--identity',
        metavar='KEY',
        type=path,
        help='file of a private key (default: an agent, keys in ~/.ssh)',
    )
    add(
        '--jump',
        metavar='[USER@]HOST[:PORT],...',
        help='the machines to go through',
    )
    add(
        '--known-hosts',
        metavar='FILE',
        type=path,
        action='append',
        help='file of known keys (default: ~/.ssh/known_hosts, '
        '/etc/ssh/ssh_known_hosts)',
    )
    add(
        '--accept-new',
        action='store_true',
        help='accept the key of a machine that is not known, and remember '
        'it; never one that has changed',
    )
    for name, what in (
        ('password', 'password'),
        ('passphrase', 'passphrase of the private key'),
        ('sudo-password', "password for sudo (default: the login's)"),
    ):
        one_of = parser.add_mutually_exclusive_group()
        one_of.add_argument(
            f'--ask-{name}', action='store_true', help=f'ask for the {what}'
        )
        one_of.add_argument(
            f'--{name}-file',
            metavar='FILE',
            type=path,
            help=f'a file whose first line is the {what}',
        )
    add(
        '--connect-timeout',
        metavar='SECONDS',
        type=float,
        default=30.0,
        help='limit until a machine lets one in (default: 30)',
    )


def _configuration(files: Sequence[str] | None) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    configuration.read(
        conf,
        [],
        _PROGRAM.name,
        groups=('DEFAULT',),
        default_config_files=list(files) if files else None,
    )
    return conf


_PROGRAM = choice.Program(
    'imagebuild-validate',
    'Checks running machines against a manifest, over SSH.',
    _EPILOG,
    _add_options,
    _configuration,
    lambda options, _: (
        '' if options.host or options.inventory else '--host or --inventory'
    ),
)


# -- what is asked for ------------------------------------------------------


def _checks(options: argparse.Namespace) -> list[checks.Check]:
    """Everything that is wrong with the request is found here."""
    choice.refuse_limits(options)
    if not options.connect_timeout > 0:
        raise exception.InvalidInput('--connect-timeout: it must be above 0.')
    if not 0 < options.parallel <= _MOST_PARALLEL:
        raise exception.InvalidInput(
            f'--parallel: {options.parallel} is not from 1 to '
            f'{_MOST_PARALLEL}.'
        )
    entries = _entries(options)
    bound = [
        choice.bind(
            options, {name: _text(v) for name, v in entry.arguments.items()}
        )[1]
        for entry in entries
    ]
    # Nobody types a password in vain.
    own = _own_login(options)
    made = []
    for entry, what in zip(entries, bound, strict=True):
        target = _target(options, entry, own)
        for key in target.login.keys:
            ssh_connection.private_key(key, target.login.passphrase)
        made.append(checks.Check(entry.name, target, what))
    return made


def _entries(options: argparse.Namespace) -> list[inventory.Entry]:
    entries = [
        inventory.Entry(str(address), address)
        for address in map(ssh_settings.address, options.host)
    ]
    if options.inventory:
        entries += inventory.read(options.inventory)
    if len(entries) > inventory.MOST:
        raise exception.InvalidInput(
            f'These are {len(entries)} machines: more than {inventory.MOST}.'
        )
    jumps = inventory.jumps(options.jump) if options.jump else ()
    entries = [
        entry
        if entry.jumps is not None
        else dataclasses.replace(entry, jumps=jumps)
        for entry in entries
    ]
    inventory.refuse_duplicates(entries)
    return entries


def _text(value: Any) -> Any:
    return getattr(value, 'text', value)


def _own_login(options: argparse.Namespace) -> ssh_settings.Login:
    """What the options say of the login; asks for it."""
    return ssh_settings.Login(
        keys=[_key(options.identity)] if options.identity else (),
        passphrase=_secret(options, 'passphrase', 'Passphrase of the key'),
        password=_secret(options, 'password', 'Password'),
        sudo_password=_secret(options, 'sudo_password', 'Password for sudo'),
        own=not options.identity,
    )


def _target(
    options: argparse.Namespace,
    entry: inventory.Entry,
    own: ssh_settings.Login,
) -> ssh_settings.Target:
    changes: dict[str, Any] = {
        name: _first_line(path)
        for name, path in (
            ('passphrase', entry.passphrase_file),
            ('password', entry.password_file),
            ('sudo_password', entry.sudo_password_file),
        )
        if path
    }
    if entry.identity:
        changes |= {'keys': [_key(entry.identity)], 'own': False}
    known = options.known_hosts or [
        pathlib.Path('~/.ssh/known_hosts').expanduser(),
        pathlib.Path('/etc/ssh/ssh_known_hosts'),
    ]
    return ssh_settings.Target(
        entry.address,
        dataclasses.replace(own, **changes),
        ssh_settings.HostKeys(known, entry.host_key, options.accept_new),
        entry.jumps or (),
        ssh_settings.SshSettings(
            connect_timeout=options.connect_timeout,
            command_timeout=options.command_timeout or 1800.0,
            run_timeout=options.timeout,
        ),
    )


def _secret(options: argparse.Namespace, name: str, prompt: str) -> str | None:
    """A secret, from a prompt or a file: never from the command line."""
    path = getattr(options, f'{name}_file')
    if path:
        return _first_line(path)
    if not getattr(options, f'ask_{name}'):
        return None
    try:
        return getpass.getpass(f'{prompt}: ')
    except EOFError:
        raise exception.InvalidInput(f'{prompt}: none was given.') from None


def _read(path: pathlib.Path, largest: int) -> str:
    try:
        return small_files.read(path, largest).decode()
    except UnicodeDecodeError:
        raise exception.InvalidInput(f'{path} is not text.') from None


def _first_line(path: pathlib.Path) -> str:
    return _read(path, _LARGEST).split('\n')[0].rstrip('\r')


def _key(path: pathlib.Path) -> str:
    return _read(path, _LARGEST_KEY)


def _work(argv: Sequence[str], report: json_report.JsonReport) -> int:
    options, _ = choice.parse(argv, _PROGRAM)
    if options.debug:
        logging.basicConfig(level=logging.DEBUG)
    wanted = _checks(options)
    several = len(wanted) > 1
    mask = validate_report.Mask(wanted)
    monitors: dict[str, console.ConsoleMonitor] = {}

    def monitor(check: checks.Check) -> manifest.Monitor:
        made = validate_report.MaskingMonitor(
            mask,
            verbose=options.verbose,
            prefix=check.name if several else '',
        )
        monitors[check.name] = made
        return made

    documents: list[dict[str, Any]] = []
    report.document['hosts'] = documents

    def ended(outcome: checks.Outcome) -> None:
        notices: list[str] = []
        outcome = mask.outcome(outcome)
        if outcome.name in monitors:
            monitors[outcome.name].close()
            notices = monitors[outcome.name].notices
        documents.append(validate_report.document(outcome, notices))
        report.changed |= documents[-1]['changed']
        good = outcome.result in checks.GOOD and not options.json
        text = control_characters.escaped(
            validate_report.describe(outcome), layout=True
        )
        print(text, file=sys.stdout if good else sys.stderr, flush=True)

    running = checks.Checks(
        ssh.SshRemote, reconcile=options.reconcile, parallel=options.parallel
    )
    try:
        outcomes = running.run(wanted, monitor, ended)
    except exception.Interrupted as error:
        if not options.reconcile:
            raise
        report.changed = True
        raise exception.Interrupted(
            signal=error.signal, state='machines may be reconciled in part'
        ) from None
    finally:
        for each in monitors.values():
            each.close()
    order = {check.name: number for number, check in enumerate(wanted)}
    documents.sort(key=lambda document: order[document['host']])
    report.document['result'] = validate_report.result(outcomes)
    return checks.exit_code(outcomes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: its arguments, those of the process by default.
    :returns: exit code.
    """
    return program.run_reporting(_work, argv)


if __name__ == '__main__':
    sys.exit(main())
