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
"""Digests of files: read once, and again when they change."""

import hashlib
import os
import threading
import time

import pytest

from imagebuild.common import checksums
from imagebuild.common import file_digests


@pytest.fixture
def digests(tmp_path):
    return file_digests.FileDigests(tmp_path / 'state' / 'digests')


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'base.qcow2'
    path.write_bytes(b'base')
    return path


@pytest.fixture
def reads(monkeypatch):
    """Paths that were read."""
    found = []
    compute = checksums.compute

    def counted(path, algorithms, **more):
        found.append(str(path))
        return compute(path, algorithms, **more)

    monkeypatch.setattr(checksums, 'compute', counted)
    return found


def digest_of(content, algo='sha256'):
    return f'{algo}:{hashlib.new(algo, content).hexdigest()}'


def test_a_file_is_read_once(digests, path, reads, tmp_path):
    assert digests.known(path) is None
    for _ in range(3):
        assert str(digests.read(path)) == digest_of(b'base')
    # Another process finds it, too.
    again = file_digests.FileDigests(tmp_path / 'state' / 'digests')
    assert str(again.known(path)) == digest_of(b'base')
    assert reads == [str(path)]


def test_each_algorithm(digests, path):
    assert str(digests.read(path, 'sha512')) == digest_of(b'base', 'sha512')
    assert digests.known(path) is None


def test_a_change_is_seen_whatever_the_times_say(digests, path):
    digests.read(path)
    status = path.stat()
    path.write_bytes(b'evil')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert digests.known(path) is None
    assert str(digests.read(path)) == digest_of(b'evil')


def test_a_change_right_after_the_first(digests, path):
    for number in range(3):
        content = b'%04d' % number
        path.write_bytes(content)
        assert str(digests.read(path)) == digest_of(content)


def test_another_file_at_the_path(digests, path, tmp_path):
    digests.read(path)
    other = tmp_path / 'other'
    other.write_bytes(b'othe')
    other.replace(path)
    assert str(digests.read(path)) == digest_of(b'othe')


@pytest.mark.parametrize('content', [b'', b'x', b'{}', b'[]'])
def test_what_is_remembered_may_be_damaged(digests, path, tmp_path, content):
    digests.read(path)
    [entry] = (tmp_path / 'state' / 'digests').glob('*.json')
    entry.write_bytes(content)
    assert digests.known(path) is None
    assert str(digests.read(path)) == digest_of(b'base')


def test_one_that_is_written_to(digests, path, monkeypatch):
    compute = checksums.compute

    def changed(path, algorithms, **more):
        found = compute(path, algorithms, **more)
        path.write_bytes(b'longer than before')
        return found

    monkeypatch.setattr(checksums, 'compute', changed)
    with pytest.raises(file_digests.ChangedMeanwhile):
        digests.read(path)
    assert digests.known(path) is None


@pytest.mark.parametrize('kind', ['none', 'directory', 'pipe'])
def test_what_is_no_file(digests, tmp_path, kind):
    """A pipe would be waited for for ever."""
    path = tmp_path / 'x'
    if kind == 'directory':
        path.mkdir()
    elif kind == 'pipe':
        os.mkfifo(path)
    with pytest.raises(OSError):
        digests.read(path)


# -- in the background --------------------------------------------------------


class Slow:
    """Digests that wait for an event."""

    def __init__(self):
        self.begun = 0
        self.go = threading.Event()
        self.error = None

    def read(self, path, algo, *, on_progress):
        self.begun += 1
        on_progress(1, 2)
        assert self.go.wait(60)
        if self.error:
            raise self.error
        return checksums.Checksum(algo, 'a' * 64)


def test_nobody_waits_longer_than_they_say():
    slow = Slow()
    ended = threading.Event()
    readings = file_digests.Readings(slow, lambda *_found: ended.set())
    begun = time.monotonic()
    for _ in range(3):
        with pytest.raises(file_digests.BeingRead, match='50 % so far'):
            readings.get('/x', seconds=0.05)
    assert time.monotonic() - begun < 50
    assert slow.begun == 1
    slow.go.set()
    assert ended.wait(60)
    assert str(readings.get('/x', seconds=60)) == 'sha256:' + 'a' * 64


def test_many_who_ask_at_once_have_it_read_once():
    slow = Slow()
    readings = file_digests.Readings(slow)
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(readings.get('/x', seconds=60))
        )
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    slow.go.set()
    for thread in threads:
        thread.join()
    assert len(found) == 10 and slow.begun == 1


def test_an_error_is_everybodys_and_then_forgotten():
    slow = Slow()
    slow.go.set()
    slow.error = FileNotFoundError(2, 'no such file')
    readings = file_digests.Readings(slow)
    with pytest.raises(FileNotFoundError):
        readings.get('/x', seconds=60)
    slow.error = None
    assert readings.get('/x', seconds=60)
