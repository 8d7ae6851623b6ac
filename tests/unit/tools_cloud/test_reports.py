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
"""What up and down say, without a cloud."""

import pathlib

import pytest

from tools.cloud import clouds
from tools.cloud import credentials
from tools.cloud import tasks
from tools.cloud import venv


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(credentials, 'write', lambda site: None)
    return []


def test_up_says_what_it_does_before_it_does_it(
    tmp_path: pathlib.Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(
        venv, 'make_imagebuild', lambda processes: seen.append([*said])
    )
    monkeypatch.setattr(tasks, 'run', lambda *_: seen.append([*said]))
    clouds.Cloud(tmp_path / 'c', level='keystone', report=said.append).up()
    before_packages, before_services = seen
    assert str(tmp_path / 'c') in before_packages[0]
    assert 'installing packages' in before_packages[-1]
    assert 'keystone' in before_services[-1]


def test_wipe_names_what_it_leaves(
    tmp_path: pathlib.Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / 'c'
    kept = directory / 'venv'
    kept.mkdir(parents=True)
    (directory / 'data').write_text('x')
    monkeypatch.setattr(venv, 'openstack', lambda: kept)
    ours = tmp_path / '.venv'
    ours.mkdir()
    monkeypatch.setattr(venv, 'imagebuild', lambda: ours)
    clouds.Cloud(directory, report=said.append).down(wipe=True)
    assert [entry.name for entry in directory.iterdir()] == ['venv']
    for left in (str(kept), str(ours), 'bindep.txt'):
        assert any(left in line and 'stay' in line for line in said), left
    assert ours.exists()
