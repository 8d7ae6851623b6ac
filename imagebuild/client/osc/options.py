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
"""The options that describe an image: one for each field of a description."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from osc_lib.cli import parseractions

DISK_FORMATS = ('qcow2', 'raw', 'vmdk', 'vhd', 'vdi')
VISIBILITIES = ('public', 'private', 'shared', 'community')
#: Fields of an image that is there which can change.
CHANGEABLE = (
    'name', 'visibility', 'protected', 'tags', 'members', 'properties',
    'min_disk', 'min_ram',
)  # fmt: skip
#: Option -> the field that it empties.
EMPTIED = {
    '--no-tag': 'tags',
    '--no-member': 'members',
    '--no-property': 'properties',
}


@dataclasses.dataclass(frozen=True)
class Secret:
    """A value that is not shown, wherever the options are printed."""

    text: str = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        return '***'


class ArgumentAction(argparse.Action):
    """Collects NAME=VALUE; values are kept as :class:`Secret`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name, equals, value = str(values).partition('=')
        if not equals or not name:
            # Without what was written: it may be the value.
            raise argparse.ArgumentError(self, 'NAME=VALUE is expected')
        found = dict(getattr(namespace, self.dest) or {})
        found[name] = Secret(value)
        setattr(namespace, self.dest, found)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the name and all options of a description."""
    parser.add_argument(
        'name',
        metavar='<name>',
        nargs='?',
        help='Name of the image (may be left out if --from has it)',
    )
    _add_reuse(add_description(parser))


def add_description(
    parser: argparse.ArgumentParser,
) -> argparse._ArgumentGroup:
    """Add the options of a description without its name.

    :returns: the group of the options about how it is built.
    """
    parser.add_argument(
        '--from',
        dest='from_file',
        metavar='<file>',
        type=pathlib.Path,
        help='YAML or JSON file with a whole description. Other options win '
        'over it, or add to its lists',
    )
    _add_content(parser)
    _add_recipe(parser)
    _add_image(parser)
    return _add_building(parser)


def _add_content(parser: argparse.ArgumentParser) -> None:
    base = parser.add_argument_group('what it is made from')
    base.add_argument(
        '--os',
        metavar='<os>',
        help='Operating system; see "openstack image os list"',
    )
    base.add_argument(
        '--base-image',
        metavar='<image>',
        help='Glance image (name or ID), in place of what --os gives',
    )
    base.add_argument(
        '--base-channel',
        metavar=('<name>', '<channel>'),
        nargs=2,
        help='Current image of a channel, in place of what --os gives; see '
        '"openstack image channel list"',
    )
    _add_fields(parser)


def add_content(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is in a system, however it was made."""
    _add_fields(parser)
    _add_recipe(parser)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    content = parser.add_argument_group('what is put in')
    _add_list(
        content,
        '--package',
        '<name>[=<version>]',
        'Package of the distribution',
    )
    _add_list(
        content,
        '--pip-package',
        '<requirement>',
        'Python package, as pip names it',
    )
    _add_list(
        content,
        '--file',
        '<path>=<local-file>[,mode=<mode>,owner=<user>,group=<group>]',
        'File of the image and the local file that holds its content',
    )


def _add_list(
    group: argparse._ActionsContainer, option: str, metavar: str, what: str
) -> None:
    """Add an option that gives one item of a list each time."""
    group.add_argument(
        option,
        dest=f'{option.strip("-").replace("-", "_")}s',
        metavar=metavar,
        action='append',
        help=f'{what} (repeat for several)',
    )


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('recipe or manifest')
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        '--recipe',
        metavar='<name>',
        help='Recipe of the service; see "openstack image recipe list"',
    )
    which.add_argument(
        '--manifest',
        metavar='<file>',
        type=pathlib.Path,
        help='Local manifest. Scripts and files that it names are read from '
        'its directory and sent with it',
    )
    group.add_argument(
        '--recipe-version', metavar='<version>', help='Version of the recipe'
    )
    group.add_argument(
        '--argument',
        dest='arguments',
        metavar='<name>=<value>',
        action=ArgumentAction,
        help='Argument of the recipe or manifest (repeat for several). '
        'Other users of this machine can see command lines: for passwords '
        'use --arguments-file',
    )
    group.add_argument(
        '--arguments-file',
        metavar='<file>',
        type=pathlib.Path,
        help='YAML or JSON file that maps names of arguments to values',
    )


def add_pages(parser: argparse.ArgumentParser) -> None:
    """Add ``--limit`` and ``--marker``.

    As osc_lib.cli.pagination does, which the osc-lib of 2025.1 has not.
    """
    parser.add_argument(
        '--limit',
        metavar='<limit>',
        type=int,
        action=parseractions.NonNegativeAction,
        help='The maximum number of entries to return; the service has one '
        'of its own for what it answers at once',
    )
    parser.add_argument(
        '--marker',
        metavar='<marker>',
        help='The last entry of the page before',
    )


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add the options of an image's metadata that can change later."""
    parser.add_argument('--name', metavar='<name>', help='New name')
    group = parser.add_argument_group('the image in Glance')
    _add_metadata(group)
    for option, what in EMPTIED.items():
        group.add_argument(
            option,
            action='store_true',
            help=f'Remove all {what}; with "{option.replace("no-", "")}" '
            'those that it names take their place, as they do without this',
        )


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """The fields that the options of :func:`add_changes` change."""
    given = {
        name: value
        for name in CHANGEABLE
        if (value := getattr(args, name)) is not None
    }
    for option, what in EMPTIED.items():
        if getattr(args, option.strip('-').replace('-', '_')):
            given.setdefault(what, {} if what == 'properties' else [])
    return given


def _add_image(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('the image in Glance')
    group.add_argument(
        '--disk-format',
        metavar='<format>',
        choices=DISK_FORMATS,
        help=f'{", ".join(DISK_FORMATS)}; default: that of the cloud, '
        'qcow2 where it has none',
    )
    group.add_argument(
        '--container-format',
        metavar='<format>',
        help='Default: that of the cloud, bare where it has none',
    )
    _add_list(group, '--destination', '<cloud>', 'Cloud to upload to')
    _add_metadata(group)


def _add_metadata(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--min-disk', metavar='<gib>', type=int, help='Least disk, in GiB'
    )
    group.add_argument(
        '--min-ram', metavar='<mib>', type=int, help='Least memory, in MiB'
    )
    who = group.add_mutually_exclusive_group()
    who.add_argument(
        '--visibility',
        metavar='<visibility>',
        choices=VISIBILITIES,
        help=f'Who sees it: {", ".join(VISIBILITIES)}',
    )
    for visibility in VISIBILITIES:
        who.add_argument(
            f'--{visibility}',
            dest='visibility',
            action='store_const',
            const=visibility,
            help=f'The same as --visibility {visibility}',
        )
    protected = group.add_mutually_exclusive_group()
    protected.add_argument(
        '--protected',
        action='store_true',
        default=None,
        help='Keep the image from being deleted',
    )
    protected.add_argument(
        '--unprotected',
        dest='protected',
        action='store_false',
        default=None,
        help='Let it be deleted (the default)',
    )
    _add_list(group, '--tag', '<tag>', 'Tag')
    _add_list(group, '--member', '<project-id>', 'Project that may use it')
    group.add_argument(
        '--property',
        dest='properties',
        metavar='<key>=<value>',
        action=parseractions.KeyValueAction,
        help='Property (repeat for several)',
    )


def _add_building(
    parser: argparse.ArgumentParser,
) -> argparse._ArgumentGroup:
    group = parser.add_argument_group('how it is built')
    group.add_argument(
        '--driver', metavar='<driver>', help='Default: that of the --os'
    )
    group.add_argument(
        '--element',
        dest='elements',
        metavar='<element>',
        action='append',
        help='Element of diskimage-builder to make the disk of, with a '
        'driver that does (repeat for several)',
    )
    group.add_argument(
        '--driver-option',
        dest='driver_options',
        metavar='<key>=<value>',
        action=parseractions.KeyValueAction,
        help='Option of the driver; the value is read as YAML (repeat for '
        'several)',
    )
    group.add_argument(
        '--boot-test',
        action='store_true',
        default=None,
        help='Boot the image once before it is uploaded; one that does not '
        'boot is no image',
    )
    group.add_argument(
        '--boot-test-option',
        dest='boot_test_options',
        metavar='<key>=<value>',
        action=parseractions.KeyValueAction,
        help='What is expected of it, and of what machine: console, '
        'cloud_init, systemd, ports, commands, firmware, memory, cpus, '
        'disk_size or timeout; the value is read as YAML, such as '
        'ports=[22,80] (repeat for several; implies --boot-test). firmware, '
        'memory, cpus and disk_size are not for images that a cloud makes',
    )
    group.add_argument(
        '--timeout',
        metavar='<seconds>',
        type=int,
        help='Time limit of the build',
    )
    return group


def _add_reuse(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--reuse',
        choices=('always', 'never'),
        help='Whether an image of the same content that the project has '
        'already will do; default: always',
    )
    group.add_argument(
        '--max-age',
        metavar='<seconds>',
        type=int,
        help='An older image is not reused',
    )
