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
import configparser
import pathlib

import pytest

from tools.cloud import cloud_state
from tools.cloud import clouds
from tools.cloud import errors
from tools.cloud import ini
from tools.cloud import tempest
from tools.cloud import venv


def options(
    directory: pathlib.Path, level: str, virt: str
) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(default_section='')
    cloud = clouds.Cloud(directory, level=level, virt=virt)
    parser.read_string(ini.text(tempest.config(cloud)))
    return parser


def test_config_of_a_fake_cloud(tmp_path: pathlib.Path) -> None:
    found = options(tmp_path, 'nova', 'fake')
    state = cloud_state.State(tmp_path)
    port = state.port('keystone')
    assert found['identity']['uri_v3'] == f'http://127.0.0.1:{port}/v3'
    assert found['auth']['admin_password'] == state.secret('user admin')
    assert found['service_available'].getboolean('nova')
    assert not found['service_available'].getboolean('neutron')
    assert found['image_build']['operating_system'] == 'fake-1'
    assert found['image_build']['real_operating_system'] == ''
    assert found['image_build_feature_enabled'].getboolean('orchestration')


def test_config_with_real_servers(tmp_path: pathlib.Path) -> None:
    found = options(tmp_path, 'nova', 'libvirt')
    assert found['image_build']['real_operating_system'] == 'debian-12'
    assert found['image_build']['operating_system'] == 'fake-1'


def test_config_without_heat(tmp_path: pathlib.Path) -> None:
    found = options(tmp_path, 'glance', 'fake')
    assert not found['service_available'].getboolean('nova')
    assert not found['image_build_feature_enabled'].getboolean('orchestration')


def test_a_cloud_that_is_down(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.CloudError, match='is not up'):
        tempest.prepare(clouds.Cloud(tmp_path))


def test_a_cloud_without_ours(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.CloudError, match='has no glance'):
        tempest.prepare(clouds.Cloud(tmp_path, level='keystone'))


def test_the_environments_are_apart(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (venv.VARIABLE, venv.TEMPEST_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))
    assert venv.openstack().parent == venv.tempest().directory.parent
    assert venv.openstack() != venv.tempest().directory
    # A wiped cloud keeps them: they take minutes to make.
    cloud = clouds.Cloud(cloud_state.default_directory())
    for directory in (venv.openstack(), venv.tempest().directory):
        (directory / 'bin').mkdir(parents=True)
    cloud.down(wipe=True)
    left = sorted(path.name for path in cloud.directory.iterdir())
    assert left == ['tempest-venv', 'venv']
