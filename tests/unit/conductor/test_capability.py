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

import pytest
from oslo_config import cfg

from imagebuild import conf as imagebuild_conf
from imagebuild import sandbox
from imagebuild.conductor import capability
from imagebuild.drivers import guestfs
from imagebuild.drivers import overlay_disk


class Driver:
    by_default = True

    def __init__(self, *missing):
        self._missing = missing

    def missing(self, isolation='appliance'):
        return self._missing


@pytest.fixture
def conf():
    made = cfg.ConfigOpts()
    imagebuild_conf.register(made)
    made([])
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


def test_in_what_disks_can_be_opened(conf, monkeypatch):
    monkeypatch.setattr(sandbox, 'missing', lambda: ['root rights'])
    provider = capability.CapabilityProvider(conf, lambda: {'a': Driver()})
    found = provider.capability.isolations
    assert list(found) == ['appliance', 'sandbox']
    assert found['sandbox'] == ['root rights']
    registered = provider.capability.registration('c', '1')
    assert registered['isolations'] == found


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
    assert found.isolations['appliance'] == ['qemu']


def test_a_host_without_anything(conf, monkeypatch):
    """What it lacks for the appliance is named, as that is what most have."""
    monkeypatch.setattr(overlay_disk, '_without_appliance', lambda: ['qemu'])
    monkeypatch.setattr(sandbox, 'missing', lambda: ['root rights'])
    driver = guestfs.GuestfsDriver()
    assert driver.missing('auto') == ['qemu']
    assert driver.missing('sandbox') == ['root rights']
