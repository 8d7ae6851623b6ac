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
import dataclasses
import hashlib
import os

import pytest

from imagebuild import exception
from imagebuild.clients import glance as glance_client
from imagebuild.clients import retries
from imagebuild.disks import base_images
from imagebuild.disks import create
from imagebuild.disks import host_command
from imagebuild.drivers import base
from imagebuild.drivers import base_files
from imagebuild.drivers import settings as driver_settings
from tests import fake_glance
from tests.contract import driver_contract

MIB = 1024 * 1024


@pytest.fixture
def server():
    with fake_glance.FakeGlance() as server:
        yield server


@pytest.fixture
def settings(tmp_path, server):
    return base.Settings(
        base_images.Cache(tmp_path / 'cache'),
        lambda: glance_client.Glance.from_config(server.config),
        retry_timeout=60,
    )


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(retries, '_FIRST_PAUSE', 0.05)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / 'disk.qcow2'
    create.empty_image(path, 'qcow2', 4 * MIB)
    return path


def in_glance(server, path, **values):
    record = server.add(path.read_bytes(), **values)
    return base.BaseImage(
        kind='glance',
        id=record['id'],
        checksum=f'sha512:{record["os_hash_value"]}',
        size=record['size'],
        disk_format=record['disk_format'],
    )


def checksum_of(path):
    return 'sha256:' + hashlib.sha256(path.read_bytes()).hexdigest()


def opened(image, settings, monitor=None):
    return base_files.opened(image, settings, monitor or base.DiskMonitor())


def test_of_glance(server, settings, disk):
    image = in_glance(server, disk)
    monitor = driver_contract.Listener()
    for _ in range(2):
        with opened(image, settings, monitor) as info:
            assert (info.format, info.virtual_size) == ('qcow2', 4 * MIB)
            assert info.path.parent == settings.cache.directory
    gets = [path for _, path in server.requests if path.endswith('/file')]
    assert len(gets) == 1
    assert monitor.reached[-1] == (image.size,) * 2 + ('download base image',)


def test_of_glance_that_breaks_off(server, settings, disk):
    image = in_glance(server, disk)
    server.fail('GET', '/file', 0, after=100_000)
    server.fail('GET', '/file', 503)
    monitor = driver_contract.Listener()
    with opened(image, settings, monitor) as info:
        assert info.path.read_bytes() == disk.read_bytes()
    assert all('Trying again' in notice for notice in monitor.notices)


def test_of_glance_that_is_away(server, settings, disk):
    image = in_glance(server, disk)
    server.fail('GET', '/file', 503, times=99)
    settings = dataclasses.replace(settings, retry_timeout=0.2)
    with pytest.raises(exception.ServiceUnavailable), opened(image, settings):
        pass


def test_of_glance_that_was_deleted(server, settings, disk):
    image = in_glance(server, disk)
    server.images.clear()
    with pytest.raises(exception.NotFound), opened(image, settings):
        pass
    # Nobody but the operator can repair the catalogue.
    listed = base.BaseImage(**{**image.to_dict(), 'os': 'debian-12'})
    with (
        pytest.raises(exception.EnvironmentFault, match='debian-12') as it,
        opened(listed, settings),
    ):
        pass
    assert it.value.fault == 'service'


def test_other_bytes_than_glance_said(server, settings, disk):
    image = in_glance(server, disk)
    content = server.data[image.id]
    server.data[image.id] = content[:-1] + b'?'
    with pytest.raises(exception.ChecksumMismatch), opened(image, settings):
        pass
    assert not list(settings.cache.directory.glob('*.image'))
    assert not list(settings.cache.directory.glob('*.part'))


def test_a_backing_file_is_refused(server, settings, tmp_path):
    (tmp_path / 'secret').write_bytes(b's' * 512)
    evil = tmp_path / 'evil.qcow2'
    host_command.run(
        ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw']
        + ['-b', str(tmp_path / 'secret'), str(evil)]
    )
    image = in_glance(server, evil)
    with pytest.raises(exception.UnsafeImage) as it, opened(image, settings):
        pass
    assert str(it.value).startswith(f'The base image {image.id} cannot')
    assert str(settings.cache.directory) not in str(it.value)


@pytest.mark.parametrize('said', ['raw', 'vmdk', 'iso'])
def test_a_format_that_it_is_not(server, settings, disk, said):
    image = in_glance(server, disk, disk_format=said)
    with (
        pytest.raises(exception.InvalidImage, match=f'{said}.* is qcow2'),
        opened(image, settings),
    ):
        pass


def test_a_format_that_we_do_not_have(server, settings, tmp_path):
    path = tmp_path / 'disk'
    create.empty_image(path, 'vmdk', MIB)
    image = in_glance(server, path, disk_format='vmdk')
    with (
        pytest.raises(exception.InvalidImage, match='VMDK'),
        opened(image, settings),
    ):
        pass


@pytest.mark.parametrize('algo', [None, 'md5'])
def test_no_checksum_that_is_worth_something(server, settings, disk, algo):
    server.hash_algo = algo
    record = server.add(disk.read_bytes())
    image = base.BaseImage(
        kind='glance',
        id=record['id'],
        checksum=f'md5:{record["os_hash_value"]}' if algo else '',
    )
    with (
        pytest.raises(exception.InvalidImage, match='no checksum'),
        opened(image, settings),
    ):
        pass


class TestPath:
    def test_stays_where_it_is(self, settings, disk):
        image = base.BaseImage(kind='path', location=str(disk))
        with opened(image, settings) as info:
            assert info.path == disk
        assert not settings.cache.directory.exists()

    def test_checksum(self, settings, disk):
        for checksum, fits in (
            (checksum_of(disk), True),
            ('sha256:' + '0' * 64, False),
        ):
            image = base.BaseImage(
                kind='path', location=str(disk), checksum=checksum
            )
            monitor = driver_contract.Listener()
            if fits:
                with opened(image, settings, monitor):
                    pass
                assert monitor.reached[-1][2] == 'check base image'
                continue
            with (
                pytest.raises(exception.ChecksumMismatch),
                opened(image, settings),
            ):
                pass

    def test_changed_meanwhile(self, settings, disk):
        image = base.BaseImage(kind='path', location=str(disk))
        with pytest.raises(exception.ImageBusy), opened(image, settings):
            os.utime(disk, (0, 0))

    def test_not_there(self, settings, tmp_path):
        image = base.BaseImage(
            kind='path', location=str(tmp_path / 'none'), os='debian-12'
        )
        with (
            pytest.raises(exception.EnvironmentFault, match='no such file'),
            opened(image, settings),
        ):
            pass


class TestSettings:
    def test_from_config(self, tmp_path):
        found = driver_settings.Settings.from_config(
            {
                'disks': {
                    'cache_dir': str(tmp_path),
                    'cache_size': 3,
                    'space_reserve': 7,
                },
                'guestfs': {
                    'memory': 1024,
                    'cpus': None,
                    'accelerator': 'tcg',
                    'command_timeout': 60,
                    'run_timeout': 90,
                },
                'glance': {'retry_timeout': 11},
            },
            run_timeout=5.0,
        )
        assert found.cache == base_images.Cache(tmp_path, 3 * 1024**3, 7 * MIB)
        assert found.appliance.memory == 1024
        assert found.appliance.accelerator == 'tcg'
        assert found.command_timeout == 60
        assert found.run_timeout == 5.0
        assert found.retry_timeout == 11
        assert found.space_reserve == 7 * MIB


class TestBaseImage:
    def test_to_and_fro(self):
        image = base.BaseImage(
            driver='guestfs', kind='url', location='https://x', checksum='a:b'
        )
        assert base.BaseImage.from_dict(image.to_dict()) == image

    def test_what_is_not_known_is_left_out(self):
        values = {'kind': 'none', 'later': 1, 'id': None}
        assert base.BaseImage.from_dict(values) == base.BaseImage()

    def test_passwords_are_not_shown(self):
        image = base.BaseImage(kind='url', location='https://u:p@host/x')
        assert base_files.shown(image) == 'the base image https://***@host/x'
