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
"""Runs scripts of devstack/upgrade as grenade.sh does."""

import pathlib
import subprocess

from tests.devstack import phases

UPGRADE = phases.PLUGIN / 'upgrade'
FILES = phases.HERE / 'grenade'

#: Of devstack, what a script of a project reads.
_READ = ('stackrc', 'functions', 'openrc')
_EMPTY = ('lib/tls', 'lib/apache', 'lib/rpc_backend')


class Grenade:
    """A grenade over a devstack that stands in for both releases.

    :param stack: the "old" release, whose phases the test runs.
    """

    def __init__(self, stack: phases.Devstack) -> None:
        self.stack = stack
        self.directory = stack.directory
        self.saved = self.directory / 'save' / 'grenade_db.ini'
        self.saved.parent.mkdir()
        for release in ('old', 'new'):
            devstack = self.directory / release / 'devstack'
            (devstack / 'lib').mkdir(parents=True)
            for name in _READ:
                (devstack / name).symlink_to(FILES / 'stackrc')
            for name in _EMPTY:
                (devstack / name).touch()

    def run(
        self, script: str, *arguments: str, top: str = 'old'
    ) -> 'subprocess.CompletedProcess[str]':
        """Run a script as a program of its own.

        :param top: the release whose devstack TOP_DIR is.
        """
        with (self.directory / 'calls').open('a') as calls:
            calls.write('\t'.join(['PHASE', ' '.join([script, *arguments])]))
            calls.write('\n')
        return subprocess.run(
            [UPGRADE / f'{script}.sh', *arguments],
            env=self._environment(top),
            capture_output=True,
            text=True,
            cwd=self.directory,
        )

    def settings(self) -> None:
        """Read the settings, as grenade.sh does in its own shell."""
        subprocess.run(
            [
                *('bash', '-e', '-c'),
                'source "$GRENADE_DIR/grenaderc"\n'
                'source "$GRENADE_DIR/functions"\n'
                '_record PHASE settings\n'
                f'source {UPGRADE}/settings\n'
                '_record PLUGIN_DIR "${PLUGIN_DIR[imagebuild]}"\n',
            ],
            env=self._environment('old'),
            check=True,
        )

    def succeed(self, script: str, *arguments: str, top: str = 'old') -> str:
        """The same; it may not fail. What it printed."""
        done = self.run(script, *arguments, top=top)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _environment(self, top: str) -> dict[str, str]:
        environment = dict(self.stack.environment)
        # Where Ubuntu's packages and stack.sh put them.
        local = self.directory / 'usr-local-bin'
        if not local.exists():
            local.mkdir()
            programs = pathlib.Path(environment['STAND_IN_BIN_DIR'])
            for name in ('openstack', 'uwsgi'):
                (local / name).symlink_to(programs / name)
        return {
            **environment,
            'PATH': f'{local}:/usr/sbin:/usr/bin:/sbin:/bin',
            'GRENADE_DIR': str(FILES),
            'TOP_DIR': str(self.directory / top / 'devstack'),
        }
