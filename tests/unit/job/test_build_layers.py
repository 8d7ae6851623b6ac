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
"""A build begins where an earlier one has been."""

import contextlib
import dataclasses

import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild import layers
from imagebuild.drivers import base as drivers
from imagebuild.drivers import registry
from imagebuild.job import build
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import specs
from tests.unit.layers import fake_disk
from tests.unit.manifest import engine


class Open(drivers.OpenDisk):
    def __init__(self, disk):
        self.remote = disk.system
        self.virtual_size = 1024

    def finish(self, output, disk_format):
        output.write_text('image')
        return drivers.FileArtifact(output, disk_format, 1024)


class Driver(drivers.Driver):
    """Has fake disks.

    :ivar broken: a disk over layers does not open.
    """

    name = 'guestfs'
    wants_base = True
    options = drivers.Options
    broken = False
    disks = ()

    def possible_isolations(self, context):
        return ('appliance',)

    def missing(self, isolation='appliance'):
        return ()

    @contextlib.contextmanager
    def open(self, context):
        directory = context.workspace / f'disk{len(self.disks)}'
        directory.mkdir()
        image = fake_disk.base(directory / 'base')
        session = context.settings.layers
        disk = fake_disk.FakeDisk(
            session.over(image) if session else image, directory
        )
        self.disks = (*self.disks, disk)
        if session is None:
            yield Open(disk)
            return
        if self.broken and session.layers:
            raise exception.ApplianceFailed(reason='no file system')
        with session.attached(
            disk.top, 1024, disk.snapshot, isolation='appliance'
        ):
            yield Open(disk)


@pytest.fixture
def driver(monkeypatch):
    made = Driver()
    monkeypatch.setattr(registry, 'get', lambda name: made)
    monkeypatch.setattr(distros, 'families', lambda: dict(engine.FAMILIES))
    return made


@pytest.fixture
def config(tmp_path):
    return {
        'disks': {'cache_dir': str(tmp_path / 'cache')},
        'layers': {
            'enabled': True,
            'directory': str(tmp_path / 'layers'),
            'min_seconds': 0,
        },
    }


class Events:
    def __init__(self):
        self.sent = []

    def hide(self, secrets):
        pass

    def send(self, event, **values):
        self.sent.append({'event': event, **values})


@pytest.fixture
def run(tmp_path, driver, config):
    """Build something; what was not run is returned, too."""
    count = iter(range(100))

    def run(*scripts, project_id='p', os='debian', **request):
        workspace = tmp_path / f'workspace{next(count)}'
        workspace.mkdir()
        steps = [
            {'script': {text: {'inline': f'append /log {text}'}}}
            for text in scripts
        ]
        events = Events()
        spec = specs.BuildSpec(
            request={'manifest': {'validators': steps}, **request},
            base=drivers.BaseImage(
                driver='guestfs', kind='path', os=os, identity='sha256:1'
            ),
            driver='guestfs',
            driver_options={},
            workspace=workspace,
            output=workspace / 'image',
            disk_format='qcow2',
            config=config,
            project_id=project_id,
        )
        monitor = job_monitor.JobMonitor(events)
        deadline = limits.Deadline(None, lambda: '')
        build.run(spec, events, monitor, deadline)
        events.results = [
            item['result']
            for item in events.sent
            if item['event'] == 'step_finished'
        ]
        return events

    return run


def last(driver):
    system = driver.disks[-1].system
    return system.scripts, system.files['/log'].content.decode().split()


def test_what_an_earlier_build_did_is_cached(run, driver):
    run('one', 'two')
    events = run('one', 'three')
    assert events.results == ['cached', 'ran']
    assert last(driver) == (['three'], ['one', 'three'])


@pytest.mark.parametrize('request_', [{'reuse': 'never'}, {'max_age': 0}])
def test_a_request_may_want_none(run, driver, request_):
    run('one', 'two')
    assert run('one', 'two', **request_).results == ['ran', 'ran']
    assert run('one', 'two', max_age=60).results == ['cached', 'cached']


def test_another_project_has_others(run):
    run('one')
    assert run('one', project_id='q').results == ['ran']


@pytest.mark.parametrize(
    'section', [{}, {'enabled': False, 'directory': '/x'}, None]
)
def test_an_operator_may_want_none(run, driver, config, section):
    config['layers'] = section
    run('one')
    assert run('one').results == ['ran']


def test_without_a_directory_for_them_a_build_goes_on(run, config, tmp_path):
    (tmp_path / 'file').write_text('')
    config['layers']['directory'] = str(tmp_path / 'file')
    assert run('one').results == ['ran']


def test_layers_that_do_not_open_are_left_out(run, driver, tmp_path):
    run('one', 'two')
    driver.broken = True
    events = run('one', 'two')
    assert events.results == ['ran', 'ran']
    assert 'layers' in next(
        item['message'] for item in events.sent if item['event'] == 'notice'
    )
    assert last(driver)[1] == ['one', 'two']
    driver.broken = False
    # Those of the second build are there.
    assert run('one', 'two').results == ['cached', 'cached']


def test_a_failure_that_is_not_the_layers_is_not_retried(run, driver):
    def refuse(*args, **kwargs):
        calls.append(1)
        raise exception.ApplianceFailed(reason='no')

    calls = []
    driver.open = refuse
    with pytest.raises(exception.ApplianceFailed):
        run('one')
    assert calls == [1]


@pytest.mark.parametrize(
    'reason',
    [
        exception.DiskFull(path='/var'),
        exception.SandboxFailed(reason='its supervisor was ended'),
        exception.Interrupted(signal='SIGTERM'),
    ],
)
def test_layers_stay_when_something_else_does_not_open(run, driver, reason):
    def refuse(*args, **kwargs):
        raise reason

    run('one')
    opened, driver.open = driver.open, refuse
    with pytest.raises(type(reason)):
        run('one')
    driver.open = opened
    assert run('one').results == ['cached']


def test_of_a_request_only_its_age_decides(tmp_path):
    known = layers.Settings.from_config(
        {
            'layers': {
                'enabled': True,
                'directory': str(tmp_path),
                'package_max_age': 100,
            }
        }
    )
    ages = {
        given: known.policy_for(use=True, max_age=given).package_max_age
        for given in (None, 50, 200)
    }
    assert ages == {None: 100, 50: 50, 200: 100}
    ever = dataclasses.replace(known, policy=layers.Policy(3, 0))
    assert ever.policy_for(use=True, max_age=None).package_max_age == 0
    assert ever.policy_for(use=True, max_age=50).package_max_age == 50
