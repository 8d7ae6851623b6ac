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
"""imagebuild-manage: the service's database, quotas and queue."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence

from oslo_config import cfg

import imagebuild.conf
from imagebuild import db
from imagebuild import exception
from imagebuild.cmd import configuration
from imagebuild.cmd import manage_images
from imagebuild.cmd import program
from imagebuild.common.counts import counted
from imagebuild.conf import database
from imagebuild.conf import quota
from imagebuild.db import engine
from imagebuild.db import migration
from imagebuild.db import transaction


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program.Parser(
        prog='imagebuild-manage',
        description='Looks after what the image build service keeps.',
    )
    program.add_version(parser)
    # May stand before the command and after it.
    common = program.Parser(add_help=False)
    # SUPPRESS: a default of the command would undo what stood before it.
    for each, default in ((parser, None), (common, argparse.SUPPRESS)):
        _add_common(each, default)
    areas = parser.add_subparsers(metavar='AREA', required=True)
    area = areas.add_parser('db', help='the tables of the service')
    commands = area.add_subparsers(metavar='COMMAND', required=True)
    _add_commands(commands, common)
    area = areas.add_parser('quota', help='limits of a project of its own')
    _add_quota(area.add_subparsers(metavar='COMMAND', required=True), common)
    area = areas.add_parser('build', help='builds in the queue')
    _add_build(area.add_subparsers(metavar='COMMAND', required=True), common)
    area = areas.add_parser(
        'repository', help="finished images on this host's disk"
    )
    manage_images.add_commands(
        area.add_subparsers(metavar='COMMAND', required=True), common
    )
    return parser


def _add_common(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        '--config-file',
        action='append',
        metavar='FILE',
        default=default,
        help='read this configuration file instead of the usual ones; may '
        'be given several times',
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        default=default or False,
        help='print a traceback when something fails',
    )


def _add_commands(
    commands: argparse._SubParsersAction[program.Parser],
    common: program.Parser,
) -> None:
    sync = commands.add_parser(
        'sync',
        parents=[common],
        help='make the tables, or bring them to the version of this release',
    )
    sync.add_argument(
        'version',
        nargs='?',
        default='head',
        help='stop at this version (default: the newest)',
    )
    sync.set_defaults(work=_sync)
    version = commands.add_parser(
        'version',
        parents=[common],
        help='print the version of the tables',
    )
    version.set_defaults(work=_version)
    purge = commands.add_parser(
        'purge',
        parents=[common],
        help='remove for good what was deleted, or failed, long ago',
    )
    purge.add_argument(
        '--older-than',
        type=_days,
        required=True,
        metavar='DAYS',
        help='how long ago it must have been',
    )
    purge.set_defaults(work=_purge)


def _add_quota(
    commands: argparse._SubParsersAction[program.Parser],
    common: program.Parser,
) -> None:
    show = commands.add_parser(
        'show', parents=[common], help="print a project's limits"
    )
    show.set_defaults(work=_quota_show)
    change = commands.add_parser(
        'set', parents=[common], help='give a project a limit of its own'
    )
    change.set_defaults(work=_quota_set)
    unset = commands.add_parser(
        'unset',
        parents=[common],
        help='let the limit of the configuration hold again',
    )
    unset.set_defaults(work=_quota_set, limit=None)
    for command in (show, change, unset):
        command.add_argument('project', help='id of the project')
    for command in (change, unset):
        command.add_argument(
            'resource', choices=[each.name for each in quota.OPTS]
        )
    change.add_argument(
        'limit', type=int, help='builds, or bytes; -1 for no limit'
    )


def _add_build(
    commands: argparse._SubParsersAction[program.Parser],
    common: program.Parser,
) -> None:
    prioritize = commands.add_parser(
        'prioritize',
        parents=[common],
        help='have a build begin before others, or after them',
    )
    prioritize.set_defaults(work=_build_prioritize)
    prioritize.add_argument('build', help='id of the build')
    prioritize.add_argument(
        'priority',
        type=_priority,
        help='-1000 to 1000: the higher, the sooner; others have 0',
    )


def _priority(text: str) -> int:
    return _integer(text, -1000, 1000)


def _days(text: str) -> int:
    return _integer(text, 0, 36500)


def _integer(text: str, least: int, most: int) -> int:
    """Read a number of the command line."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not an integer from {least} to {most}'
        )
    return number


# -- the commands -----------------------------------------------------------


def _sync(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    url = database.connection(conf)
    migration.upgrade(url, arguments.version)
    print(f'The tables are at version {migration.version(url)}.')


def _version(conf: cfg.ConfigOpts, _arguments: argparse.Namespace) -> None:
    found = migration.version(database.connection(conf))
    print(found or 'none')


def _database(conf: cfg.ConfigOpts) -> db.Database:
    return db.Database(
        database.connection(conf),
        pool=engine.PoolSettings(**database.pool(conf)),
    )


def _quota_show(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    store = _database(conf)
    own = store.get_quotas(arguments.project)
    for resource, limit in sorted((quota.limits(conf) | own).items()):
        origin = 'of its own' if resource in own else 'of the configuration'
        print(f'{resource:13}  {limit} ({origin})')
    store.close()


def _quota_set(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    store = _database(conf)
    store.set_quota(arguments.project, arguments.resource, arguments.limit)
    store.close()


def _build_prioritize(
    conf: cfg.ConfigOpts, arguments: argparse.Namespace
) -> None:
    store = _database(conf)
    if not store.update_build(
        arguments.build,
        {'priority': arguments.priority},
        expected_status='queued',
    ):
        build = store.get_build(arguments.build)
        raise exception.InvalidInput(
            f'Build {build.id} is not in the queue; it is {build.status}.'
        )
    store.close()


def _purge(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    store = _database(conf)
    age = datetime.timedelta(days=arguments.older_than)
    removed = store.purge(transaction.utcnow() - age)
    store.close()
    print(f'Removed {counted(removed, "build")}.')


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line asks for.

    :raises ImageBuildError: it cannot be done.
    """
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    configuration.read(
        conf,
        [],
        'imagebuild-manage',
        groups=('DEFAULT', 'database', 'disks', 'quota', 'repository'),
        default_config_files=arguments.config_file,
    )
    arguments.work(conf, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """The program's entry point.

    :returns: the exit code.
    """
    return program.run_parsed(make_parser(), run, argv)


if __name__ == '__main__':
    sys.exit(main())
