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
"""tools/cloud/tempest: run our Tempest plugin against a cloud.

Tempest makes users and projects of its own there and removes them.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence

from tools.cloud import cloud_site
from tools.cloud import cloud_state
from tools.cloud import clouds
from tools.cloud import errors
from tools.cloud import ini
from tools.cloud import venv

#: Tests that are run unless the arguments choose others.
OURS = 'imagebuild_tempest_plugin'

_CHOOSING = ('--regex', '-r', '--smoke', '-s')

#: virt: (flavor, an operating system that boots and is worth the time)
_SERVERS = {'fake': ('m1.tiny', ''), 'libvirt': ('m1.small', 'debian-12')}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 all passed, 1 not all did, 2 bad usage."""
    options, rest = _parser().parse_known_args(arguments)
    cloud = clouds.Cloud(options.state)
    try:
        prepare(cloud)
        return run(cloud, rest)
    except errors.CloudError as error:
        print(f'cloud: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('cloud: interrupted', file=sys.stderr)
        return 1


def prepare(cloud: clouds.Cloud) -> None:
    """Make Tempest's environment, and its configuration for this cloud.

    :raises errors.CloudError: the cloud is not up, or pip failed.
    """
    if not all(cloud.service(name).alive for name in _needed(cloud)):
        raise errors.CloudError(
            f'The cloud in {cloud.directory} is not up: '
            f'tools/cloud/up --state {cloud.directory}'
        )
    processes = cloud.site.processes
    environment = venv.tempest()
    environment.make(processes)
    environment.install_ours(processes)
    file = _config_file(cloud)
    ini.write(file, ini.text(config(cloud)))
    # Without it, "tempest run --list-tests" lists nothing.
    if not (file.parent / '.stestr').exists():
        stestr = environment.directory / 'bin' / 'stestr'
        processes.run(
            'tempest', [str(stestr), '--repo-url', str(file.parent), 'init']
        )


def run(cloud: clouds.Cloud, arguments: Sequence[str]) -> int:
    """Run "tempest run" to its end; its output is ours.

    :param arguments: more of its arguments, such as ``--serial``.
    :returns: its exit code.
    """
    command = [
        str(venv.tempest().directory / 'bin' / 'tempest'),
        *('run', '--config-file', str(_config_file(cloud))),
        *_chosen(arguments),
    ]
    process = subprocess.Popen(
        command, cwd=_config_file(cloud).parent, env=_environment()
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        # It got the signal as well, and cleans up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return process.wait() or 1


def config(cloud: clouds.Cloud) -> ini.Sections:
    """The content of tempest.conf."""
    site = cloud.site
    directory = _config_file(cloud).parent
    return {
        'DEFAULT': {'log_dir': directory, 'log_file': 'tempest.log'},
        'oslo_concurrency': {'lock_path': directory / 'lock'},
        'auth': _auth(site),
        'identity': {
            'uri_v3': site.auth_url,
            'region': cloud_site.REGION,
            'v3_endpoint_type': 'publicURL',
        },
        'service_available': _available(cloud),
        'validation': {'run_validation': False},
        'image_build': _image_build(cloud),
        'image_build_feature_enabled': {
            'orchestration': 'heat-api' in cloud.services
        },
    }


def _auth(site: cloud_site.Site) -> dict[str, object]:
    return {
        'use_dynamic_credentials': True,
        # The networks of tools/cloud are pretended.
        'create_isolated_networks': False,
        'default_credentials_domain_name': 'Default',
        'admin_username': cloud_site.ADMIN,
        'admin_password': site.password(cloud_site.ADMIN),
        'admin_project_name': cloud_site.ADMIN,
        'admin_domain_name': 'Default',
    }


def _available(cloud: clouds.Cloud) -> dict[str, object]:
    return {
        'image_build': True,
        'glance': True,
        'nova': 'nova-api' in cloud.services,
        'placement': 'placement' in cloud.services,
        **dict.fromkeys(('neutron', 'cinder', 'swift', 'horizon'), False),
    }


def _image_build(cloud: clouds.Cloud) -> dict[str, object]:
    flavor, system = _SERVERS[cloud.virt]
    return {
        # Emulated guests take their time.
        'build_timeout': 1800 if system else 900,
        'operating_system': 'fake-1',
        'real_operating_system': system,
        'recipe': 'redis',
        'recipe_version': '7',
        'flavor': flavor,
    }


def _needed(cloud: clouds.Cloud) -> list[str]:
    named = ('keystone', 'glance', 'imagebuild-api')
    for name in named:
        if name not in cloud.services:
            raise errors.CloudError(f'The cloud has no {name}.')
    return list(named)


def _config_file(cloud: clouds.Cloud) -> pathlib.Path:
    return cloud.site.state.subdirectory('tempest') / 'tempest.conf'


def _chosen(arguments: Sequence[str]) -> list[str]:
    given = [one for one in arguments if one != '--']
    names = {one.partition('=')[0] for one in given}
    if names.isdisjoint(_CHOOSING):
        return ['--regex', OURS, *given]
    return given


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('OS_', 'PYTHON', 'TEMPEST_'))
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='tools/cloud/tempest',
        description='Run our Tempest plugin against a cloud that is up.',
        epilog='All other arguments are those of "tempest run": --serial, '
        '--list-tests, --regex REGEX, --exclude-regex REGEX ...',
        allow_abbrev=False,
    )
    parser.add_argument(
        '--state',
        type=pathlib.Path,
        default=cloud_state.default_directory(),
        metavar='DIRECTORY',
        help='where the cloud is (default: %(default)s)',
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
