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
import contextlib
import dataclasses
import pathlib
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.disks import base_images
from imagebuild.disks import create
from imagebuild.drivers import base
from imagebuild.drivers import bootstrap
from imagebuild.drivers import from_scratch
from imagebuild.drivers import makings
from imagebuild.drivers import overlay_disk

HOUR = 3600


@pytest.fixture
def made(monkeypatch):
    """Base images that were made, by path."""
    paths = []

    def create_disk(self, options, path, *, monitor=None, **more):
        paths.append(path)
        create.empty_image(path, 'qcow2', 1024 * 1024)
        return base.FileArtifact(path, 'qcow2', 1024 * 1024)

    monkeypatch.setattr(bootstrap.BootstrapDriver, 'create_disk', create_disk)
    return paths


@pytest.fixture
def opened(monkeypatch):
    @contextlib.contextmanager
    def fake(info, name, options, directory, *, trusted, settings, monitor):
        assert info.path.exists()
        yield mock.sentinel.disk

    monkeypatch.setattr(overlay_disk, 'opened', fake)


@pytest.fixture
def build(tmp_path, made, opened):
    standard = base.Settings(
        base_images.Cache(tmp_path / 'cache'), lambda: None
    )
    workspace = tmp_path / 'workspace'
    workspace.mkdir()

    def run(now, limit=0, **options):
        settings = dataclasses.replace(standard, max_virtual_size=limit)
        driver = bootstrap.BootstrapDriver(clock=lambda: now)
        context = base.BuildContext(
            base_image=base.BaseImage(),
            options={'os': 'debian-12', **options},
            workspace=workspace,
            settings=settings,
        )
        with driver.open(context) as disk:
            assert disk is mock.sentinel.disk
        assert list(workspace.iterdir()) == []

    return run


def test_made_once_a_day(build, made):
    for hour in (0, 1, 23):
        build(hour * HOUR)
    assert len(made) == 1
    build(24 * HOUR)
    assert len(made) == 2


def test_made_as_often_as_wanted(build, made):
    for hour in range(6):
        build(hour * HOUR, refresh=2)
    assert len(made) == 3


@pytest.fixture
def prepared(tmp_path, build, monkeypatch):
    """Prepare a base image and open it; gives it, and how it is opened."""
    monkeypatch.setattr(overlay_disk.shutil, 'which', lambda name: name)
    settings = base.Settings(
        base_images.Cache(tmp_path / 'cache'), lambda: None
    )

    def run(begin=0, **options):
        now = [begin * HOUR]
        driver = bootstrap.BootstrapDriver(clock=lambda: now[0])
        context = base.BuildContext(
            base_image=base.BaseImage(identity='x'),
            options={'os': 'debian-12', **options},
            workspace=tmp_path / 'workspace',
            settings=settings,
        )
        with driver.prepared(context) as found:
            # A day begins, and another would be made.
            now[0] += 24 * HOUR
            context = dataclasses.replace(context, base_image=found)
            isolations = driver.possible_isolations(context)
            with driver.open(context):
                pass
        return found, isolations

    return run


def test_what_layers_lie_over(prepared, made, monkeypatch):
    first, isolations = prepared()
    assert isolations == ('appliance',)
    assert len(made) == 1
    assert prepared(1)[0] == first
    identities = iter('ab')
    monkeypatch.setattr(
        from_scratch.content, 'identity', lambda info: next(identities)
    )
    # The next day's is another, whatever was asked for.
    assert prepared()[0].identity != prepared(24)[0].identity
    assert len(made) == 2


def test_no_layers_over_what_is_made_each_time(prepared, made):
    found, isolations = prepared(refresh=0)
    assert (isolations, found.identity, found.location) == ((), 'x', '')
    assert len(made) == 1


def test_made_each_time(build, made, tmp_path):
    for _ in range(2):
        build(0, refresh=0)
    assert made == [tmp_path / 'workspace' / 'base.qcow2'] * 2


def test_a_disk_larger_than_the_operator_allows_is_not_made(build, made):
    build(0, limit=9 * 1024**3, size=9)
    assert len(made) == 1
    for options in ({'size': 9}, {}):
        with pytest.raises(exception.InvalidInput, match='may have 2.0 GiB'):
            build(0, limit=2 * 1024**3, **options)
    assert len(made) == 1


def test_others_are_others(build, made):
    build(0)
    build(0, minimal=True)
    build(0, size=9)
    build(0, os='debian-13')
    assert len(made) == 4


def test_identity_says_nothing_of_time():
    driver = bootstrap.BootstrapDriver()
    said = driver.identity({'os': 'debian-12'})
    assert driver.identity({'os': 'debian-12', 'refresh': 1}) == said
    assert driver.identity({'minimal': False, 'os': 'debian-12'}) == said
    assert driver.identity({'os': 'debian-12', 'size': 9}) != said


@pytest.mark.parametrize('refresh', [-1, 1.5, '1', True, 10**6])
def test_bad_refresh(refresh):
    with pytest.raises(base.InvalidDriverOptions, match='refresh'):
        bootstrap.BootstrapDriver().validate(
            {'os': 'debian-12', 'refresh': refresh}
        )


@dataclasses.dataclass(frozen=True)
class _Making(makings.DiskMaking):
    """Writes a disk, and says where it has worked."""

    trusted: bool = True
    seen: list[pathlib.Path] = dataclasses.field(default_factory=list)

    def make_disk(self, workspace, disk_format, monitor):
        self.seen.append(workspace.path)
        made = workspace.path / 'image'
        create.empty_image(made, 'qcow2', 1024 * 1024)
        return made, 1024 * 1024


@pytest.fixture
def make(tmp_path, opened, monkeypatch):
    """Have a base image made; gives where, and the cache's directory."""
    workspace = tmp_path / 'workspace'
    workspace.mkdir()
    cache = base_images.Cache(tmp_path / 'cache')

    def run(*, trusted, reserve=0):
        driver = bootstrap.BootstrapDriver()
        making = _Making(
            'debian-12',
            driver.making({'os': 'debian-12'}, {}).options,
            bootable=False,
            room=0,
            trusted=trusted,
        )
        monkeypatch.setattr(driver, 'making', lambda *_: making)
        monkeypatch.setattr(driver, '_refuse_machine', lambda _: None)
        context = base.BuildContext(
            base_image=base.BaseImage(),
            options={'os': 'debian-12'},
            workspace=workspace,
            settings=base.Settings(cache, lambda: None, space_reserve=reserve),
        )
        with driver.open(context):
            assert list(workspace.iterdir()) == []
        [where] = making.seen
        return where

    return run


def test_what_a_request_writes_counts_as_its_build(make, tmp_path):
    """The largest build goes when a disk is full, and must be the one."""
    where = make(trusted=False)
    assert where.parent == tmp_path / 'workspace'
    assert not where.exists()
    assert len(list((tmp_path / 'cache').glob('made-*.image'))) == 1


def test_what_an_operator_wants_counts_as_no_build(make, tmp_path):
    assert make(trusted=True).parent == tmp_path / 'cache'


def test_the_reserve_is_left_free(make):
    with pytest.raises(exception.NoSpace):
        make(trusted=True, reserve=2**60)
