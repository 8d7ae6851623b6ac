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

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import service
from imagebuild.remotes import always_succeeds


@pytest.fixture
def remote():
    return always_succeeds.AlwaysSucceedsRemote()


@pytest.fixture
def apply(remote):
    """Run validators over the remote; gives how each ended."""

    def run(*validators, reconcile=True):
        loaded = manifest.load({'validators': list(validators)})
        report = loaded.run(remote, {}, reconcile=reconcile)
        return [str(step.result) for step in report.steps]

    return run


def test_a_package_brings_its_service(apply):
    assert apply({'package': 'nginx'}, {'service': {'nginx': 'enabled'}}) == [
        'changed',
        'ok',
    ]


def test_a_file_is_a_unit(apply):
    unit = {'/etc/systemd/system/app.timer': {'content': 'x'}}
    enabled = {'service': {'app.timer': 'enabled'}}
    assert apply({'file': unit}, enabled, enabled) == [
        'changed',
        'changed',
        'ok',
    ]


def test_what_is_done_to_a_unit_holds(apply):
    apply({'package': 'nginx'})
    for state in 'disabled', 'masked', 'enabled', 'masked', 'disabled':
        wanted = {'service': {'nginx': state}}
        assert apply(wanted) == ['changed']
        assert apply(wanted, reconcile=False) == ['ok']


def test_there_is_no_other_service(apply):
    with pytest.raises(exception.StepError, match=r'no such unit: nginx'):
        apply({'service': {'nginx': 'enabled'}})


def test_no_other_service_can_be_enabled(remote):
    argv = ['/bin/sh', '-c', service.CHANGE.text, 'imagebuild']
    result = remote.run([*argv, 'enable', 'nginx.service'], check=False)
    assert result.exit_code == 1
    assert 'nginx.service does not exist' in result.stderr
