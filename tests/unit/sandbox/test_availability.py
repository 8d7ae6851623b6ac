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

from imagebuild.sandbox import availability


@pytest.fixture
def missing(monkeypatch, tmp_path):
    """What is missing, on a host where the trial would work."""
    (tmp_path / 'fuse').touch()
    monkeypatch.setattr(availability, '_DEVICES', (str(tmp_path / 'fuse'),))
    monkeypatch.setattr(availability, '_try', lambda _directory: None)
    monkeypatch.setattr(availability.os, 'geteuid', lambda: 0)
    monkeypatch.setattr(availability.shutil, 'which', lambda name: name)
    monkeypatch.setattr(availability.seccomp, 'MACHINES', ('m',))
    monkeypatch.setattr(availability.syscalls, 'MACHINE', 'm')
    monkeypatch.setattr(availability, '_trial', availability._Trial())
    return availability.missing


def test_nothing(missing):
    assert missing() == []


def test_devices(missing, monkeypatch):
    """In a container; not found out by waiting for a mount."""
    monkeypatch.setattr(availability, '_DEVICES', ('/dev/no/fuse',))
    monkeypatch.setattr(availability, '_try', None)
    assert missing() == [
        '/dev/no/fuse cannot be used (No such file or directory)'
    ]


def test_who_is_not_root_is_told_so_alone(missing, monkeypatch):
    monkeypatch.setattr(availability, '_DEVICES', ('/dev/no/fuse',))
    monkeypatch.setattr(availability.os, 'geteuid', lambda: 1000)
    assert missing() == ['only root may mount disks']


@pytest.mark.parametrize(
    'error, reason',
    [
        (OSError(5, 'Input/output error', '/x'), '/x: Input/output error'),
        (OSError(5, 'Input/output error'), 'a trial: Input/output error'),
        (RuntimeError('it is not'), 'it is not'),
    ],
)
def test_a_trial_that_fails(missing, monkeypatch, error, reason):
    def fail(_directory):
        raise error

    monkeypatch.setattr(availability, '_try', fail)
    assert missing() == [reason]


def test_a_busy_host_is_not_without_for_ever(missing, monkeypatch):
    tried = []

    def fail_once(_directory):
        tried.append(True)
        if len(tried) == 1:
            raise OSError(5, 'Input/output error')

    now = [1000.0]
    monkeypatch.setattr(availability, '_try', fail_once)
    monkeypatch.setattr(availability.time, 'monotonic', lambda: now[0])
    assert missing()
    now[0] += 299
    assert missing(), 'not repeated at every question'
    now[0] += 2
    assert missing() == []
    now[0] += 10**6
    assert missing() == []
    assert len(tried) == 2
