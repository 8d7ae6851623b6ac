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
"""Configuration files, credentials and the command line."""

import pathlib

import pytest

from tools.cloud import __main__ as program
from tools.cloud import clouds
from tools.cloud import ini


def test_values_are_written_as_oslo_config_reads_them() -> None:
    sections = {'api': {'on': True, 'names': ['a', 'b'], 'size': 3}}
    text = '[api]\non = true\nnames = a,b\nsize = 3\n'
    assert ini.text(sections) == text


def test_a_file_is_private_and_only_written_when_changed(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'etc' / 'file'
    ini.write(path, 'one')
    assert path.stat().st_mode & 0o077 == 0
    before = path.stat().st_ino
    ini.write(path, 'one')
    assert path.stat().st_ino == before
    ini.write(path, 'two')
    assert path.read_text() == 'two'


@pytest.mark.parametrize(
    ('level', 'there', 'missing'),
    [
        ('keystone', {'keystone'}, {'glance', 'rabbitmq'}),
        ('glance', {'glance', 'rabbitmq'}, {'heat-engine'}),
        ('heat', {'heat-engine', 'glance'}, {'nova-api'}),
        ('nova', {'nova-compute', 'heat-api', 'libvirtd'}, set()),
    ],
)
def test_a_level_has_all_before_it(
    level: str, there: set[str], missing: set[str], tmp_path: pathlib.Path
) -> None:
    services = set(clouds.Cloud(tmp_path, level=level).services)
    assert there <= services
    assert not missing & services


@pytest.mark.parametrize('text', ['swift', 'nova=kvm', 'heat=fake', ''])
def test_an_unknown_level_is_bad_usage(
    text: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(['up', '--state', str(tmp_path), '--with', text])
    assert caught.value.code == 2


def test_down_and_status_of_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / 'none'
    assert program.main(['status', '--state', str(directory)]) == 1
    assert program.main(['down', '--state', str(directory)]) == 0
    assert 'nothing runs' in capsys.readouterr().out
    assert not directory.exists()
