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
"""The text of imagebuild/drivers/base.py as tests.

A module that has a driver makes it pass them like this::

    class TestMyDriver(driver_contract.DriverContract):
        @pytest.fixture
        def driver(self): ...

        @pytest.fixture
        def opening(self, driver):
            return driver_contract.Opening(driver, base_image, options)
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import uuid

import jsonschema
import pytest

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.drivers import base
from imagebuild.drivers import registry
from imagebuild.remotes import base as remotes_base


class Listener(base.DiskMonitor):
    """A monitor that remembers."""

    def __init__(self):
        self.started = []
        self.finished = []
        self.notices = []
        self.reached = []

    def step_started(self, name):
        self.started.append(name)

    def step_finished(self, name, seconds, error):
        self.finished.append((name, error))

    def notice(self, message):
        self.notices.append(message)

    def progress(self, done, total, what):
        self.reached.append((done, total, what))


@dataclasses.dataclass
class Opening:
    """How to open a disk of a driver.

    :ivar options: good ones.
    :ivar settings: a cache that may be used up.
    """

    driver: base.Driver
    base_image: base.BaseImage
    options: dict
    settings: base.Settings

    def context(self, workspace, monitor=None):
        return base.BuildContext(
            base_image=self.base_image,
            options=self.options,
            workspace=workspace,
            settings=self.settings,
            monitor=monitor or base.DiskMonitor(),
            build_id=str(uuid.uuid4()),
            project_id='b' * 32,
        )

    @contextlib.contextmanager
    def open(self, workspace, monitor=None):
        # As the build job does.
        context = self.context(workspace, monitor)
        with (
            self.driver.prepared(context) as found,
            self.driver.open(
                dataclasses.replace(context, base_image=found)
            ) as disk,
        ):
            yield disk


class DriverContract:
    """What every driver does."""

    @pytest.fixture
    def workspace(self, tmp_path):
        directory = tmp_path / 'workspace'
        directory.mkdir()
        return directory

    # -- without opening anything -------------------------------------------

    def test_is_registered_by_its_name(self, driver):
        assert isinstance(registry.get(driver.name), type(driver))

    def test_says_what_it_is(self, driver):
        assert isinstance(driver, base.Driver)
        assert isinstance(driver.wants_base, bool)
        assert isinstance(driver.by_default, bool)
        assert isinstance(driver.boots, bool)
        assert all(isinstance(name, str) for name in driver.missing())

    def test_options_are_described_for_users(self, driver):
        schema = driver.options.published()
        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema
        assert 'x-message' not in json.dumps(schema)
        for name, option in schema['properties'].items():
            assert option['description'].endswith('.'), name

    def test_good_options(self, driver, opening):
        assert driver.validate(opening.options) is None

    def test_options_have_a_json_schema(self, driver, opening):
        schema = driver.options.schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        assert opening.options.keys() <= schema['properties'].keys()

    def test_bad_options_are_all_named(self, driver, opening):
        bad = {**opening.options, 'no_such': 1, 'nor_this': 2}
        with pytest.raises(base.InvalidDriverOptions) as caught:
            driver.validate(bad)
        assert {'no_such', 'nor_this'} <= {
            problem.path for problem in caught.value.errors
        }

    def test_identity(self, driver, opening):
        identity = driver.identity(opening.options)
        assert identity.startswith(driver.name)
        turned = dict(reversed(opening.options.items()))
        assert driver.identity(turned) == identity

    def test_what_it_makes(self, driver, opening):
        assert driver.makes(opening.options) in ('file', 'image')
        # Where nothing is configured there is no cloud to work in.
        assert driver.works_in_cloud({}) is False

    # -- opening ------------------------------------------------------------

    @pytest.mark.both_isolations
    def test_open_and_finish(self, opening, workspace, tmp_path):
        monitor = Listener()
        output = tmp_path / 'out.qcow2'
        with opening.open(workspace, monitor) as disk:
            assert isinstance(disk, base.OpenDisk)
            assert isinstance(disk.remote, remotes_base.Remote)
            assert b'ID=' in disk.remote.read_file('/etc/os-release')
            disk.remote.write_file('/etc/made-here', b'yes')
            assert disk.remote.read_file('/etc/made-here') == b'yes'
            size = disk.virtual_size
            assert opening.driver.disk_size(opening.options) <= size
            made = disk.finish(output, 'qcow2')
        assert made == base.FileArtifact(output, 'qcow2', size)
        assert output.read_bytes()[:4] == b'QFI\xfb'
        # Whole, and on its own.
        checked = host_command.run(['qemu-img', 'info', '-U', str(output)])
        assert 'backing file' not in checked
        host_command.run(['qemu-img', 'check', '-q', str(output)])
        assert os.listdir(workspace) == []
        assert monitor.started == [name for name, _ in monitor.finished]
        assert not any(error for _, error in monitor.finished)

    def test_failure_leaves_nothing(self, opening, workspace, tmp_path):
        class Failed(Exception):
            pass

        remotes = []
        with pytest.raises(Failed), opening.open(workspace) as disk:
            remotes.append(disk.remote)
            raise Failed
        assert os.listdir(workspace) == []
        with pytest.raises(exception.ImageBuildError):
            remotes[0].read_file('/etc/os-release')

    def test_unknown_format(self, opening, workspace, tmp_path):
        output = tmp_path / 'out'
        with (
            opening.open(workspace) as disk,
            pytest.raises(exception.InvalidInput, match='floppy'),
        ):
            disk.finish(output, 'floppy')
        assert not output.exists()

    def test_sweep_leaves_what_is_not_ours(self, workspace):
        (workspace / 'mine').write_text('x')
        base.sweep(workspace)
        assert [path.name for path in pathlib.Path(workspace).iterdir()] == [
            'mine'
        ]
