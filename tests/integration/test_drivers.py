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
"""The driver contract over real disks, and what only real disks show."""

import contextlib
import dataclasses
import json
import multiprocessing
import pathlib
import re
import time

import pytest

from imagebuild import exception
from imagebuild import layers
from imagebuild.common import checkpoints
from imagebuild.disks import base_images
from imagebuild.disks import host_command
from imagebuild.drivers import base
from imagebuild.drivers import bootstrap
from imagebuild.drivers import guestfs
from imagebuild.drivers import isolations
from imagebuild.remotes.guestfs import GuestfsRemote
from tests.contract import driver_contract

MIB = 1024**2
GIB = 1024**3
REACHED = checkpoints.Reached(
    key='key',
    seconds=10.0,
    boundary=True,
    needed=False,
    changed=True,
    lasting=True,
    operators=False,
    state={'at': 'the end'},
)


def settings_for(
    directory: pathlib.Path, isolation: isolations.Setting
) -> base.Settings:
    def no_glance():
        raise AssertionError('no test here needs Glance')

    cache = base_images.Cache(directory / 'cache')
    return base.Settings(cache, no_glance, isolation=isolation)


def info_of(path: pathlib.Path) -> dict:
    return json.loads(
        host_command.run(['qemu-img', 'info', '--output=json', str(path)])
    )


@pytest.fixture
def image(minimal_image):
    """One that the catalogue names."""
    return base.BaseImage(
        kind='path',
        location=str(minimal_image),
        disk_format='qcow2',
        os='debian-12',
    )


class TestGuestfs(driver_contract.DriverContract):
    @pytest.fixture
    def driver(self):
        return guestfs.GuestfsDriver()

    @pytest.fixture
    def opening(self, driver, image, tmp_path, isolation):
        settings = settings_for(tmp_path, isolation)
        return driver_contract.Opening(
            driver, image, {'compress': True}, settings
        )


def test_larger_disk(image, tmp_path):
    found = []
    for isolation in ('sandbox', 'appliance'):
        directory = tmp_path / isolation
        directory.mkdir()
        found.append(_larger(image, directory, isolation))
    # The same partitions, with the same identities. parted may leave the last
    # MiB of a table of sfdisk's alone.
    (size, table), (other_size, other) = found
    assert table == other
    assert 0 <= size - other_size <= MIB


def _larger(image, directory, isolation):
    before = info_of(pathlib.Path(image.location))['virtual-size']
    wanted = before // GIB + 3
    context = base.BuildContext(
        base_image=image,
        options={'size': wanted},
        workspace=directory,
        settings=settings_for(directory, isolation),
    )
    with guestfs.GuestfsDriver().open(context) as disk:
        assert disk.virtual_size == wanted * GIB
        assert isinstance(disk.remote, GuestfsRemote) == (
            isolation == 'appliance'
        )
        shown = disk.remote.run(['df', '-B1', '--output=size', '/']).stdout
        size = int(shown.split()[-1])
        assert size > (wanted - 1) * GIB
        disk.finish(directory / 'out', 'raw')
    raw = directory / 'out'
    assert raw.stat().st_size == wanted * GIB
    table = host_command.run(['sfdisk', '--dump', str(raw)])
    assert host_command.run(['sfdisk', '--verify', str(raw)])
    raw.unlink()
    # The ends of the partition and of the table follow from the size.
    shown_table = re.sub(r'(last-lba: |size= *)\d+', r'\1', table)
    return size, shown_table.replace(str(raw), 'disk')


@pytest.mark.parametrize(
    'disk_format, name, os',
    [
        ('raw', 'raw', 'debian-12'),
        ('vhd', 'vpc', 'debian-12'),
        # Named by a request: the sandbox opens nothing that is nobody's.
        ('vmdk', 'vmdk', ''),
    ],
)
def test_formats(image, tmp_path, disk_format, name, os):
    driver = guestfs.GuestfsDriver()
    monitor = driver_contract.Listener()
    context = base.BuildContext(
        base_image=dataclasses.replace(image, os=os),
        options={},
        workspace=tmp_path,
        settings=settings_for(tmp_path, 'sandbox'),
        monitor=monitor,
    )
    with driver.open(context) as disk:
        assert isinstance(disk.remote, GuestfsRemote) == (not os)
        made = disk.finish(tmp_path / 'out', disk_format)
    found = info_of(tmp_path / 'out')
    assert found['format'] == name
    assert found['virtual-size'] == made.virtual_size
    start = 'open the disk in the sandbox' if os else 'start the appliance'
    assert start in monitor.started


def test_nothing_to_be_found(tmp_path, isolation):
    path = tmp_path / 'empty.raw'
    path.write_bytes(b'\0' * 1024 * 1024)
    image = base.BaseImage(kind='path', location=str(path))
    workspace = tmp_path / 'workspace'
    workspace.mkdir()
    driver = guestfs.GuestfsDriver()
    context = base.BuildContext(
        base_image=image,
        options={},
        workspace=workspace,
        settings=settings_for(tmp_path, isolation),
    )
    with (
        pytest.raises(exception.NoOperatingSystem),
        driver.open(context),
    ):
        pass
    assert list(workspace.iterdir()) == []


class TestBootstrap(driver_contract.DriverContract):
    @pytest.fixture
    def driver(self):
        return bootstrap.BootstrapDriver()

    @pytest.fixture(scope='class')
    def kept(self, tmp_path_factory):
        """One cache for all of them: made once."""
        return settings_for(tmp_path_factory.mktemp('bootstrap'), 'sandbox')

    @pytest.fixture
    def opening(self, driver, kept):
        options = {'os': 'debian-12', 'minimal': True}
        return driver_contract.Opening(driver, base.BaseImage(), options, kept)

    def test_a_build_goes_on_from_layers(self, opening, workspace, tmp_path):
        store = layers.Store(tmp_path / 'layers')
        for run in ('makes', 'uses'):
            with self._session(opening, workspace, store) as session:
                state = session.find('key', operators=False)
                settings = dataclasses.replace(
                    opening.settings, layers=session
                )
                with dataclasses.replace(opening, settings=settings).open(
                    workspace
                ) as disk:
                    if run == 'makes':
                        assert state is None
                        disk.remote.write_file('/srv/kept', b'x')
                        session.reached(REACHED)
                    else:
                        assert state == {'at': 'the end'}
                        assert disk.remote.read_file('/srv/kept') == b'x'

    @contextlib.contextmanager
    def _session(self, opening, workspace, store):
        driver, context = opening.driver, opening.context(workspace)
        with driver.prepared(context) as found:
            isolations = driver.possible_isolations(
                dataclasses.replace(context, base_image=found)
            )
            assert isolations == ('sandbox',)
            with layers.Session(
                store,
                layers.Base(found.identity),
                scope='p',
                isolations=isolations,
            ) as session:
                yield session


def _open_and_hang(image, workspace, directory, isolation, ready):
    driver = guestfs.GuestfsDriver()
    context = base.BuildContext(
        base_image=image,
        options={},
        workspace=workspace,
        settings=settings_for(directory, isolation),
    )
    with driver.open(context) as disk:
        remote = disk.remote
        holder = (
            remote.supervisor if isolation == 'sandbox' else remote.appliance
        )
        ready.put(holder.pid)
        time.sleep(600)


@pytest.mark.both_isolations
def test_what_a_killed_build_leaves_is_swept(image, tmp_path, isolation):
    workspace = tmp_path / 'workspace'
    workspace.mkdir()
    context = multiprocessing.get_context('spawn')
    ready = context.Queue()
    child = context.Process(
        target=_open_and_hang,
        args=(image, workspace, tmp_path, isolation, ready),
    )
    child.start()
    pid = ready.get(timeout=900)
    [scratch] = workspace.iterdir()
    # One that still runs is left alone.
    base.sweep(workspace)
    assert scratch.exists()
    assert not _has_ended(pid)
    child.kill()
    child.join()
    base.sweep(workspace)
    # On a busy host it may take more time than a sweep waits for it.
    end = time.monotonic() + 120
    while not _has_ended(pid):
        assert time.monotonic() < end
        time.sleep(0.1)
    base.sweep(workspace)
    assert list(workspace.iterdir()) == []


def _has_ended(pid):
    # Where nobody reaps orphans, it stays as a zombie.
    status = pathlib.Path(f'/proc/{pid}/stat')
    return not status.exists() or ') Z ' in status.read_text()
