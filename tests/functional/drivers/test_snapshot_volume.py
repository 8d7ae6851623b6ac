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
"""The driver ``snapshot``: servers that boot from volumes, and addresses."""

import dataclasses
import unittest.mock
import uuid

import pytest

from imagebuild import artifacts
from imagebuild import exception
from imagebuild import manifest
from imagebuild.clients import block_storage
from imagebuild.clients import rest
from imagebuild.drivers import base
from imagebuild.drivers import registry
from imagebuild.drivers.snapshot import driver as snapshot_driver
from imagebuild.drivers.snapshot import settings as snapshot_settings
from imagebuild.drivers.snapshot import ssh_access
from imagebuild.drivers.snapshot import volume
from imagebuild.remotes.base import Remote
from tests import fake_cinder
from tests import fake_glance
from tests import fake_neutron
from tests import fake_nova

MANIFEST = {'validators': [{'package': 'nginx'}]}
NETWORK, OTHER, OUTSIDE = (str(uuid.uuid4()) for _ in range(3))
TYPES = {'allowed_volume_types': ['*'], 'boot_from': 'volume'}


@dataclasses.dataclass
class Cloud:
    glance: fake_glance.FakeGlance
    cinder: fake_cinder.FakeCinder
    nova: fake_nova.FakeNova
    neutron: fake_neutron.FakeNeutron

    def left(self):
        """What is in it besides the base image."""
        return [
            *self.nova.servers,
            *self.cinder.volumes,
            *self.neutron.addresses,
            *list(self.glance.images)[1:],
        ]


@pytest.fixture
def cloud():
    with (
        fake_glance.FakeGlance() as glance,
        fake_cinder.FakeCinder(glance) as cinder,
        fake_nova.FakeNova(glance, cinder) as nova,
        fake_neutron.FakeNeutron(nova) as neutron,
    ):
        yield Cloud(glance, cinder, nova, neutron)


@pytest.fixture
def sections(cloud, tmp_path):
    return {
        **cloud.glance.config,
        'disks': {'cache_dir': str(tmp_path / 'cache')},
        'snapshot': {
            'endpoint_override': cloud.nova.url,
            'volume_endpoint_override': cloud.cinder.url,
            'network_endpoint_override': cloud.neutron.url,
            'flavor': 'm1.tiny',
            'poll_interval': 0.01,
        },
    }


@pytest.fixture
def driver():
    return registry.get('snapshot')


@pytest.fixture
def image(cloud):
    """A base image that this service has made."""
    return cloud.glance.add(
        b'disk',
        visibility='public',
        hw_disk_bus='scsi',
        imagebuild_service='this-service',
        imagebuild_attempt='that of the base image',
    )


@pytest.fixture
def context(image, sections, tmp_path):
    def context(**options):
        return base.BuildContext(
            base_image=base.BaseImage(kind='glance', id=image['id']),
            options=options,
            workspace=tmp_path,
            settings=base.Settings.from_config(sections),
            build_id=str(uuid.uuid4()),
        )

    return context


@pytest.fixture
def build(driver, context, tmp_path):
    """Build as a job does; what came of it."""

    def build(**options):
        options = {'boot_from': 'volume', **options}
        program = manifest.load(MANIFEST).bind().program()
        with driver.open(context(**options)) as disk:
            manifest.followed(
                program,
                lambda listener: disk.run_program(program, listener),
                manifest.Monitor(),
            )
            return disk.finish(tmp_path / 'image', 'qcow2')

    return build


def test_a_volume_becomes_an_image(build, cloud, image, sections):
    image['min_disk'] = 3
    sections['snapshot']['volume_availability_zone'] = 'cinder-1'
    made = build()
    record = cloud.glance.images[made.image_id]
    # It has data, and not a name of something in Cinder.
    assert record['size']
    assert 'block_device_mapping' not in record
    assert record['status'] == 'active'
    assert record['disk_format'] == 'qcow2'
    assert record['min_disk'] == 3
    assert record['hw_disk_bus'] == 'scsi'
    assert record[artifacts.ATTEMPT] == f'{made.stamp.build_id}/1'
    assert 'image_name' not in record
    [volume] = cloud.cinder.made
    assert volume.asked['size'] == 3
    assert volume.asked['imageRef'] == image['id']
    assert volume.asked['name'] == made.stamp.name
    assert volume.asked['metadata'] == made.stamp.properties()
    assert volume.asked['availability_zone'] == 'cinder-1'
    [server] = cloud.nova.made
    assert 'imageRef' not in server.body
    [root] = server.body['block_device_mapping_v2']
    assert root == {
        'boot_index': 0,
        'uuid': volume.id,
        'source_type': 'volume',
        'destination_type': 'volume',
        'delete_on_termination': False,
    }
    assert cloud.left() == [made.image_id]


@pytest.mark.parametrize(
    ('asked', 'configured', 'size', 'kind', 'disk_format'),
    [
        ({}, {}, 1, 'lvm', 'qcow2'),
        ({'volume_size': 7, 'volume_type': 'ceph'}, {}, 7, 'ceph', 'qcow2'),
        (
            {},
            {
                'volume_size': 5,
                'volume_type': 'ceph',
                'volume_image_format': 'raw',
            },
            5,
            'ceph',
            'raw',
        ),
    ],
)
def test_volumes_are_as_they_are_asked_for(
    asked, configured, size, kind, disk_format, build, cloud, sections
):
    sections['snapshot'].update(configured)
    made = build(**asked)
    [volume] = cloud.cinder.made
    assert volume.asked['size'] == size
    assert volume.asked['volume_type'] == kind
    record = cloud.glance.images[made.image_id]
    assert (record['disk_format'], record['min_disk']) == (disk_format, size)


def test_a_boot_test_has_a_volume_of_its_own(build, driver, context, cloud):
    made = build()
    with driver.boot(context(boot_from='volume'), made, ''):
        [volume] = cloud.cinder.volumes.values()
        assert volume.asked['imageRef'] == made.image_id
        assert volume.status == 'in-use'
    assert cloud.left() == [made.image_id]


TROUBLES = [
    (
        {'gigabytes': 0},
        {},
        exception.EnvironmentFault,
        'The project of this service has no room for a volume more: Requested '
        'volume or snapshot exceeds allowed gigabytes quota',
    ),
    (
        {'fault': fake_cinder.NO_BACKEND},
        {},
        exception.EnvironmentFault,
        'No storage of the cloud has room for the volume',
    ),
    (
        {'fault': fake_cinder.TOO_LARGE},
        {},
        exception.InvalidInput,
        'The volume of 1 GiB is too small for the base image: copy image to '
        'volume:Image used',
    ),
    (
        {'fault': 'attach volume:\x1b[2JBad'},
        {},
        exception.EnvironmentFault,
        r'The volume of the server is error: attach volume:\x1b[2JBad.',
    ),
    (
        {'no_upload': True},
        {},
        exception.EnvironmentFault,
        'could not make an image of the volume: copy volume to image:Failed',
    ),
    (
        {},
        {'volume_type': 'none'},
        exception.InvalidInput,
        'Volume type with name none could not be found',
    ),
    (
        {},
        {'volume_type': 'luks'},
        exception.EnvironmentFault,
        'The volumes of type "luks" are encrypted',
    ),
    (
        {
            'refuses': {
                'POST /volumes$': (
                    403,
                    "Policy doesn't allow volume:create to be performed.",
                )
            }
        },
        {},
        exception.EnvironmentFault,
        'The user of this service may not do this: Policy',
    ),
]


@pytest.mark.parametrize(('trouble', 'asked', 'kind', 'reason'), TROUBLES)
def test_what_goes_wrong_is_said(trouble, asked, kind, reason, build, cloud):
    for name, value in trouble.items():
        setattr(cloud.cinder, name, value)
    with pytest.raises(kind) as caught:
        build(**asked)
    assert reason in str(caught.value)
    assert cloud.left() == []


def test_whose_fault_a_volume_is(build, cloud, sections, image):
    """What users did not ask for is not theirs."""
    sections['snapshot']['volume_type'] = 'typo'
    with pytest.raises(exception.EnvironmentFault, match='name typo could'):
        build()
    image['min_disk'] = 9
    with pytest.raises(exception.InvalidInput, match='"volume_size" is 8'):
        build(volume_size=8)
    sections['disks']['max_virtual_size'] = 8
    with pytest.raises(exception.InvalidInput, match='may have 8.0 GiB'):
        build()
    image['block_device_mapping'] = '[{"volume_id": "of-somebody-else"}]'
    with pytest.raises(exception.InvalidInput, match='names volumes'):
        build()
    assert cloud.cinder.made == []


def test_no_image_chooses_the_type_of_a_volume(build, cloud, image, sections):
    image['cinder_img_volume_type'] = 'ceph'
    with pytest.raises(exception.InvalidInput, match='wants a volume of type'):
        build()
    assert cloud.cinder.made == []
    sections['snapshot']['allowed_volume_types'] = ['ceph']
    build()
    build(volume_type='lvm')
    kinds = [each.asked['volume_type'] for each in cloud.cinder.made]
    assert kinds == ['ceph', 'lvm']


@pytest.mark.parametrize(
    ('hold', 'option', 'reason'),
    [
        ('create', 'volume_timeout', 'creating, and not available, after 0.3'),
        ('upload', 'image_timeout', 'image of the volume is queued after 0.3'),
        ('delete', 'stop_timeout', ''),
    ],
)
def test_every_wait_has_an_end(
    hold, option, reason, build, driver, sections, cloud, caplog
):
    cloud.cinder.hold.add(hold)
    sections['snapshot'][option] = 0.3
    if hold == 'create':
        # Cinder does not delete what is being created.
        sections['snapshot']['stop_timeout'] = 0.3
    if reason:
        with pytest.raises(exception.EnvironmentFault, match=reason):
            build()
    else:
        build()
        assert 'still there, deleting, 0.3 seconds' in caplog.text
    assert cloud.nova.servers == {}
    assert len(cloud.cinder.volumes) == (hold != 'upload')
    # What is left is found, whoever knew of it, and goes when it can.
    sections['snapshot']['stop_timeout'] = 60
    settings = base.Settings.from_config(sections)
    cloud.cinder.hold.clear()
    for build_id, attempt in set(driver.left_behind('this-service', settings)):
        driver.reap(settings.stamp(build_id, attempt), settings)
    assert cloud.left() == []


def test_a_volume_that_is_not_shown(sections):
    client = unittest.mock.create_autospec(
        block_storage.BlockStorage, instance=True
    )
    client.volume.side_effect = rest.Refused(service='volume', reason='no.')
    sections['snapshot']['stop_timeout'] = 0.1
    limits = snapshot_settings.SnapshotSettings.read(sections)
    stamp = artifacts.AttemptStamp('this-service', str(uuid.uuid4()), 1)
    with pytest.raises(exception.EnvironmentFault, match=r'unknown, .* no\.'):
        volume.Volume(client, 'v1', stamp, limits, 1.0).delete()


def test_a_server_that_nova_keeps_for_a_while(build, cloud):
    """Nova would keep its volume with it."""
    cloud.nova.hold.add('reclaim')
    build()
    assert cloud.nova.servers == {}
    assert cloud.cinder.volumes == {}
    # Where that is forbidden, others work as before.
    cloud.nova.hold.clear()
    cloud.nova.refuses['POST /servers/[^/]*/action$'] = (403, 'Policy')
    cloud.nova.on_create = lambda server: cloud.nova.refuses.clear()
    build()
    assert cloud.cinder.volumes == {}


def test_reaped(driver, sections, cloud, monkeypatch):
    """In an order in which it goes, of several pages, nothing of others."""
    monkeypatch.setattr(snapshot_driver, '_REAPED', 0.3)
    settings = base.Settings.from_config(sections)
    cloud.glance.add(b'base')
    stamps = [settings.stamp(str(uuid.uuid4()), 1) for _ in range(5)]
    other = artifacts.AttemptStamp('another', stamps[0].build_id, 1)
    for stamp in [*stamps, other]:
        made = volume_of(cloud, stamp)
        server_id = str(uuid.uuid4())
        body = {
            'name': stamp.name,
            'metadata': stamp.properties(),
            'networks': 'none',
            'block_device_mapping_v2': [{'uuid': made.id}],
        }
        cloud.nova.servers[server_id] = fake_nova.Server(server_id, body)
        made.turn('in-use')
        address = {'id': str(uuid.uuid4()), 'description': stamp.name}
        cloud.neutron.addresses[address['id']] = address
    # What somebody has called as ours are, and what has copied our metadata.
    named = volume_of(cloud, stamps[0], metadata={})
    copied = volume_of(cloud, stamps[0], name='backup')
    text = {'id': str(uuid.uuid4()), 'description': f'not {stamps[0].name}'}
    cloud.neutron.addresses[text['id']] = text
    left = set(driver.left_behind('this-service', settings))
    assert left == {(each.build_id, 1) for each in stamps}
    assert driver.reap(stamps[0], settings) == 3
    assert driver.reap(stamps[0], settings) == 0
    assert {named.id, copied.id} <= set(cloud.cinder.volumes)
    assert len(cloud.cinder.volumes) == 7
    assert len(cloud.neutron.addresses) == 6
    # A Cinder that is away keeps no server.
    cloud.cinder.refuses['GET /volumes/detail'] = (503, 'Away')
    with pytest.raises(exception.ServiceUnavailable):
        driver.reap(stamps[2], settings)
    assert len(cloud.nova.servers) == 4
    # Of another project, as an administrator would be shown it.
    monkeypatch.setattr(
        block_storage.BlockStorage, 'project_id', lambda self: 'ours'
    )
    cloud.cinder.project = 'theirs'
    assert driver.reap(stamps[1], settings) == 2
    assert len(cloud.cinder.volumes) == 7


def volume_of(cloud, stamp, **different):
    asked = {
        'name': stamp.name,
        'size': 1,
        'metadata': stamp.properties(),
        'volume_type': 'lvm',
        **different,
    }
    made = fake_cinder.Volume(str(uuid.uuid4()), asked, {}, 'available')
    cloud.cinder.volumes[made.id] = made
    return made


@pytest.mark.parametrize(
    ('path', 'answer'),
    [
        ('POST /volumes', {}),
        ('POST /volumes', {'volume': 'here'}),
        ('GET /volumes/', {}),
        ('GET /volumes/', {'volume': ['available']}),
        ('GET /volumes/', {'volume': {}}),
    ],
)
def test_nonsense_is_a_sentence(path, answer, build, cloud, sections):
    cloud.cinder.nonsense[path] = answer
    sections['glance']['retry_timeout'] = 0.1
    sections['snapshot'].update(volume_timeout=0.1, stop_timeout=0.1)
    with pytest.raises(exception.ImageBuildError):
        build()


@pytest.mark.parametrize(
    ('path', 'page'),
    [
        ('volumes', {}),
        ('volumes', {'volumes': [{'id': n} for n in range(rest.PAGE)]}),
        ('floatingips', {'floatingips': 'x'}),
        ('floatingips', {'floatingips': [{}]}),
    ],
)
def test_nonsense_in_a_list(path, page, driver, cloud, sections):
    for each in (cloud.cinder, cloud.neutron):
        each.nonsense[f'GET /{path}'] = page
    settings = base.Settings.from_config(sections)
    with pytest.raises(exception.ServiceUnavailable, match='understood'):
        set(driver.left_behind('this-service', settings))


# -- what may be asked for --------------------------------------------------


def problems(driver, asked, sections, options=None):
    driver.validate(asked)
    try:
        driver.check_asked(
            asked, asked if options is None else options, sections
        )
    except base.InvalidDriverOptions as error:
        return {each.path: each.message for each in error.errors}
    return {}


def test_what_users_may_not_ask_for(driver, sections):
    asked = {'boot_from': 'volume', 'volume_type': 'ceph', 'volume_size': 9}
    sections['disks']['max_virtual_size'] = 8
    assert problems(driver, asked, sections) == {
        'boot_from': 'the operator allows no booting from volume',
        'volume_type': 'the operator allows no type of volume "ceph"',
        'volume_size': 'the operator allows disks of 8.0 GiB',
    }
    # What an entry of the catalogue says is the operator's.
    asked['volume_size'] = 8
    assert problems(driver, {}, sections, asked) == {}
    sections['snapshot'].update(
        allowed_boot_from=['volume'], allowed_volume_types=['ceph']
    )
    assert problems(driver, asked, sections) == {}
    assert problems(driver, {'volume_size': 1}, sections) == {
        'volume_size': 'needs "boot_from": "volume"'
    }
    sections['snapshot']['boot_from'] = 'volume'
    assert problems(driver, {'volume_size': 1}, sections) == {}
    assert problems(driver, {'boot_from': 'image'}, sections) == {
        'boot_from': 'the operator allows no booting from image'
    }


@pytest.mark.parametrize(
    'options',
    [{'boot_from': 'network'}, {'volume_size': 0}, {'volume_type': '../x'}],
)
def test_bad_options(driver, options):
    with pytest.raises(base.InvalidDriverOptions):
        driver.validate(options)


def test_a_cloud_without_cinder(driver, sections, context, cloud):
    """Said when a build is asked for; nothing else needs one."""
    sections['snapshot'].update(boot_from='volume')
    del sections['snapshot']['volume_endpoint_override']
    del sections['snapshot']['network_endpoint_override']
    [message] = problems(driver, {}, sections).values()
    assert message == (
        'servers cannot boot from volumes here: this cloud has no '
        'block-storage service in its catalogue'
    )
    settings = base.Settings.from_config(sections)
    assert set(driver.left_behind('this-service', settings)) == set()
    assert driver.reap(settings.stamp(str(uuid.uuid4()), 1), settings) == 0


# -- floating addresses -----------------------------------------------------


@pytest.fixture
def connect(sections):
    """What would be a connection; says where it leads."""
    sections['snapshot'].update(
        networks=[OTHER, NETWORK], floating_network=OUTSIDE
    )
    remote = unittest.mock.create_autospec(Remote, instance=True)
    with unittest.mock.patch.object(
        ssh_access.Access, 'connect', autospec=True, return_value=remote
    ) as connect:
        yield connect


@pytest.mark.parametrize('boot_from', ['image', 'volume'])
def test_a_server_is_reached_by_a_floating_address(
    boot_from, driver, context, cloud, connect, tmp_path
):
    cloud.neutron.address = '203.0.113.7'
    # A router leads to the second network alone.
    cloud.neutron.unreachable.add(OTHER)
    asked = context(configure='ssh', boot_from=boot_from)
    with driver.open(asked) as disk:
        assert connect.call_args.args[1] == '203.0.113.7'
        [address] = cloud.neutron.addresses.values()
        assert address['description'] == asked.stamp().name
        made = disk.finish(tmp_path / 'image', 'qcow2')
    assert cloud.left() == [made.image_id]
    assert len(cloud.neutron.made) == 1


@pytest.mark.parametrize(
    ('trouble', 'reason'),
    [
        (
            {'quota': 0},
            'The project of this service has no room for a floating address '
            r"more: Quota exceeded for resources: \['floatingip'\]",
        ),
        (
            {'unreachable': {NETWORK, OTHER}},
            rf'no floating address of network {OUTSIDE} \(\[snapshot\] '
            r'floating_network\): .* is not reachable from subnet S',
        ),
        ({'address': '127.0.0.1'}, 'floating address cannot be understood'),
        ({'address': None}, 'floating address cannot be understood'),
    ],
)
def test_no_floating_address_is_said(
    trouble, reason, driver, context, cloud, connect
):
    for name, value in trouble.items():
        setattr(cloud.neutron, name, value)
    with (
        pytest.raises(exception.EnvironmentFault, match=reason),
        driver.open(context(configure='ssh')),
    ):
        pass
    assert cloud.left() == []


def test_what_is_not_reached_by_ssh_has_no_address(build, cloud, connect):
    build(boot_from='image')
    assert cloud.neutron.made == []
