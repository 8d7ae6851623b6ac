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
"""The driver ``snapshot`` over SSH: a machine stands for Nova's server."""

import base64
import json
import pathlib
import uuid

import pytest

from imagebuild import description
from imagebuild import exception
from imagebuild.drivers import base
from imagebuild.drivers import registry
from imagebuild.drivers.snapshot import ssh_access
from imagebuild.manifest import cleanup
from tests import fake_cinder
from tests import fake_glance
from tests import fake_neutron
from tests import fake_nova
from tests.integration import machines

SECRET = 'horse battery staple'
REQUEST = {
    'packages': ['tree'],
    'files': [{'path': '/etc/made', 'content': 'here\n'}],
    'manifest': {
        'arguments': {'password': {'hidden': True, 'required': True}},
        'validators': [
            {'user': {'bob': {}}},
            {
                'script': {
                    'see': {
                        'inline': 'test "$password" && getent passwd bob',
                        'env_vars': ['password'],
                    }
                }
            },
        ],
    },
    'arguments': {'password': SECRET},
}
#: As cloud-init does: arguments are the private key and the public ones.
_FIRST_BOOT = """
set -e
mkdir -p -m 700 ~root/.ssh
echo "$3" > ~root/.ssh/authorized_keys
rm -f /etc/ssh/ssh_host_*
umask 077
printf %s "$1" > /etc/ssh/ssh_host_ed25519_key
echo "$2" > /etc/ssh/ssh_host_ed25519_key.pub
echo "$4" > /etc/hostname
"""


def boot(machine: machines.Machine, server: fake_nova.Server) -> None:
    text = base64.b64decode(server.body['user_data']).decode()
    first, rest = text.split('\n', 1)
    assert first == '#cloud-config'
    config = json.loads(rest)
    assert config['users'] == []
    assert config['disable_root'] is False
    machine.run(
        *('/bin/sh', '-c', _FIRST_BOOT, 'sh'),
        config['ssh_keys']['ed25519_private'],
        config['ssh_keys']['ed25519_public'],
        *config['ssh_authorized_keys'],
        server.body['name'],
    )


def test_the_engine_runs_in_a_server(
    machine_tree: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where Nova's server would be: of this host.
    monkeypatch.setattr(ssh_access, '_is_apart', lambda address: False)
    driver = registry.get('snapshot')
    with (
        machines.Machine(machine_tree, tmp_path / 'machine') as machine,
        fake_glance.FakeGlance() as glance,
        fake_cinder.FakeCinder(glance) as cinder,
        fake_nova.FakeNova(glance, cinder) as nova,
        fake_neutron.FakeNeutron(nova) as neutron,
    ):
        # It boots from a volume, and is reached by another address than
        # that of its own network.
        nova.address = '192.0.2.7'
        nova.on_create = lambda server: boot(machine, server)
        context = base.BuildContext(
            base_image=base.BaseImage(
                kind='glance', id=glance.add(b'disk')['id']
            ),
            options={'configure': 'ssh', 'boot_from': 'volume'},
            workspace=tmp_path,
            settings=base.Settings.from_config(
                {
                    **glance.config,
                    'disks': {'cache_dir': str(tmp_path / 'cache')},
                    'snapshot': {
                        'endpoint_override': nova.url,
                        'volume_endpoint_override': cinder.url,
                        'network_endpoint_override': neutron.url,
                        'floating_network': str(uuid.uuid4()),
                        'flavor': 'm1.tiny',
                        'networks': [str(uuid.uuid4())],
                        'poll_interval': 0.05,
                        'ssh_port': machine.port,
                    },
                }
            ),
            build_id=str(uuid.uuid4()),
        )
        assert driver.runs_program(context.options) is False
        with driver.open(context) as disk:
            report = cleanup.run(
                description.load(REQUEST), disk.remote, generalize=True
            )
            made = disk.finish(tmp_path / 'image', 'qcow2')
            with pytest.raises(exception.ImageBuildError):
                disk.remote.read_file('/etc/made')
        assert isinstance(made, base.ImageArtifact)
        assert glance.images[made.image_id]['status'] == 'active'
        assert nova.servers == cinder.volumes == neutron.addresses == {}
        [server] = nova.made
        # What nothing but a way in can do, and what is not left of it.
        assert (
            SECRET not in base64.b64decode(server.body['user_data']).decode()
        )
        assert [str(step.result) for step in report.steps] == [
            'changed', 'changed', 'changed', 'ran'
        ]  # fmt: skip
        root = tmp_path / 'machine' / 'upper'
        assert (root / 'etc/made').read_text() == 'here\n'
        assert not (machine.root / 'root/.ssh/authorized_keys').exists()
        assert machine.run('sh', '-c', 'cat /etc/hostname') == ''
        assert machine.run('sh', '-c', 'ls /etc/ssh').count('ssh_host') == 0
        assert 'tree' in machine.run('dpkg-query', '-W', 'tree')


def test_a_server_that_lets_nobody_in(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = registry.get('snapshot')
    with (
        fake_glance.FakeGlance() as glance,
        fake_nova.FakeNova(glance) as nova,
    ):
        sections = {
            **glance.config,
            'disks': {'cache_dir': str(tmp_path / 'cache')},
            'snapshot': {
                'endpoint_override': nova.url,
                'flavor': 'm1.tiny',
                'networks': [str(uuid.uuid4())],
                'poll_interval': 0.05,
                'boot_timeout': 0.5,
                'ssh_port': 9,
            },
        }
        context = base.BuildContext(
            base_image=base.BaseImage(
                kind='glance', id=glance.add(b'disk')['id']
            ),
            options={'configure': 'ssh'},
            workspace=tmp_path,
            settings=base.Settings.from_config(sections),
            build_id=str(uuid.uuid4()),
        )
        # An address of the conductor's own host is no server's.
        with (
            pytest.raises(exception.EnvironmentFault, match='has no address'),
            driver.open(context),
        ):
            pass
        monkeypatch.setattr(ssh_access, '_is_apart', lambda address: False)
        with (
            pytest.raises(exception.EnvironmentFault, match='cannot be used'),
            driver.open(context),
        ):
            pass
        assert nova.servers == {}
        with pytest.raises(base.InvalidDriverOptions, match='not reached'):
            driver.check_asked(
                {}, {'configure': 'ssh', 'networks': []}, sections
            )
