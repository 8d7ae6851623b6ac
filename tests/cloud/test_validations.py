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
"""Validations with a real Keystone, Barbican, Nova and Heat.

The machine is a real sshd at an address of this host. Servers of this Nova
have no network, so the address is put to where Nova keeps those that Neutron
has told it.
"""

import base64
import contextlib
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import v3

from imagebuild import exception
from imagebuild.client import exceptions as client_exceptions
from imagebuild.disks import create
from imagebuild.stores import base
from imagebuild.stores import registry
from tests.cloud import people
from tests.cloud import stacks as stack_tools
from tests.integration import machines
from tests.unit.stores import test_image_signature
from tools.cloud import clouds
from tools.cloud import identity
from tools.cloud.servers import barbican

_ADDRESS = '127.0.0.9'
_TYPE = 'OS::ImageBuild::Validation'


@pytest.fixture(scope='module')
def cloud(nova_cloud: clouds.Cloud) -> Iterator[clouds.Cloud]:
    """The cloud with Barbican, as long as the module lasts; 8 s."""
    site = nova_cloud.site
    server = barbican.Barbican(site)
    keystone = identity.Identity(site)
    keystone.add_user(identity.User('barbican', 'service', ('service',)))
    keystone.add_endpoint(
        identity.Endpoint('key-manager', 'barbican', server.url)
    )
    server.start()
    yield nova_cloud
    server.stop()
    keystone.remove_service('barbican')


@pytest.fixture(scope='module')
def machine(
    cloud: clouds.Cloud,
    machine_tree: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[machines.Machine]:
    directory = tmp_path_factory.mktemp('machine')
    with machines.Machine(machine_tree, directory) as running:
        running.listen(_ADDRESS, cloud.site.state.port('sshd'))
        yield running


@pytest.fixture(scope='module')
def key(machine: machines.Machine) -> str:
    """The text of a private key that lets "free" in, who is root by sudo."""
    made = asyncssh.generate_private_key('ssh-ed25519')
    machine.run('mkdir', '-p', '/home/free/.ssh')
    path = machine.directory / 'upper/home/free/.ssh/authorized_keys'
    path.write_bytes(made.export_public_key())
    return made.export_private_key().decode()


@pytest.fixture(scope='module')
def secret(cloud: clouds.Cloud, key: str) -> str:
    """Its href in Barbican; the user's."""
    return _store(cloud, key)


def _store(cloud: clouds.Cloud, text: str, user: str = 'demo') -> str:
    return cloud.openstack(
        *('secret', 'store', '--payload', text, '-f', 'value'),
        *('-c', 'Secret href'),
        user=user,
    )


@pytest.fixture(scope='module')
def server(cloud: clouds.Cloud) -> Iterator[str]:
    """The id of a server that Nova says to be at the machine's address."""
    image = cloud.openstack(
        *('image', 'create', 'nothing', '--disk-format', 'raw'),
        *('--container-format', 'bare', '--file', '/dev/null'),
        *('-f', 'value', '-c', 'id'),
    )
    made = cloud.openstack(
        *('server', 'create', 'web', '--image', image, '--flavor', 'm1.tiny'),
        *('--nic', 'none', '--wait', '-f', 'value', '-c', 'id'),
    )
    network = {
        'id': 'n',
        'address': 'fa:16:3e:00:00:01',
        'network': {
            'id': 'n',
            'label': 'public',
            'subnets': [
                {
                    'cidr': '127.0.0.0/8',
                    'ips': [
                        {
                            'address': _ADDRESS,
                            'type': 'fixed',
                            'version': 4,
                            'floating_ips': [],
                        }
                    ],
                }
            ],
        },
    }
    cloud.site.mariadb.query(
        'UPDATE instance_info_caches SET network_info = '  # noqa: S608
        f"'{json.dumps([network])}' WHERE instance_uuid = '{made}'",
        database='nova',
    )
    yield made
    cloud.openstack('server', 'delete', made)
    cloud.openstack('image', 'delete', image)


def _validate(
    cloud: clouds.Cloud, *arguments: str, user: str = 'demo'
) -> tuple[int, str]:
    done = people.openstack(
        cloud,
        *('image', 'build', 'validate', '--wait', *arguments),
        user=user,
    )
    assert 'Traceback' not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_server_of_nova_with_a_secret_of_barbican(
    cloud: clouds.Cloud, machine: machines.Machine, secret: str, server: str
) -> None:
    host = ','.join(
        [
            f'server={server}',
            f'port={cloud.site.state.port("sshd")}',
            'user=free',
            f'host_key={machine.fingerprint}',
        ]
    )
    code, text = _validate(
        cloud, '--host', host, '--secret', secret, '--package', 'sudo'
    )
    assert code == 0, text
    assert f'web ({_ADDRESS})' in text
    code, text = _validate(
        cloud, '--host', host, '--secret', secret, '--package', 'nginx'
    )
    assert code == 1
    assert 'nginx is not installed' in text
    # Others have neither the one nor the other, and learn nothing.
    code, text = _validate(
        *(cloud, '--host', host, '--secret', secret, '--package', 'sudo'),
        user='other',
    )
    assert code == 1
    assert f'there is no server {server} that you may read' in text
    address = host.replace(f'server={server}', f'address={_ADDRESS}')
    code, text = _validate(
        *(cloud, '--host', address, '--secret', secret, '--package', 'sudo'),
        user='other',
    )
    assert code == 1
    assert f'there is no secret {secret.rpartition("/")[2]} that' in text


def test_secrets_as_people_store_them(
    cloud: clouds.Cloud, machine: machines.Machine, key: str
) -> None:
    """As text, as bytes, and one that has no payload yet."""
    ours = people.client(cloud)
    session = people.session(cloud, 'demo')
    url = cloud.site.url('barbican')
    bytes_ = session.post(
        f'{url}/v1/secrets',
        json={
            'payload': base64.b64encode(key.encode()).decode(),
            'payload_content_type': 'application/octet-stream',
            'payload_content_encoding': 'base64',
            'secret_type': 'private',
        },
    ).json()['secret_ref']
    nothing = session.post(f'{url}/v1/secrets', json={}).json()['secret_ref']
    password = _store(cloud, f'{machines.PASSWORD}\n')

    def run(user: str, **credential: str) -> Any:
        made = ours.validations.create(
            [
                {
                    'address': _ADDRESS,
                    'port': cloud.site.state.port('sshd'),
                    'user': user,
                    'host_key': machine.fingerprint,
                }
            ],
            credential,
            packages=['sudo'],
        )
        return ours.validations.wait(made.id)

    assert run('free', secret=bytes_).status == 'passed'
    assert run('plain', password_secret=password).status == 'passed'
    with pytest.raises(Exception, match='there is no secret'):
        run('free', secret=nothing)


def _stack(
    cloud: clouds.Cloud, machine: machines.Machine, server: str, **more: Any
) -> Any:
    return {
        'heat_template_version': '2018-08-31',
        'parameters': {
            'private_key': {'type': 'string', 'hidden': True},
            'server': {'type': 'string'},
        },
        'resources': {
            'secret': {
                'type': 'OS::Barbican::Secret',
                'properties': {
                    'payload': {'get_param': 'private_key'},
                    'payload_content_type': 'text/plain',
                },
            },
            'check': {
                'type': _TYPE,
                'properties': {
                    'servers': [{'get_param': 'server'}],
                    'user': 'free',
                    'port': cloud.site.state.port('sshd'),
                    'host_keys': {server: machine.fingerprint},
                    'credential': {'secret': {'get_resource': 'secret'}},
                    **more,
                },
            },
        },
        'outputs': {
            'status': {'value': {'get_attr': ['check', 'status']}},
            'results': {'value': {'get_attr': ['check', 'results']}},
        },
    }


@pytest.fixture
def stacks(cloud: clouds.Cloud) -> Iterator[stack_tools.Stacks]:
    yield from stack_tools.using(cloud)


def test_stacks(
    cloud: clouds.Cloud,
    machine: machines.Machine,
    key: str,
    server: str,
    stacks: stack_tools.Stacks,
) -> None:
    """One fails with the step's message; the other makes it hold."""
    files = [{'path': '/etc/wanted', 'content': 'yes\n'}]
    parameters = {'private_key': key, 'server': server}

    def template(**more: Any) -> Any:
        return _stack(cloud, machine, server, files=files, **more)

    name = stacks.create(template(), wait=False, parameters=parameters)
    stacks.expect(name, 'CREATE_FAILED')
    said = f'web ({_ADDRESS}): files: /etc/wanted is missing'
    reasons = stacks.reasons(name)
    assert said in reasons
    assert said in stacks.failures(name)
    key_line = key.splitlines()[4]
    assert key_line not in reasons + stacks.failures(name)
    # The same stack, once it is allowed to change the machine.
    stacks.update(
        name, template(reconcile=True), 'UPDATE_COMPLETE',
        parameters=parameters,
    )  # fmt: skip
    outputs = stacks.outputs(name)
    assert outputs['status'] == 'passed'
    assert [each['result'] for each in outputs['results']] == ['reconciled']
    assert machine.run('cat', '/etc/wanted') == 'yes\n'
    stacks.delete(name)


def test_newer_template_stops_what_changes_a_machine(
    cloud: clouds.Cloud,
    machine: machines.Machine,
    key: str,
    server: str,
    stacks: stack_tools.Stacks,
) -> None:
    parameters = {'private_key': key, 'server': server}
    first = _stack(
        *(cloud, machine, server),
        reconcile=True,
        manifest={
            'validators': [{'script': 'slow.sh'}, {'script': 'late.sh'}]
        },
        resources={
            'slow.sh': 'touch /var/tmp/begun; i=0\n'
            'while [ ! -e /var/tmp/go ] && [ $((i += 1)) -lt 600 ]; do\n'
            '    sleep 0.5\ndone\n',
            'late.sh': 'touch /var/tmp/late\n',
        },
    )  # fmt: skip
    name = stacks.create(first, wait=False, parameters=parameters)
    people.eventually(
        lambda: 'begun' in machine.run('ls', '/var/tmp'),
        300,
        lambda: stacks.reasons(name),
    )
    began = stacks.resource(name, 'check').physical_resource_id
    stacks.update(
        name, _stack(cloud, machine, server, packages=['sudo']),
        parameters=parameters,
    )  # fmt: skip
    with contextlib.suppress(client_exceptions.NotFound):
        found = people.client(cloud).validations.get(began)
        assert found.status == 'cancelled'
    assert stacks.outputs(name)['status'] == 'passed'
    machine.run('touch', '/var/tmp/go')
    assert 'late' not in machine.run('ls', '/var/tmp')


# -- signed images: what else needs a Barbican -------------------------------


def _certificate(cloud: clouds.Cloud, content: bytes) -> str:
    """Put one into Barbican; returns its id."""
    values = cloud.site.credentials('imagebuild')
    session = ksa_session.Session(
        auth=v3.Password(
            auth_url=values['auth_url'],
            username=values['username'],
            password=values['password'],
            project_name=values['project_name'],
            user_domain_name=values['user_domain_name'],
            project_domain_name=values['project_domain_name'],
        )
    )
    answer = session.post(
        f'{cloud.site.url("barbican")}/v1/secrets',
        json={
            'payload': base64.b64encode(content).decode(),
            'payload_content_type': 'application/octet-stream',
            'payload_content_encoding': 'base64',
            'secret_type': 'certificate',
        },
    )
    return str(answer.json()['secret_ref']).rpartition('/')[2]


def test_glance_verifies_what_is_signed(
    cloud: clouds.Cloud, tmp_path: pathlib.Path
) -> None:
    values = cloud.site.credentials('imagebuild')
    key = test_image_signature.KEYS['RSA-PSS']
    another = test_image_signature.KEYS['ECC_SECP384R1']
    (tmp_path / 'key.pem').write_bytes(test_image_signature.pem(key))
    disk = tmp_path / 'disk.qcow2'
    create.empty_image(disk, 'qcow2', 1024**2)
    project = cloud.openstack(
        *('token', 'issue', '-f', 'value', '-c', 'project_id')
    )
    image = base.ImageProperties(name='signed', owner=project)

    def upload(signer: Any) -> tuple[base.Store, base.StoredImage]:
        der = test_image_signature.certificate(signer)
        pem = x509.load_der_x509_certificate(der).public_bytes(
            serialization.Encoding.PEM
        )
        store = registry.load(
            'glance',
            {
                'keystone': values,
                'glance': {'retry_timeout': 20},
                'signing': {
                    'private_key': str(tmp_path / 'key.pem'),
                    'certificate_uuid': _certificate(cloud, pem),
                },
            },
        )
        stamp = base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()), 'ab' * 32)
        return store, store.upload(disk, image, stamp)

    store, stored = upload(key)
    assert store.exists(stored.image_id)
    store.delete(stored.image_id)
    with pytest.raises(exception.ImageBuildError) as caught:
        upload(another)
    assert 'ignature' in str(caught.value)
