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
"""The virtual environments: one for OpenStack's services, one for us."""

import configparser
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Mapping

from tools.cloud import errors
from tools.cloud import state as cloud_state
from tools.cloud.servers import process

ROOT = pathlib.Path(__file__).resolve().parents[2]
VARIABLE = 'IMAGEBUILD_CLOUD_VENV'

_HERE = pathlib.Path(__file__).resolve().parent
_REQUIREMENTS = _HERE / 'requirements.txt'
_CONSTRAINTS = _HERE / 'constraints.txt'
_SETUP_HOST = ROOT / 'tools' / 'setup-host.sh'


def openstack() -> pathlib.Path:
    """Where OpenStack's services are installed; clouds share it."""
    named = os.environ.get(VARIABLE)
    if named:
        return pathlib.Path(named).absolute()
    return cloud_state.default_folder() / 'venv'


def imagebuild() -> pathlib.Path:
    """Where imagebuild is installed, as tools/setup-host.sh sees it."""
    return pathlib.Path(os.environ.get('VENV') or ROOT / '.venv')


def python() -> str:
    """The interpreter that environments are made with."""
    return os.environ.get('PYTHON') or '/usr/bin/python3'


def version() -> str:
    """Tells one content of OpenStack's environment from another."""
    digest = hashlib.sha256()
    for file in (_REQUIREMENTS, _CONSTRAINTS):
        digest.update(file.read_bytes())
    for word in (str(openstack()), os.path.realpath(python())):
        digest.update(word.encode())
    return digest.hexdigest()


def make_openstack(processes: process.Processes) -> bool:
    """Make OpenStack's environment; False when it was up to date.

    One to two minutes and 700 MB, once.
    """
    folder = openstack()
    stamp = folder / '.imagebuild-cloud'
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f'{folder.name}.lock').open('a') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == version():
            return False
        processes.run('venv', [python(), '-m', 'venv', '--clear', str(folder)])
        _pip(
            processes,
            f'--requirement={_REQUIREMENTS}',
            f'--constraint={_CONSTRAINTS}',
        )
        stamp.write_text(version())
        return True


def install_plugin(processes: process.Processes) -> bool:
    """Install ours beside Heat; False when it was up to date.

    Without our requirements: Heat's plugin has to do with what Heat has.
    """
    stamp = openstack() / '.imagebuild-plugin'
    digest = hashlib.sha256(f'{ROOT} {version()}'.encode())
    for name in ('setup.cfg', 'setup.py', 'pyproject.toml'):
        digest.update((ROOT / name).read_bytes())
    wanted = digest.hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    _pip(
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


def _our_version() -> str:
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    return setup['metadata']['version']


def _pip(
    processes: process.Processes,
    *arguments: str,
    env: Mapping[str, str] | None = None,
) -> None:
    processes.run(
        'venv',
        [
            # Others may want this machine meanwhile.
            'nice',
            str(openstack() / 'bin' / 'python'),
            *('-m', 'pip', 'install', '--quiet', '--quiet', '--no-input'),
            '--disable-pip-version-check',
            *arguments,
        ],
        env=env,
        within=1800,
    )


def make_imagebuild(processes: process.Processes) -> None:
    """The distribution's packages and imagebuild's own environment."""
    if not _SETUP_HOST.exists():
        raise errors.CloudError(f'{_SETUP_HOST} is missing.')
    processes.run('setup-host', [str(_SETUP_HOST), 'test'], within=1800)
