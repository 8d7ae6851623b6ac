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
"""What a conductor says of the drivers that it can offer."""

import logging
import os
import platform

import pytest
from oslo_config import cfg

from imagebuild import conf as imagebuild_conf
from imagebuild import layers
from imagebuild import sandbox
from imagebuild.boot import availability
from imagebuild.common.placement import Capability
from imagebuild.conductor import capability
from imagebuild.drivers import fake
from imagebuild.drivers import guestfs
from imagebuild.drivers import overlay_disk
from imagebuild.layers import entries


class Driver:
    boots = False
    by_default = True
    options = fake.Options

    def __init__(self, *missing):
        self._missing = missing

    def missing(self, isolation='appliance'):
        return self._missing


@pytest.fixture
def conf(tmp_path):
    made = cfg.ConfigOpts()
    imagebuild_conf.register(made)
    made([], default_config_files=[])
    made.set_override('state_path', str(tmp_path))
    return made


@pytest.fixture(autouse=True)
def a_host_with_a_sandbox(monkeypatch):
    """Whether this host is one is found out by starting programs."""
    monkeypatch.setattr(sandbox, 'missing', list)


def errors(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]


@pytest.mark.parametrize(
    ('installed', 'why'),
    [
        ({'guestfs': Driver('python3-guestfs')}, 'guestfs: missing: python3'),
        ({}, 'none is installed'),
    ],
)
def test_a_conductor_without_a_driver_says_so(conf, caplog, installed, why):
    provider = capability.CapabilityProvider(conf, lambda: installed)
    assert provider.capability.drivers == ()
    [message] = errors(caplog)
    assert 'this conductor will build nothing' in message
    assert why in message


def test_one_driver_is_enough(conf, caplog):
    installed = {'a': Driver(), 'b': Driver('a program')}
    provider = capability.CapabilityProvider(conf, lambda: installed)
    assert provider.capability.drivers == ('a',)
    assert errors(caplog) == []


def test_what_was_asked_for_is_missed(conf, caplog):
    conf.set_override('drivers', ['b', 'c'], 'conductor')
    installed = {'a': Driver(), 'b': Driver()}
    provider = capability.CapabilityProvider(conf, lambda: installed)
    assert provider.capability.drivers == ('b',)
    assert errors(caplog) == ['The driver "c" is not offered, not installed']


def test_limits_of_drivers(conf):
    conf.set_override('driver_limits', {'a': 1, 'd': 2}, 'conductor')
    installed = {'a': Driver(), 'b': Driver('a program')}
    provider = capability.CapabilityProvider(conf, lambda: installed)
    assert provider.capability.driver_limits == {'a': 1, 'd': 2}
    [problem] = provider.problems()
    assert 'driver_limits: there is no driver "d"; installed are: a, b' in str(
        problem
    )
    conf.set_override('driver_limits', {'b': 1}, 'conductor')
    # One that lacks something here is known all the same.
    assert provider.problems() == []
    provider.reload()
    assert provider.capability.driver_limits == {'b': 1}


@pytest.mark.parametrize('value', ['a:0', 'a:-1', 'a:x', 'a'])
def test_limits_that_are_none(tmp_path, value):
    (tmp_path / 'conf').write_text(f'[conductor]\ndriver_limits = {value}\n')
    made = cfg.ConfigOpts()
    imagebuild_conf.register(made)
    made([], default_config_files=[str(tmp_path / 'conf')])
    with pytest.raises(cfg.ConfigFileValueError, match='driver_limits'):
        _ = made.conductor.driver_limits


def test_options_of_its_drivers(conf, caplog):
    class Strange(Driver):
        options = object

    installed = {'a': Driver(), 'b': Strange(), 'c': Driver('a program')}
    found = capability.CapabilityProvider(conf, lambda: installed).capability
    assert found.drivers == ('a', 'b')
    assert found.driver_schemas == {'a': fake.Options.published()}
    assert 'The options of driver "b" are not shown' in caplog.text


def test_destinations_that_can_be_used(tmp_path, caplog):
    conf = cfg.ConfigOpts()
    imagebuild_conf.register(conf)
    (tmp_path / 'conf').write_text(
        f'[DEFAULT]\nstate_path = {tmp_path}\n'
        '[destination:west]\nregion_name = West\nvalid_interfaces = public\n'
        'description = Ours\nprojects = one\n'
        '[destination:off]\nstore = file\nenabled = false\n'
        '[destination:bad]\nstore = file\nattempts = many\n'
        '[destination:gone]\ncloud = gone\nclouds_file = /nowhere\n'
    )
    conf([], default_config_files=[str(tmp_path / 'conf')])
    found = capability.CapabilityProvider(conf, dict).capability
    assert found.destinations == ('west',)
    # Nothing of how it is reached.
    assert found.destination_documents == {
        'west': {
            'description': 'Ours',
            'disk_format': '',
            'container_format': '',
            'max_image_size': 0,
            'projects': ['one'],
        }
    }
    assert 'The destination "bad" is not offered' in caplog.text
    assert 'The destination "gone" is not offered' in caplog.text
    assert Capability.from_dict(found.to_dict()) == found


def test_in_what_disks_can_be_opened(conf, monkeypatch):
    monkeypatch.setattr(sandbox, 'missing', lambda: ['root rights'])
    provider = capability.CapabilityProvider(conf, lambda: {'a': Driver()})
    found = provider.capability.isolations
    assert list(found) == ['appliance', 'sandbox']
    assert found['sandbox'] == (
        'root rights',
        'disks are opened in the appliance only ([guestfs] isolation)',
    )
    conf.set_override('isolation', 'auto', 'guestfs')
    provider.reload()
    assert provider.capability.isolations['sandbox'] == ('root rights',)


def test_with_what_images_can_be_booted(conf, monkeypatch):
    monkeypatch.setattr(
        availability,
        'missing',
        lambda firmware: ['no ovmf'] if firmware == 'uefi' else [],
    )
    drivers = {'a': Driver(), 'b': Driver(), 'c': Driver('root rights')}
    drivers['b'].boots = drivers['c'].boots = True
    provider = capability.CapabilityProvider(conf, lambda: drivers)
    found = provider.capability
    assert found.boot_tests == {'bios': (), 'uefi': ('no ovmf',), 'b': ()}
    assert Capability.from_dict(found.to_dict()) == found
    conf.set_override('enabled', False, 'boot_test')
    provider.reload()
    off = ('boot tests are switched off ([boot_test] enabled)',)
    assert provider.capability.boot_tests == {
        'bios': off, 'uefi': off, 'b': off
    }  # fmt: skip


@pytest.mark.parametrize(
    ('isolation', 'offered'),
    [('auto', True), ('sandbox', True), ('appliance', False)],
)
def test_a_host_without_libguestfs(conf, monkeypatch, isolation, offered):
    monkeypatch.setattr(overlay_disk, '_without_appliance', lambda: ['qemu'])
    conf.set_override('isolation', isolation, 'guestfs')
    installed = {'guestfs': guestfs.GuestfsDriver()}
    found = capability.CapabilityProvider(conf, lambda: installed).capability
    assert found.drivers == (('guestfs',) if offered else ())
    # Builds that need the appliance fail there, and this says why.
    assert found.isolations['appliance'] == ('qemu',)


def test_a_host_without_anything(conf, monkeypatch):
    """What it lacks for the appliance is named, as that is what most have."""
    monkeypatch.setattr(overlay_disk, '_without_appliance', lambda: ['qemu'])
    monkeypatch.setattr(sandbox, 'missing', lambda: ['root rights'])
    driver = guestfs.GuestfsDriver()
    assert driver.missing('auto') == ['qemu']
    assert driver.missing('sandbox') == ['root rights']


def test_what_the_host_has(conf, tmp_path, monkeypatch):
    conf.set_override('accelerator', 'tcg', 'guestfs')
    cache = tmp_path / 'base-images'
    cache.mkdir()
    conf.set_override('cache_dir', str(cache), 'disks')
    digests = [digit * 64 for digit in 'ab']
    for number, digest in enumerate(digests):
        path = cache / f'sha256-{digest}.image'
        path.touch()
        os.utime(path, (number, number))
    # Nobody asks for these by a checksum: made here, or not complete.
    for name in ('made-' + 'c' * 64 + '.image', f'sha256-{"d" * 64}.part'):
        (cache / name).touch()
    (tmp_path / 'work').mkdir()
    found = capability.CapabilityProvider(conf, dict).capability
    assert found.name == conf.conductor.name
    assert found.accelerator == 'tcg'
    assert found.architectures == (platform.machine(),)
    assert found.cached_bases == (f'sha256:{"b" * 64}', f'sha256:{"a" * 64}')
    assert found.free_disk > 0 and found.free_memory > 0


def test_a_directory_that_is_not_there(conf):
    found = capability.CapabilityProvider(conf, dict).capability
    assert found.cached_bases == () and found.cached_layers == {}


def test_layers_are_counted_by_their_base_image(conf, tmp_path):
    directory = tmp_path / 'layers'
    conf.set_override('enabled', True, 'layers')
    conf.set_override('directory', str(directory), 'layers')
    layers.Store(directory)
    for number, base in enumerate(['sha256:a', 'sha256:a', 'sha256:b', '']):
        entry = directory / 'layers' / f'l{number}'
        entry.mkdir()
        layer = entries.Layer(
            *('u', '', 'key', 1, 'x', (0, 0, 0), 1.0, None, '', {}), base
        )
        (entry / entries.DESCRIPTION).write_text(layer.dump())
    (directory / 'layers' / 'broken').mkdir()
    found = capability.CapabilityProvider(conf, dict).capability
    assert found.cached_layers == {'sha256:a': 2, 'sha256:b': 1}


def test_room_is_looked_at_again_and_not_too_often(conf, monkeypatch):
    provider = capability.CapabilityProvider(conf, dict)
    rooms = iter([1, 2, 3])
    monkeypatch.setattr(capability, '_free_disk', lambda _conf: next(rooms))
    assert provider.capability.free_disk == 1
    assert provider.capability.free_disk == 1
    provider.reload()
    assert provider.capability.free_disk == 2
