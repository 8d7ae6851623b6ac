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
"""``imagebuild-pack --base``: a new file, packed over a base image.

The base image is fetched and looked at where those of builds are
(:mod:`imagebuild.drivers.base_files`), copied into a directory beside the new
file, packed there, and renamed when all of it was done.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from imagebuild import exception
from imagebuild.cmd import base_choice
from imagebuild.cmd import console
from imagebuild.cmd import new_file
from imagebuild.cmd import packing
from imagebuild.common import extras
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import settings

_RAW_SUFFIXES = ('.raw', '.img')
_ONLY_IMAGE = ('test_only', 'plan', 'backing_file')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a base image."""
    group = parser.add_argument_group('a new image')
    base_choice.add_options(group)
    add = group.add_argument
    add(
        '--output',
        metavar='FILE',
        type=pathlib.Path,
        help='the file to make of it: raw when its name ends in .raw or '
        '.img, else qcow2',
    )
    add('--force', action='store_true', help='replace a file that is there')


@dataclasses.dataclass(frozen=True)
class BaseSpec:
    """What is copied, and where to.

    :ivar base: the base image.
    :ivar output: the file to be made.
    :ivar force: replace it if it is there.
    :ivar disks: section of the configuration, with ``cache_dir``.
    """

    base: base_choice.BaseChoice
    output: pathlib.Path
    force: bool
    disks: Mapping[str, object]


def spec(options: argparse.Namespace, conf: cfg.ConfigOpts) -> BaseSpec | None:
    """Read the command line.

    :returns: None if there is no base image.
    :raises InvalidInput: something is wrong with it; nothing was touched.
    """
    if options.base is None:
        if (
            options.output is not None
            or options.force
            or options.no_signature
            or options.os_cloud is not None
            or base_choice.given_checks(options)
        ):
            base_choice.refuse(
                '--output, --force, --os-cloud, --no-signature and --base-... '
                'belong to --base'
            )
        return None
    if options.image is not None:
        base_choice.refuse('--image and --base exclude each other')
    for name in _ONLY_IMAGE:
        if getattr(options, name):
            option = name.replace('_', '-')
            base_choice.refuse(
                f'--{option} is for an image that is there: use --image'
            )
    if options.output is None:
        base_choice.refuse('--output is required with --base')
    chosen = base_choice.choose(options, conf)
    _refuse_same(chosen, options.output)
    new_file.check(options.output, force=options.force)
    disks = dict(conf.disks)
    disks['cache_dir'] = disks.get('cache_dir') or _cache_directory()
    return BaseSpec(chosen, options.output, options.force, disks)


def _refuse_same(chosen: base_choice.BaseChoice, output: pathlib.Path) -> None:
    """A base image is not changed, and so not replaced."""
    with contextlib.suppress(OSError):
        if os.path.samefile(chosen.image.get('path', ''), output):
            base_choice.refuse(
                '--output is the base image itself; use --image to pack a '
                'file in place'
            )


def _cache_directory() -> str:
    """Of the user: nobody else may look into it.

    :raises InvalidInput: they have no home directory.
    """
    home = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(home):
        # As the specification wants it.
        home = os.path.join(os.path.expanduser('~'), '.cache')
    if not os.path.isabs(home):
        raise exception.InvalidInput(
            'There is no home directory that downloads could be kept in; set '
            'XDG_CACHE_HOME, or [disks] cache_dir in a configuration file.'
        )
    return os.path.join(home, 'imagebuild', 'base-images')


def pack(
    wanted: BaseSpec,
    pack_spec: packing.PackSpec,
    monitor: console.ConsoleMonitor,
    document: dict[str, Any],
) -> packing.Outcome:
    """Make the file: all of it, or nothing.

    :param pack_spec: what is done to it; its ``image`` is not looked at.
    :param document: a report, which is given ``base``.
    :raises InvalidInput: before anything is fetched.
    :raises StepError: there is no new file.
    :raises EnvironmentFault: there is no new file.
    """
    for notice in wanted.base.notices:
        monitor.notice(notice)
    made: os.stat_result | None = None
    workspaces.sweep(wanted.output)
    try:
        with workspaces.Workspace(wanted.output) as workspace:
            new = workspace.path / wanted.output.name
            with _opened(wanted, monitor, document) as info:
                _copy(info, new, wanted, pack_spec, monitor)
            outcome = packing.pack(
                dataclasses.replace(pack_spec, image=new, made=wanted.output),
                monitor,
            )
            made = new.stat()
            new_file.put(new, wanted.output, force=wanted.force)
    except exception.Interrupted:
        if made is None or not _is_there(wanted.output, made):
            raise
        # It came after that: the new file is complete.
    return dataclasses.replace(outcome, result='packed')


def _copy(
    info: image_file.ImageInfo,
    new: pathlib.Path,
    wanted: BaseSpec,
    pack_spec: packing.PackSpec,
    monitor: console.ConsoleMonitor,
) -> None:
    monitor.doing(f'Copying the base image to {wanted.output.name}')
    needed = convert.most_bytes(info) + pack_spec.space_reserve
    space.check(wanted.output.parent, needed)
    raw = wanted.output.suffix.lower() in _RAW_SUFFIXES
    convert.convert(info, new, 'raw' if raw else 'qcow2')


def _is_there(output: pathlib.Path, made: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(output.stat(), made)
    return False


@contextlib.contextmanager
def _opened(
    wanted: BaseSpec,
    monitor: console.ConsoleMonitor,
    document: dict[str, Any],
) -> Iterator[image_file.ImageInfo]:
    """The base image as a file, fetched if it is in the network.

    What a list of checksums says is asked for again if the image has changed
    since: "latest" is replaced at any time.
    """
    with contextlib.ExitStack() as stack:
        found = wanted.base.resolved(wanted.disks, afresh=False)
        try:
            info = stack.enter_context(_files(found, wanted, monitor))
        except exception.ChecksumMismatch:
            again = wanted.base.resolved(wanted.disks, afresh=True)
            if again == found:
                raise
            found = again
            info = stack.enter_context(_files(found, wanted, monitor))
        document['base'] = _reported(found)
        if wanted.base.catalogue:
            document['base'] |= {
                'name': wanted.base.name,
                'catalogue': wanted.base.catalogue,
            }
        yield info


def _reported(image: base.BaseImage) -> dict[str, str]:
    from imagebuild.drivers import base_files

    return {
        'location': base_files.location(image),
        'checksum': image.checksum,
    }


@contextlib.contextmanager
def _files(
    image: base.BaseImage,
    wanted: BaseSpec,
    monitor: console.ConsoleMonitor,
) -> Iterator[image_file.ImageInfo]:
    with extras.needed('--base'):
        from imagebuild.drivers import base_files

    what = f'Fetching {base_files.shown(image)}'
    monitor.doing(what)
    told = _Fetching(monitor, what)
    with base_files.opened(image, _settings(wanted), told) as info:
        yield info


class _Fetching(base.DiskMonitor):
    """Prints notices, and shows on a terminal how much is there.

    :param what: what is going on, as it was printed.
    """

    def __init__(self, monitor: console.ConsoleMonitor, what: str) -> None:
        self._monitor = monitor
        self._what = what

    def progress(self, done: int, total: int, what: str) -> None:
        self._monitor.moved(self._what, done, total)

    def notice(self, message: str) -> None:
        self._monitor.notice(message)


def _settings(wanted: BaseSpec) -> settings.Settings:
    return settings.Settings.from_config(
        {
            'disks': wanted.disks,
            'glance': {'retry_timeout': base_choice.RETRY_TIMEOUT},
            **wanted.base.config,
        }
    )
