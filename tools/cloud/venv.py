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
"""The virtual environments: for OpenStack's services, for us, for Tempest."""

import configparser
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping

from tools.cloud import cloud_state
from tools.cloud import errors
from tools.cloud.servers import process

ROOT = pathlib.Path(__file__).resolve().parents[2]
VARIABLE = 'IMAGEBUILD_CLOUD_VENV'
TEMPEST_VARIABLE = 'IMAGEBUILD_TEMPEST_VENV'

_HERE = pathlib.Path(__file__).resolve().parent
_SETUP_HOST = ROOT / 'tools' / 'setup-host.sh'
_PIP_INSTALL = ROOT / 'tools' / 'pip_install.py'


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment of programs that are not ours.

    :ivar requirements: what is installed, as pip reads it.
    :ivar constraints: in which versions.
    """

    directory: pathlib.Path
    requirements: pathlib.Path
    constraints: pathlib.Path

    def version(self) -> str:
        """Tells one content of it from another."""
        digest = hashlib.sha256()
        for file in (self.requirements, self.constraints):
            digest.update(file.read_bytes())
        for word in (str(self.directory), os.path.realpath(python())):
            digest.update(word.encode())
        return digest.hexdigest()

    def make(self, processes: process.Processes) -> bool:
        """Make it; False when it was up to date."""
        stamp = self.directory / '.imagebuild-cloud'
        with self._alone():
            if stamp.exists() and stamp.read_text() == self.version():
                return False
            processes.run(
                'venv',
                [python(), '-m', 'venv', '--clear', str(self.directory)],
            )
            self._pip(
                processes,
                f'--requirement={self.requirements}',
                f'--constraint={self.constraints}',
            )
            stamp.write_text(self.version())
            return True

    def install_ours(self, processes: process.Processes) -> bool:
        """Install this checkout, too; False when it was up to date.

        Without our requirements: what of ours runs in it has to do with
        what is there.
        """
        stamp = self.directory / '.imagebuild-plugin'
        digest = hashlib.sha256(f'{ROOT} {self.version()}'.encode())
        for name in ('setup.cfg', 'setup.py', 'pyproject.toml'):
            digest.update((ROOT / name).read_bytes())
        wanted = digest.hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return False
        # The name that our distribution had once: both would be found.
        processes.run(
            'venv',
            [
                str(self.directory / 'bin' / 'python'),
                *('-m', 'pip', 'uninstall', '--quiet', '--yes'),
                *('--disable-pip-version-check', 'imagebuild'),
            ],
        )
        self._pip(
            processes,
            *('--no-deps', '--editable', str(ROOT)),
            env={
                # As in tools/setup-host.sh: trees without git's history.
                'PBR_VERSION': os.environ.get('PBR_VERSION') or _our_version(),
                'SKIP_GENERATE_AUTHORS': '1',
                'SKIP_WRITE_GIT_CHANGELOG': '1',
            },
        )
        stamp.write_text(wanted)
        return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        lock = self.directory.with_name(f'{self.directory.name}.lock')
        with lock.open('a') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _pip(
        self,
        processes: process.Processes,
        *arguments: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        processes.run(
            'venv',
            [
                # Others may want this machine meanwhile.
                'nice',
                str(self.directory / 'bin' / 'python'),
                str(_PIP_INSTALL),
                *arguments,
            ],
            env=env,
            within=1800,
        )


def openstack() -> pathlib.Path:
    """Where OpenStack's services are installed; clouds share it."""
    return _named(VARIABLE, 'venv')


def tempest() -> Environment:
    """Tempest's own environment, beside OpenStack's; 60 MB."""
    return Environment(
        _named(TEMPEST_VARIABLE, 'tempest-venv'),
        _HERE / 'tempest-requirements.txt',
        _HERE / 'tempest-constraints.txt',
    )


def _named(variable: str, name: str) -> pathlib.Path:
    named = os.environ.get(variable)
    if named:
        return pathlib.Path(named).absolute()
    return cloud_state.default_directory() / name


def imagebuild() -> pathlib.Path:
    """Where imagebuild is installed, as tools/setup-host.sh sees it."""
    return pathlib.Path(os.environ.get('VENV') or ROOT / '.venv')


def python() -> str:
    """The interpreter that environments are made with."""
    return os.environ.get('PYTHON') or '/usr/bin/python3'


def version() -> str:
    """Tells one content of OpenStack's environment from another."""
    return _openstack().version()


def make_openstack(processes: process.Processes) -> bool:
    """Make OpenStack's environment; False when it was up to date.

    One to two minutes and 700 MB, once.
    """
    return _openstack().make(processes)


def install_plugin(processes: process.Processes) -> bool:
    """Install ours beside Heat; False when it was up to date."""
    return _openstack().install_ours(processes)


def _openstack() -> Environment:
    return Environment(
        openstack(), _HERE / 'requirements.txt', _HERE / 'constraints.txt'
    )


def _our_version() -> str:
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    return setup['metadata']['version']


def make_imagebuild(processes: process.Processes) -> None:
    """The distribution's packages and imagebuild's own environment."""
    if not _SETUP_HOST.exists():
        raise errors.CloudError(f'{_SETUP_HOST} is missing.')
    processes.run('setup-host', [str(_SETUP_HOST), 'test'], within=1800)
