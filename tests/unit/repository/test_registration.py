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
"""What is there at the start of a conductor."""

import os

import pytest

from imagebuild import repository as kit
from imagebuild.common import checksums
from tests.unit.repository.conftest import facts
from tests.unit.repository.conftest import file_of


def test_untouched_files_are_not_read(make, image, monkeypatch):
    repository = make()
    made = [repository.put(image(), facts()) for _ in range(3)]
    monkeypatch.setattr(checksums, 'compute', None)
    found = kit.register(make())
    assert list(found.artifacts) == made
    assert found.complete


def test_touched_files_are_read_once(make, image, monkeypatch):
    repository = make()
    made = repository.put(image(), facts())
    os.utime(file_of(repository, made.id), (1, 1))
    [found] = kit.register(repository).artifacts
    assert found.status == kit.PRESENT
    monkeypatch.setattr(checksums, 'compute', None)
    assert kit.register(make()).artifacts == (found,)


def test_lost_and_corrupt_ones_are_told_apart(make, image):
    repository = make()
    good, lost, cut, changed = (
        repository.put(image(), facts()) for _ in range(4)
    )
    file_of(repository, lost.id).unlink()
    os.truncate(file_of(repository, cut.id), 10)
    with file_of(repository, changed.id).open('r+b') as file:
        file.write(b'changed')
    found = kit.register(repository)
    assert found.of(kit.PRESENT) == (good,)
    assert [each.id for each in found.of(kit.LOST)] == [lost.id]
    assert [each.id for each in found.of(kit.CORRUPT)] == [cut.id, changed.id]
    assert all(each.reason for each in found.of(kit.CORRUPT))


def test_only_a_full_check_finds_what_the_disk_did(make, image):
    repository = make()
    made = repository.put(image(), facts())
    path = file_of(repository, made.id)
    status = path.stat()
    with path.open('r+b') as file:
        file.write(b'changed')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert kit.register(repository).of(kit.PRESENT)
    assert kit.verify(repository).of(kit.CORRUPT)
    assert kit.register(make()).of(kit.CORRUPT)


def test_a_file_that_was_repaired_is_good_again(make, image):
    repository = make()
    made = repository.put(image(), facts())
    path = file_of(repository, made.id)
    content = path.read_bytes()
    path.write_bytes(b'changed')
    assert kit.verify(repository).of(kit.CORRUPT)
    path.write_bytes(content)
    assert kit.verify(repository).of(kit.PRESENT)
    with make().hold(made.id):
        pass


def test_what_was_checked_longest_ago_comes_first(make, image, monkeypatch):
    repository = make()
    made = [repository.put(image(), facts()) for _ in range(3)]
    kit.verify(repository, [made[0].id])
    found = kit.verify(repository).artifacts
    assert [each.id for each in found] == [
        made[1].id, made[2].id, made[0].id,
    ]  # fmt: skip
    assert not kit.verify(repository, not_since=1).artifacts


def test_reading_is_slow_enough_and_can_be_stopped(make, image):
    repository = make()
    for _ in range(4):
        repository.put(image(), facts())
    waited = []

    def stop(seconds):
        waited.append(seconds)
        return len(waited) == 3

    found = kit.verify(repository, bytes_per_second=65536, stop=stop)
    assert not found.complete
    assert len(found.artifacts) == 2
    # 64 KiB each; nothing has really waited, so the debt adds up.
    assert waited == pytest.approx([1, 2, 3], abs=0.5)


def test_what_is_removed_meanwhile_is_not_lost(make, image, monkeypatch):
    repository = make()
    made = repository.put(image(), facts())
    real = repository.checker.check

    def check(directory, artifact, **options):
        repository.remove(made.id)
        return real(directory, artifact, **options)

    monkeypatch.setattr(repository.checker, 'check', check)
    assert kit.register(repository).artifacts == ()
