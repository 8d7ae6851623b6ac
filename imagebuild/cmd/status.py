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
"""imagebuild-status: whether this host is ready for the new release."""

from __future__ import annotations

import functools
import pathlib
import sys
import traceback
from collections.abc import Callable
from collections.abc import Sequence

from oslo_config import cfg
from oslo_upgradecheck import common_checks
from oslo_upgradecheck import upgradecheck

import imagebuild.conf
from imagebuild import catalogue
from imagebuild import exception
from imagebuild import extension_options
from imagebuild import layers
from imagebuild import sealing
from imagebuild.cmd import configuration
from imagebuild.cmd import program
from imagebuild.common import release
from imagebuild.common import space
from imagebuild.conductor import capability
from imagebuild.conductor import client_cache
from imagebuild.conf import database
from imagebuild.conf import layers as layers_section
from imagebuild.db import migration
from imagebuild.drivers import overlay_disk
from imagebuild.drivers import registry

PROGRAM = 'imagebuild-status'
_CODE = upgradecheck.Code


_Check = Callable[['UpgradeChecks'], upgradecheck.Result]


def _reported(check: _Check) -> _Check:
    """Have a check that fails itself be one finding, and the others go on.

    oslo.upgradecheck would print a traceback, and no result at all.
    """

    @functools.wraps(check)
    def run(checks: UpgradeChecks) -> upgradecheck.Result:
        try:
            return check(checks)
        except Exception as error:
            if checks.conf.debug:
                traceback.print_exc()
            return upgradecheck.Result(
                _CODE.FAILURE,
                f'This could not be looked at: {type(error).__name__}: '
                f'{error}; "--debug" prints where.',
            )

    return run


class UpgradeChecks(upgradecheck.UpgradeCommands):
    """What ``imagebuild-status upgrade check`` looks at; changes nothing.

    :param conf: registered; its files are read before :meth:`check` runs.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf

    def check_database(self) -> upgradecheck.Result:
        """The tables are those of this release."""
        try:
            found = migration.version(database.connection(self.conf))
        except exception.ImageBuildError as error:
            return upgradecheck.Result(_CODE.FAILURE, str(error))
        needed = migration.head()
        if found == needed:
            return upgradecheck.Result(_CODE.SUCCESS)
        return upgradecheck.Result(
            _CODE.FAILURE,
            f'The tables are at version {found or "none"}, and this release '
            f'needs {needed}: run "imagebuild-manage db sync".',
        )

    def check_operating_systems(self) -> upgradecheck.Result:
        """The catalogue of operating systems can be read."""
        path = self.conf.operating_systems_file
        if not pathlib.Path(path).exists():
            return upgradecheck.Result(
                _CODE.WARNING,
                f'There is no file {path}: API servers need it, hosts of '
                'conductors alone do not.',
            )
        try:
            found = catalogue.load(path)
        except exception.ImageBuildError as error:
            return upgradecheck.Result(_CODE.FAILURE, str(error))
        if found.names():
            return upgradecheck.Result(_CODE.SUCCESS)
        return upgradecheck.Result(
            _CODE.WARNING, f'{path} offers no operating system.'
        )

    def check_encryption_keys(self) -> upgradecheck.Result:
        """Hidden argument values can be kept."""
        keys = self.conf.encryption_keys
        if not keys:
            return upgradecheck.Result(
                _CODE.WARNING,
                '[DEFAULT] encryption_keys is empty: requests with hidden '
                'argument values are refused.',
            )
        try:
            sealing.seal(keys, {})
        except exception.ImageBuildError as error:
            return upgradecheck.Result(_CODE.FAILURE, str(error))
        return upgradecheck.Result(_CODE.SUCCESS)

    def check_drivers(self) -> upgradecheck.Result:
        """A conductor of this host could build something."""
        try:
            found, reasons = registry.offered(
                registry.drivers(),
                self.conf.conductor.drivers,
                self.conf.guestfs.isolation,
                registry.installed().broken,
            )
        except exception.ImageBuildError as error:
            return upgradecheck.Result(_CODE.WARNING, str(error))
        why = '; '.join(
            f'{name}: {reason}' for name, reason in reasons.items()
        )
        if not found:
            return upgradecheck.Result(
                _CODE.WARNING,
                f'No driver can be used on this host ({why}): a conductor '
                'here would build nothing. A host of the API alone needs '
                'none.',
            )
        if problems := capability.driver_limit_problems(self.conf):
            return upgradecheck.Result(
                _CODE.WARNING,
                ' '.join(map(str, problems))
                + ' A conductor of this host does not start.',
            )
        if reasons and self.conf.conductor.drivers:
            return upgradecheck.Result(
                _CODE.WARNING,
                f'[conductor] drivers names some that cannot be used: {why}.',
            )
        return upgradecheck.Result(_CODE.SUCCESS)

    def check_destinations(self) -> upgradecheck.Result:
        """Every further destination of images can be used from here."""
        problems = client_cache.ClientCache(self.conf).problems()
        if problems:
            return upgradecheck.Result(
                _CODE.WARNING,
                ' '.join(map(str, problems))
                + ' A conductor of this host does not start. A host of the '
                'API alone needs none.',
            )
        return upgradecheck.Result(_CODE.SUCCESS)

    def check_isolation(self) -> upgradecheck.Result:
        """Disks can be opened in what the configuration says."""
        wanted = self.conf.guestfs.isolation
        lacking = {
            name: '; '.join(reasons)
            for name, reasons in overlay_disk.isolations_here().items()
        }
        can = ' and '.join(name for name in lacking if not lacking[name])
        why = ''.join(
            f', not in the {name} ({reason})'
            for name, reason in lacking.items()
            if reason
        )
        details = (
            f'This host can open disks in: {can or "nothing"}{why}; [guestfs] '
            f'isolation is {wanted}.'
        )
        if lacking['appliance'] and not lacking['sandbox']:
            details += (
                ' Base images that requests name, and disks with LVM, LUKS or '
                'RAID, cannot be opened here.'
            )
        # What a host of the API lacks is no matter: it has no conductor.
        bad = wanted == 'sandbox' and lacking['sandbox']
        return upgradecheck.Result(
            _CODE.WARNING if bad else _CODE.SUCCESS, details
        )

    def check_layers(self) -> upgradecheck.Result:
        """Layers can be kept where the configuration says."""
        section = layers_section.values(self.conf)
        directory = pathlib.Path(section['directory'])
        settings = layers.Settings.from_config({'layers': section})
        if settings is None or not directory.exists():
            return upgradecheck.Result(_CODE.SUCCESS)
        try:
            store = settings.store()
        except exception.ImageBuildError as error:
            return upgradecheck.Result(
                _CODE.WARNING,
                f'{error} Builds of this user run every step until [layers] '
                'directory can be used, or is removed.',
            )
        return upgradecheck.Result(
            _CODE.SUCCESS,
            f'They take {space.human(store.size())} in {directory}, which '
            'can be removed whenever no build runs.',
        )

    def check_policy(self) -> upgradecheck.Result:
        """The policy file is YAML."""
        return common_checks.check_policy_json(self, self.conf)

    _upgrade_checks: tuple[tuple[str, _Check], ...] = tuple(
        (name, _reported(check))
        for name, check in (
            ('Database tables', check_database),
            ('Operating systems', check_operating_systems),
            ('Encryption keys', check_encryption_keys),
            ('Drivers', check_drivers),
            ('Destinations', check_destinations),
            ('Isolation', check_isolation),
            ('Layers', check_layers),
            ('Policy file', check_policy),
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The program's entry point.

    :returns: 0 all is well, 1 there are warnings, 2 something must be fixed
        first (the codes of all such programs of OpenStack).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return program.run(lambda: _work(arguments), debug='--debug' in arguments)


def _work(argv: Sequence[str]) -> int:
    if '--version' in argv:
        # oslo.upgradecheck has no place for it.
        print(f'{PROGRAM} {release.version()}')
        return 0
    # Once for mistakes; upgradecheck.main() reads it again.
    conf, checks = _checks()
    upgradecheck.register_cli_options(conf, checks)
    configuration.read(
        conf,
        argv,
        PROGRAM,
        pairs=extension_options.pairs(),
        stores=extension_options.of_stores(),
    )
    if conf.command.check != 'check':
        raise exception.InvalidInput(
            f'"upgrade {conf.command.check}" is not known; see '
            f'"{PROGRAM} --help".'
        )
    # Made again: a ConfigOpts that has read a command line takes no more
    # options of one.
    conf, checks = _checks()
    return upgradecheck.main(conf, 'imagebuild', checks, argv=list(argv))


def _checks() -> tuple[cfg.ConfigOpts, UpgradeChecks]:
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf, extension_options.pairs())
    conf.register_cli_opt(
        cfg.BoolOpt('debug', default=False, help='Print tracebacks.')
    )
    return conf, UpgradeChecks(conf)
