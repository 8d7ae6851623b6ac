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

from imagebuild import distros
from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import cleanup
from tests.unit.manifest import engine


class Runnable:
    """Does what the scripts of a package do to a machine-id."""

    def __init__(self, result, error=None):
        self.result = result
        self.error = error

    def run(self, remote, *, reconcile=True, monitor=None, cache=None):
        assert reconcile
        if self.error:
            raise self.error
        remote.write_file('/etc/machine-id', b'0123\n')
        step = manifest.StepReport('a', 'package', 'a', self.result, 0.0)
        return manifest.Report(steps=[step])


@pytest.fixture
def remote(monkeypatch):
    monkeypatch.setattr(distros, 'families', lambda: dict(engine.FAMILIES))
    made = engine.System.of('debian', '12')
    made.write_file('/etc/machine-id', b'')
    made.on(['/bin/sh', '-c'])
    return made


def run(remote, result=manifest.Result.CHANGED, error=None, **options):
    told = []
    report = cleanup.run(
        Runnable(result, error),
        remote,
        before_cleanup=lambda: told.append('tidying'),
        **options,
    )
    return report, told, [command.argv[2] for command in remote.commands]


def test_a_changed_image_is_tidied_up(remote):
    report, told, scripts = run(remote)
    assert report.changed
    assert told == ['tidying']
    assert remote.files['/etc/machine-id'].content == b''
    assert scripts == ['true\n\nexit 0\n']


def test_an_unchanged_image_is_left_alone(remote):
    _report, told, scripts = run(remote, manifest.Result.OK)
    assert told == scripts == []
    assert remote.files['/etc/machine-id'].content == b'0123\n'


def test_an_unchanged_image_is_generalized(remote):
    _report, told, [script] = run(
        remote, manifest.Result.OK, generalize=True, keep_cache=True
    )
    assert told == ['tidying']
    assert 'ssh_host_' in script


def test_a_failed_run_is_not_tidied_up(remote):
    with pytest.raises(exception.StepFailed):
        run(remote, error=exception.StepFailed('no'))
    assert remote.commands == []
