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
import os
import signal
import uuid

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.clients import glance as glance_client
from imagebuild.disks import base_images
from imagebuild.drivers import base
from imagebuild.drivers import fake
from imagebuild.drivers import registry
from tests import fake_glance
from tests.contract import driver_contract

MANIFEST = """
validators:
  - package: [nginx, {redis: {version: '6.2'}}]
  - file: {/etc/motd: {content: "hello", mode: '0600', owner: www}}
  - script: {set-up: {inline: "echo hello"}}
  - script: {set-up-again: {inline: "#!/bin/sh\\necho hello"}}
"""


@pytest.fixture
def settings(tmp_path):
    return base.Settings(base_images.Cache(tmp_path / 'cache'), lambda: None)


class TestContract(driver_contract.DriverContract):
    @pytest.fixture
    def driver(self):
        return registry.get('fake')

    @pytest.fixture
    def opening(self, driver, settings):
        options = {'size': 2, 'output_lines': 3}
        return driver_contract.Opening(
            driver, base.BaseImage(), options, settings
        )


def build(options, settings, tmp_path, work=None, **arguments):
    slept = []
    driver = fake.FakeDriver(slept.append)
    context = base.BuildContext(
        base_image=base.BaseImage(),
        options=options,
        workspace=tmp_path,
        settings=settings,
    )
    with driver.open(context) as disk:
        if work:
            work(disk.remote)
        made = disk.finish(
            tmp_path / 'out', **arguments or {'disk_format': 'raw'}
        )
    return made, slept


def test_every_driver_is_known():
    offered = {n for n, d in registry.drivers().items() if d.by_default}
    assert offered == {'bootstrap', 'diskimage_builder', 'guestfs'}
    assert set(registry.drivers()) == {
        *offered,
        'fake',
        'installer',
        'snapshot',
    }


def test_unknown_driver():
    with pytest.raises(exception.InvalidInput, match='floppy.*guestfs'):
        registry.get('floppy')


def test_an_image_in_glance(tmp_path):
    driver, build_id = fake.FakeDriver(), str(uuid.uuid4())
    with fake_glance.FakeGlance() as server:
        settings = base.Settings.from_config(
            {**server.config, 'disks': {'cache_dir': str(tmp_path / 'cache')}}
        )
        options = {'artifact': 'image', 'size': 2}
        assert driver.makes(options) == 'image'
        assert driver.works_in_cloud(settings.sections)
        stamps = []
        for attempt in (1, 2):
            context = base.BuildContext(
                base_image=base.BaseImage(),
                options=options,
                workspace=tmp_path,
                settings=settings,
                build_id=build_id,
                attempt=attempt,
            )
            with driver.open(context) as disk:
                made = disk.finish(tmp_path / 'out', 'qcow2')
            assert not (tmp_path / 'out').exists()
            assert made.stamp == context.stamp()
            assert server.images[made.image_id]['status'] == 'active'
            stamps.append(made.stamp)

        def left():
            return set(driver.left_behind('this-service', settings))

        assert left() == {(build_id, 1), (build_id, 2)}
        assert set(driver.left_behind('another', settings)) == set()
        other = dataclasses.replace(stamps[0], service='another')
        assert driver.reap(other, settings) == 0
        server.images[made.image_id]['protected'] = True
        for stamp in reversed(stamps):
            assert driver.reap(stamp, settings) == 1
            assert driver.reap(stamp, settings) == 0
        assert left() == set()


def test_images_of_others_are_not_reaped(tmp_path, monkeypatch):
    """A snapshot of a server has the properties of the server's image."""
    monkeypatch.setattr(
        glance_client.Glance, 'project_id', lambda self: 'service'
    )
    driver = fake.FakeDriver()
    with fake_glance.FakeGlance() as server:
        settings = base.Settings.from_config(
            {**server.config, 'disks': {'cache_dir': str(tmp_path / 'cache')}}
        )
        stamp = settings.stamp(str(uuid.uuid4()), 1)
        theirs = server.add(b'x', owner='tenant', **stamp.properties())
        assert set(driver.left_behind('this-service', settings)) == set()
        assert driver.reap(stamp, settings) == 0
        server.add(b'x', owner='service', **stamp.properties())
        assert set(driver.left_behind('this-service', settings)) == {
            (stamp.build_id, 1)
        }
        assert driver.reap(stamp, settings) == 1
        assert list(server.images) == [theirs['id']]


def test_a_manifest_runs(settings, tmp_path):
    lines = []

    class Monitor(manifest.Monitor):
        def output(self, step, stream, line):
            lines.append(line)

    def work(remote):
        m = manifest.load(MANIFEST, resource_roots=[tmp_path])
        report = m.run(remote, {}, reconcile=True, monitor=Monitor())
        assert len(report.steps) == 4

    build({'output_lines': 5}, settings, tmp_path, work)
    assert len([line for line in lines if 'line 5 of 5' in line]) == 2


def test_takes_its_time(settings, tmp_path):
    made, slept = build({'seconds': 2.5}, settings, tmp_path)
    assert slept == [2.5]
    assert made.path.stat().st_size == made.virtual_size == 1024**2


@pytest.mark.parametrize(
    'fault, kind, said',
    [
        ('user', exception.StepError, 'user'),
        ('service', exception.EnvironmentFault, 'service'),
    ],
)
def test_fails(settings, tmp_path, fault, kind, said):
    options = {'fail': 'It is Monday.', 'fault': fault}
    with pytest.raises(kind, match='It is Monday') as caught:
        build(options, settings, tmp_path)
    assert caught.value.fault == said
    assert not (tmp_path / 'out').exists()


def test_crashes(settings, tmp_path):
    pid = os.fork()
    if not pid:
        build({'fail': 'x', 'fault': 'crash'}, settings, tmp_path)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    'options, path',
    [
        ({'seconds': -1}, 'seconds'),
        ({'seconds': True}, 'seconds'),
        ({'size': 0}, 'size'),
        ({'size': 1.5}, 'size'),
        ({'fail': 1}, 'fail'),
        ({'fault': 'nobody'}, 'fault'),
        ({'output_lines': '5'}, 'output_lines'),
    ],
)
def test_bad_options(options, path):
    with pytest.raises(base.InvalidDriverOptions) as caught:
        registry.get('fake').validate(options)
    assert [problem.path for problem in caught.value.errors] == [path]
