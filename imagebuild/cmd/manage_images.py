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
"""imagebuild-manage repository: the images on this host's disk."""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import sys
from collections.abc import Sequence

from oslo_config import cfg

from imagebuild import db
from imagebuild import exception
from imagebuild import repository as kit
from imagebuild.cmd import program
from imagebuild.common import space
from imagebuild.common.counts import counted
from imagebuild.conf import database
from imagebuild.conf import disks
from imagebuild.conf import repository
from imagebuild.db import engine

_MIB = 1024 * 1024


def add_commands(
    commands: argparse._SubParsersAction[program.Parser],
    common: program.Parser,
) -> None:
    """Add the commands of the area."""
    listed = commands.add_parser(
        'list', parents=[common], help='print the images that are kept'
    )
    listed.set_defaults(work=_list)
    verify = commands.add_parser(
        'verify',
        parents=[common],
        help='read images and compare their checksums',
    )
    verify.set_defaults(work=_verify)
    verify.add_argument(
        'images', nargs='*', metavar='ID', help='only these (default: all)'
    )
    verify.add_argument(
        '--rate',
        type=_rate,
        default=0,
        metavar='MIB',
        help='read no more in a second, so that builds get their part '
        '(default: no limit)',
    )
    remove = commands.add_parser(
        'remove',
        parents=[common],
        help='remove images that nobody uses and no upload is to come of',
    )
    remove.set_defaults(work=_remove)
    remove.add_argument('images', nargs='+', metavar='ID')


def _rate(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not an integer from 1 to 1000000'
        )
    return int(text)


def _open(conf: cfg.ConfigOpts) -> kit.Repository:
    settings = kit.Settings.from_config(
        {'repository': repository.values(conf), 'disks': disks.values(conf)}
    )
    # To open it would make one, of root's where the conductor is not root.
    if not (settings.directory / 'id').exists():
        raise exception.InvalidInput(
            f'There is no repository in {settings.directory}: no conductor '
            'has made one.'
        )
    return settings.open()


def _chosen(
    found: kit.Repository, ids: Sequence[str]
) -> Sequence[kit.Artifact]:
    """The artifacts with these ids.

    :raises NotFound: one is not there.
    """
    chosen = []
    for id in ids:
        artifact = found.get(id)
        if artifact is None:
            raise exception.NotFound(what='image file', id=id)
        chosen.append(artifact)
    return chosen


def _list(conf: cfg.ConfigOpts, _arguments: argparse.Namespace) -> None:
    found = _open(conf)
    print(f'Repository {found.id} in {found.directory}')
    artifacts = found.list_artifacts()
    for each in artifacts:
        print(_line(found, each))
    total = space.human(sum(each.size for each in artifacts))
    print(f'{counted(len(artifacts), "image file")} of {total}')
    for path in found.unreadable():
        print(f'{path} is no image file; the conductor removes it.')


def _line(found: kit.Repository, artifact: kit.Artifact) -> str:
    facts = artifact.facts
    words = [
        artifact.id,
        f'build {facts.build_id}',
        f'{facts.disk_format:5}',
        f'{space.human(artifact.size):>10}',
        f'used {_used(found.directory_of(artifact.id), artifact)}',
        artifact.status,
    ]
    line = '  '.join(words)
    return f'{line}: {artifact.reason}' if artifact.reason else line


def _used(directory: pathlib.Path, artifact: kit.Artifact) -> str:
    try:
        used = os.stat(directory / 'lock').st_mtime
    except OSError:
        used = artifact.created_at
    found = datetime.datetime.fromtimestamp(used, datetime.UTC)
    return f'{found:%Y-%m-%dT%H:%M:%SZ}'


def _verify(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    found = _open(conf)
    ids = [each.id for each in _chosen(found, arguments.images)]
    inventory = kit.verify(
        found, ids or None, bytes_per_second=arguments.rate * _MIB
    )
    for each in inventory.artifacts:
        print(_line(found, each), flush=True)
    bad = len(inventory.artifacts) - len(inventory.of(kit.PRESENT))
    if bad:
        raise exception.EnvironmentFault(
            f'{bad} of {counted(len(inventory.artifacts), "image file")} lost '
            'or corrupt.'
        )


def _remove(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    found = _open(conf)
    chosen = _chosen(found, arguments.images)
    told = db.Database(
        database.connection(conf),
        pool=engine.PoolSettings(**database.pool(conf)),
    )
    left = 0
    for each in chosen:
        refused: list[str] = []

        def permit(id: str = each.id, refused: list[str] = refused) -> bool:
            if told.retire_artifact(id):
                return True
            refused.append('its build runs, or uploads of it are to come')
            return False

        if not found.remove(each.id, permit):
            left += 1
            reason = (refused or ['it is in use'])[0]
            print(f'{each.id} is not removed: {reason}.', file=sys.stderr)
    told.close()
    if left:
        raise exception.EnvironmentFault(
            f'{left} of {counted(len(chosen), "image file")} not removed.'
        )
