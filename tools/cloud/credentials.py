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
"""Files that clients log in with: clouds.yaml, openrc."""

import json
import pathlib

from tools.cloud import cloud_site
from tools.cloud import ini
from tools.cloud import venv

#: name: its project
PEOPLE = {
    'demo': 'demo',
    'other': 'other',
    'reader': 'demo',
    'admin': 'admin',
    'imagebuild': 'service',
}


def write(site: cloud_site.Site) -> None:
    """Write clouds.yaml, openrc (demo) and openrc-NAME for each user."""
    directory = site.state.directory
    clouds = {name: _cloud(site, name) for name in PEOPLE}
    # JSON is YAML, and needs no library.
    ini.write(
        directory / 'clouds.yaml',
        json.dumps({'clouds': clouds}, indent=1, sort_keys=True) + '\n',
    )
    for name in PEOPLE:
        ini.write(directory / f'openrc-{name}', _openrc(site, name))
    ini.write(directory / 'openrc', _openrc(site, 'demo'))


def environment(site: cloud_site.Site, name: str) -> dict[str, str]:
    """The variables that OpenStack's clients read, for one user."""
    auth = site.credentials(name, PEOPLE[name])
    return {
        **{f'OS_{key.upper()}': value for key, value in auth.items()},
        'OS_IDENTITY_API_VERSION': '3',
        'OS_REGION_NAME': cloud_site.REGION,
    }


def _cloud(site: cloud_site.Site, name: str) -> dict[str, object]:
    auth = site.credentials(name, PEOPLE[name])
    return {
        'auth_type': auth.pop('auth_type'),
        'auth': auth,
        'region_name': cloud_site.REGION,
        'identity_api_version': 3,
    }


def _openrc(site: cloud_site.Site, name: str) -> str:
    lines = [
        f'# Makes you {name} of the cloud in {site.state.directory}.',
        'for name in $(env | sed -n "s/^\\(OS_[A-Z_]*\\)=.*/\\1/p"); do',
        '    unset "$name"',
        'done',
    ]
    lines += [
        f"export {key}='{value}'"
        for key, value in sorted(environment(site, name).items())
    ]
    # Ours first: its openstack command knows "image build".
    lines += [f'PATH={_programs()}', '']
    return '\n'.join(lines)


def _programs() -> str:
    ours: pathlib.Path = venv.imagebuild() / 'bin'
    theirs: pathlib.Path = venv.openstack() / 'bin'
    return f"'{ours}':\"$PATH\":'{theirs}'"
