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
import pytest
import yaml

from imagebuild.manifest.validators import cloud_init
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

TEXT = """
cloud_init:
  datasources: [NoCloud, None]
  config:
    ssh_pwauth: no
    write_files: [{path: /x, permissions: 0600, version: 1.10}]
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    names = {'cloud-init'}
    monkeypatch.setattr(
        'imagebuild.manifest.package_cache.PackageCache.missing',
        lambda self, wanted: [p for p in wanted if p.name not in names],
    )
    return names


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('cloud_init: {}', 'it must not be empty'),
        ('cloud_init: {datasources: [nocloud]}', 'datasources[0]: '),
        ('cloud_init: {datasources: NoCloud}', 'cloud_init.datasources: '),
        ('cloud_init: {config: []}', 'cloud_init.config: '),
        ('cloud_init: {other: 1}', 'unknown key'),
        (
            'cloud_init: {datasources: [Ec2], config: {datasource_list: []}}',
            'config.datasource_list: "datasources" sets this already',
        ),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert wrong in error


def test_both_modes(installed: set[str]) -> None:
    remote = guest.debian()
    loaded = guest.load(TEXT)
    assert guest.failure(loaded, remote, reconcile=False) == (
        f'{cloud_init.TARGET} is missing'
    )
    assert not remote.written
    assert loaded.run(remote).steps[0].result == 'changed'
    content = remote.files[cloud_init.TARGET].content.decode()
    assert 'permissions: 0600' in content
    assert 'version: 1.10' in content
    read = yaml.safe_load(content)
    assert read['ssh_pwauth'] is False
    assert read['datasource_list'] == ['NoCloud', 'None']
    assert loaded.run(remote, reconcile=False).steps[0].result == 'ok'
    remote.files[cloud_init.TARGET] = fake.File(b'other')
    assert 'another content' in guest.failure(loaded, remote, reconcile=False)
    installed.clear()
    for reconcile in (True, False):
        reason = guest.failure(loaded, remote, reconcile=reconcile)
        assert reason.startswith('cloud-init is not installed')
