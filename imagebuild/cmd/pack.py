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
"""imagebuild-pack: pack or check a disk image file in place."""

from __future__ import annotations

import argparse
import logging
import pathlib
import sys
from collections.abc import Sequence

from oslo_config import cfg

import imagebuild.conf
from imagebuild import appliance
from imagebuild import exception
from imagebuild import manifest
from imagebuild.cmd import base_choice
from imagebuild.cmd import choice
from imagebuild.cmd import configuration
from imagebuild.cmd import console
from imagebuild.cmd import copied_in
from imagebuild.cmd import json_report
from imagebuild.cmd import pack_base
from imagebuild.cmd import pack_layers
from imagebuild.cmd import pack_sbom
from imagebuild.cmd import packing
from imagebuild.cmd import program
from imagebuild.common import control_characters
from imagebuild.drivers import isolations
from imagebuild.drivers import settings
from imagebuild.remotes import guest_settings

#: What libguestfs takes: MiB, and a number.
_MOST_MEMORY = 1024**2
_MOST_CPUS = 255
_EPILOG = """
Exit codes: 0 done, or the image conforms; 1 it does not, or a step failed;
2 bad usage, manifest or arguments, found before anything is touched; 3 the
environment failed. In every case but 0 the image is as it was.
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    path = pathlib.Path
    add = parser.add_argument
    add('--image', metavar='PATH', type=path, help='the disk image')
    add(
        '--root-filesystem',
        metavar='DEVICE',
        help='which operating system, if the image holds several',
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        '--test-only',
        action='store_true',
        help='change nothing; fail if something does not hold',
    )
    mode.add_argument(
        '--plan',
        action='store_true',
        help='change nothing; print what would be checked and run',
    )
    choice.add_options(parser)
    add(
        '--backing-file',
        metavar='PATH',
        type=path,
        action='append',
        default=[],
        help='a file that the image, being an overlay, may refer to',
    )
    pack_base.add_options(parser)
    _add_run_options(parser)
    _add_guest_options(parser)
    choice.add_output(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    path = pathlib.Path
    add('--keep-cache', action='store_true', help='keep package caches')
    add(
        '--generalize',
        action='store_true',
        help='remove what must differ between machines: machine-id, SSH '
        'host keys, logs',
    )
    add(
        '--sparsify',
        action='store_true',
        help='make the file as small as it can be',
    )
    add(
        '--copy-in',
        metavar='DIRECTORY:PATH',
        action='append',
        default=[],
        help='a directory of this host that is at PATH in the image while '
        'steps run, such as one of packages, and is removed at the end',
    )
    add(
        '--sbom',
        metavar='FILE',
        type=path,
        help='write down what is in the image: a document of SPDX 2.3 (JSON)',
    )
    add(
        '--cache',
        metavar='DIR',
        type=path,
        help='keep what each step leaves in this directory, and begin where '
        'an earlier pack of the same image and steps has been',
    )


def _add_guest_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--isolation',
        choices=isolations.SETTINGS,
        help='in what the image is opened (default: auto: the sandbox where '
        'this host and the image allow it, else the appliance)',
    )
    add('--no-network', action='store_true', help='no network in the guest')
    add(
        '--allow-host-network',
        action='store_true',
        help="let the guest reach this host's own addresses",
    )
    add(
        '--accelerator',
        choices=('auto', 'kvm', 'tcg'),
        help='what the appliance runs on (default: probed once per boot)',
    )
    add('--memory', metavar='MIB', type=int, help='memory of the appliance')
    add('--cpus', metavar='N', type=int, help='CPUs of the appliance')
    choice.add_limits(parser)


def _configuration(files: Sequence[str] | None) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    # Whoever runs this vouches for the image.
    conf.set_default('isolation', 'auto', 'guestfs')
    configuration.read(
        conf,
        [],
        'imagebuild-pack',
        groups=('DEFAULT', 'disks', 'glance', 'guestfs', 'layers'),
        default_config_files=list(files) if files else None,
    )
    return conf


def _missing(options: argparse.Namespace, conf: cfg.ConfigOpts) -> str:
    base_choice.refuse_unknown(options, conf)
    return '' if options.image or options.base else '--image'


_PROGRAM = choice.Program(
    'imagebuild-pack',
    'Packs or checks a disk image in place.',
    _EPILOG,
    _add_options,
    _configuration,
    _missing,
)


def _settings(
    options: argparse.Namespace, conf: cfg.ConfigOpts
) -> appliance.ApplianceSettings:
    for name, least, most in (
        ('memory', 256, _MOST_MEMORY),
        ('cpus', 1, _MOST_CPUS),
    ):
        given = getattr(options, name)
        if given is not None and not least <= given <= most:
            raise exception.InvalidInput(
                f'--{name}: {given} is not from {least} to {most}.'
            )
    section = dict(conf.guestfs)
    for name in ('memory', 'cpus', 'accelerator'):
        section[name] = getattr(options, name) or section[name]
    section['network'] = section['network'] and not options.no_network
    section['allow_host_network'] |= options.allow_host_network
    return settings.appliance_settings(section)


def _spec(
    options: argparse.Namespace,
    conf: cfg.ConfigOpts,
    monitor: console.ConsoleMonitor,
) -> packing.PackSpec:
    """Everything that is wrong with the request is found here."""
    chosen, what = choice.bind(options)
    choice.refuse_limits(options)
    if chosen.elements and not options.test_only:
        raise exception.InvalidInput(
            'The disk of this manifest is made of elements of '
            f'diskimage-builder ({", ".join(chosen.elements)}), and '
            'imagebuild-pack works on a disk that is there. Build it with '
            'the driver diskimage_builder, or check an image of it with '
            '--test-only.'
        )
    copied = copied_in.parse(options.copy_in)
    if copied and options.cache:
        raise exception.InvalidInput(
            '--copy-in and --cache exclude each other: layers would keep '
            'what was copied.'
        )
    return packing.PackSpec(
        image=options.image,
        what=(
            copied_in.WithFiles(what, copied, monitor.doing)
            if copied
            else what
        ),
        mode=(
            'test' if options.test_only else 'plan' if options.plan else 'pack'
        ),
        min_disk=chosen.min_disk,
        backing_files=options.backing_file,
        settings=guest_settings.GuestSettings(
            appliance=_settings(options, conf),
            root_filesystem=options.root_filesystem,
            command_timeout=(
                options.command_timeout or conf.guestfs.command_timeout
            ),
            run_timeout=options.timeout or conf.guestfs.run_timeout,
        ),
        isolation=options.isolation or conf.guestfs.isolation,
        space_reserve=conf.disks.space_reserve * 1024**2,
        keep_cache=options.keep_cache,
        generalize=options.generalize,
        sparsify=options.sparsify,
        cache=_cache(options, conf),
        sbom=_sbom(options),
    )


def _sbom(options: argparse.Namespace) -> pathlib.Path | None:
    if options.sbom is None:
        return None
    if options.plan:
        raise exception.InvalidInput(
            '--sbom and --plan exclude each other: a plan makes no image.'
        )
    pack_sbom.check(options.sbom)
    path: pathlib.Path = options.sbom
    return path


def _cache(
    options: argparse.Namespace, conf: cfg.ConfigOpts
) -> pack_layers.CacheSpec | None:
    if options.cache is None:
        return None
    network = conf.guestfs.network and not options.no_network
    return pack_layers.spec(
        options.cache,
        {'disks': dict(conf.disks), 'layers': dict(conf.layers)},
        {'root': options.root_filesystem, 'network': network},
    )


def _work(argv: Sequence[str], report: json_report.JsonReport) -> int:
    monitor = console.ConsoleMonitor(verbose='--verbose' in argv)
    report.document['notices'] = monitor.notices
    try:
        options, conf = choice.parse(argv, _PROGRAM)
        base = pack_base.spec(options, conf)
        options.image = base.output if base else options.image
        report.document['image'] = str(options.image)
        if options.debug:
            logging.basicConfig(level=logging.DEBUG)
        else:
            # It warns, and then raises what is reported.
            logging.getLogger('keystoneauth').setLevel(logging.ERROR)
        wanted = _spec(options, conf, monitor)
        outcome = (
            pack_base.pack(base, wanted, monitor, report.document)
            if base
            else packing.pack(wanted, monitor)
        )
    finally:
        monitor.close()
    _show(options, outcome, report)
    return 0


def _show(
    options: argparse.Namespace,
    outcome: packing.Outcome,
    report: json_report.JsonReport,
) -> None:
    if outcome.report is not None:
        report.document |= outcome.report.to_dict()
    report.document['result'] = outcome.result
    report.changed = outcome.result == 'packed'
    if outcome.result == 'planned':
        report.document['plan'] = [step.to_dict() for step in outcome.planned]
        if not options.json:
            _print_plan(outcome.planned)
        return
    message = {
        'packed': f'{options.image} is packed.',
        'unchanged': f'{options.image} was already as described: nothing '
        'was installed, the file is unchanged.',
        'conforms': f'{options.image} conforms.',
    }[outcome.result]
    print(message, file=sys.stderr if options.json else sys.stdout)


def _print_plan(planned: Sequence[manifest.PlannedStep]) -> None:
    for step in planned:
        description = control_characters.escaped(step.description)
        print(f'{step.path}: {description} [{step.state}]')
        if step.message:
            message = control_characters.escaped(step.message)
            print(f'    unless an earlier step fixes it: {message}')
        for command in step.commands:
            print(f'    {command}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: its arguments, those of the process by default.
    :returns: exit code.
    """
    return program.run_reporting(_work, argv)


if __name__ == '__main__':
    sys.exit(main())
