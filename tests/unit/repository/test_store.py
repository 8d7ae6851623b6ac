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
"""What is put into the repository, and what comes out of it."""

import errno
import hashlib
import json
import os
import pathlib
import stat
import uuid

import pytest

from imagebuild import exception
from imagebuild import repository as kit
from imagebuild.common import checksums
from imagebuild.repository import intake
from imagebuild.repository import store as stores
from tests.unit.repository.conftest import facts
from tests.unit.repository.conftest import file_of


def everything(directory):
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob('*')
    )


def test_an_image_is_moved_and_found_again(make, image):
    path = image()
    content, inode = path.read_bytes(), path.stat().st_ino
    made = make().put(path, facts())
    assert not path.exists()
    again = make()
    assert again.get(made.id) == made
    assert again.list_artifacts() == [made]
    assert made.status == kit.PRESENT
    assert made.checksum == checksums.Checksum(
        'sha512', hashlib.sha512(content).hexdigest()
    )
    with again.hold(made.id) as held:
        assert held.artifact == made
        assert held.path.read_bytes() == content
        assert held.path.stat().st_ino == inode


def test_nobody_else_sees_it(make, image):
    repository = make()
    path = image()
    path.chmod(0o644)
    directory = repository.directory_of(repository.put(path, facts()).id)
    for each in (repository.directory, directory.parent, directory):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700
    for each in directory.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_known_checksum_is_believed(make, image, monkeypatch):
    """The file is not read again."""
    repository, path = make(), image()
    known = checksums.compute(path, ['sha256'])
    monkeypatch.setattr(checksums, 'compute', None)
    made = repository.put(path, facts(checksums=known))
    assert made.checksum == checksums.Checksum('sha256', known['sha256'])


def test_on_another_file_system_it_is_copied(make, image, monkeypatch):
    monkeypatch.setattr(intake, '_can_move', lambda *_: False)
    path = image()
    content = path.read_bytes()
    repository = make()
    made = repository.put(path, facts())
    assert not path.exists()
    assert file_of(repository, made.id).read_bytes() == content


def test_a_file_with_a_second_name_is_copied(make, image):
    """Who has the other name could change what is in the repository."""
    path = image()
    other = path.with_name('other')
    os.link(path, other)
    repository = make()
    made = repository.put(path, facts())
    other.write_bytes(b'something else')
    with repository.hold(made.id) as held:
        assert held.path.stat().st_nlink == 1


def test_a_copy_needs_room(make, image, monkeypatch):
    monkeypatch.setattr(intake, '_can_move', lambda *_: False)
    path = image()
    repository = make(reserve=2**62)
    with pytest.raises(exception.NoSpace):
        repository.put(path, facts())
    assert path.exists()
    assert everything(repository.directory) == ['artifacts', 'id', 'incoming']


@pytest.mark.parametrize('where', ['write', 'rename', 'flush'])
@pytest.mark.parametrize('copied', [True, False])
def test_a_full_disk_leaves_the_file(make, image, monkeypatch, where, copied):
    """Whatever fails: the file is where it was, or in the repository."""
    if copied:
        monkeypatch.setattr(intake, '_can_move', lambda *_: False)
    repository, path = make(), image()
    content = path.read_bytes()

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, 'No space left on device')

    real = os.rename

    def rename(source, target):
        if pathlib.Path(target).parent.name == 'artifacts':
            full()
        real(source, target)

    if where == 'write':
        monkeypatch.setattr(intake.described_files, 'write', full)
    elif where == 'rename':
        monkeypatch.setattr(stores.os, 'rename', rename)
    else:
        monkeypatch.setattr(intake.convert, 'flush', full)
    with pytest.raises(exception.DiskFull):
        repository.put(path, facts())
    assert path.read_bytes() == content
    assert everything(repository.directory) == ['artifacts', 'id', 'incoming']
    monkeypatch.undo()
    assert repository.put(path, facts()).status == kit.PRESENT


def test_an_id_of_the_caller_s_finds_it_again(make, image):
    repository, id = make(), str(uuid.uuid4())
    path = image()
    made = repository.put(path, facts(), id=id)
    assert made.id == id
    assert repository.put(path, facts(), id=id) == made
    with pytest.raises(exception.Conflict):
        repository.put(image(), facts('b2'), id=id)
    assert repository.list_artifacts() == [made]


def test_an_id_is_used_again_when_its_file_is_of_no_use(make, image):
    repository, id = make(), str(uuid.uuid4())
    repository.put(image(), facts(), id=id)
    file_of(repository, id).unlink()
    path = image()
    content = path.read_bytes()
    repository.put(path, facts(), id=id)
    assert file_of(repository, id).read_bytes() == content


@pytest.mark.parametrize('what', ['link', 'directory', 'fifo'])
def test_only_files_are_taken(make, image, tmp_path, what):
    """A job that was taken over gives no way to other files."""
    path = tmp_path / 'given'
    if what == 'link':
        path.symlink_to(image())
    elif what == 'directory':
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(exception.InvalidImage, match='not a regular file'):
        make().put(path, facts())


def test_what_is_in_use_stays(make, image):
    repository = make()
    made = repository.put(image(), facts())
    other = make()
    with repository.hold(made.id), repository.hold(made.id):
        assert not other.remove(made.id)
    assert other.remove(made.id)
    assert other.remove(made.id)
    assert everything(repository.directory) == ['artifacts', 'id', 'incoming']
    with (
        pytest.raises(exception.ArtifactUnusable, match='not there'),
        repository.hold(made.id),
    ):
        pass


def test_it_is_removed_only_with_leave(make, image):
    repository = make()
    made = repository.put(image(), facts())
    assert not repository.remove(made.id, lambda: False)
    with repository.hold(made.id):
        pass
    with pytest.raises(ZeroDivisionError):
        repository.remove(made.id, lambda: bool(1 / 0))
    assert repository.remove(made.id)


@pytest.mark.parametrize(
    'id', ['', '..', '../incoming', 'x' * 300, str(uuid.uuid4()).upper(), 'a']
)
def test_only_ids_are_ids(make, id):
    repository = make()
    assert repository.get(id) is None
    with pytest.raises(exception.ArtifactUnusable), repository.hold(id):
        pass
    with pytest.raises(exception.ArtifactUnusable):
        repository.remove(id)


# -- by hand ----------------------------------------------------------------


def test_a_file_that_is_gone_is_lost(make, image):
    repository = make()
    made = repository.put(image(), facts())
    file_of(repository, made.id).unlink()
    assert repository.get(made.id).status == kit.LOST
    with (
        pytest.raises(exception.ArtifactUnusable, match='its file is gone'),
        repository.hold(made.id),
    ):
        pass


def test_a_file_that_was_changed_is_never_served(make, image):
    repository = make()
    made = repository.put(image(), facts())
    with file_of(repository, made.id).open('r+b') as file:
        file.write(b'changed')
    with (
        pytest.raises(exception.ArtifactUnusable, match='another sha512'),
        repository.hold(made.id),
    ):
        pass
    # By no other process either, which reads nothing.
    assert make().get(made.id).status == kit.CORRUPT


def test_a_file_that_was_only_touched_is_served(make, image):
    repository = make()
    made = repository.put(image(), facts())
    os.utime(file_of(repository, made.id), (1, 1))
    with repository.hold(made.id) as held:
        assert held.artifact.stamp != made.stamp
    assert repository.get(made.id) == held.artifact


def test_another_size_is_corrupt_without_reading(make, image):
    repository = make()
    made = repository.put(image(), facts())
    with file_of(repository, made.id).open('ab') as file:
        file.write(b'more')
    assert 'bytes, not 65536' in repository.get(made.id).reason


@pytest.mark.parametrize(
    'text', ['', '{', '[]', '{"digest": 1}', 'changed', 'null', 'other']
)
def test_a_description_that_was_changed_is_none(make, image, text):
    repository = make()
    made = repository.put(image(), facts())
    path = repository.directory_of(made.id) / 'artifact.json'
    if text == 'changed':
        values = json.loads(path.read_text())
        text = json.dumps({**values, 'size': 1})
    elif text == 'other':
        other = repository.put(image(), facts())
        text = (
            repository.directory_of(other.id) / 'artifact.json'
        ).read_text()
    path.write_text(text)
    assert repository.get(made.id) is None
    assert repository.unreadable() == [repository.directory_of(made.id)]
    repository.remove_unreadable()
    assert repository.unreadable() == []


def test_a_lock_that_is_gone_is_made_again(make, image):
    repository = make()
    made = repository.put(image(), facts())
    (repository.directory_of(made.id) / 'lock').unlink()
    with repository.hold(made.id):
        assert not make().remove(made.id)


def test_a_link_in_place_of_a_file_is_corrupt(make, image):
    repository = make()
    made = repository.put(image(), facts())
    path = file_of(repository, made.id)
    other = image()
    os.replace(path, other)
    path.symlink_to(other)
    assert repository.get(made.id).status == kit.CORRUPT
    [found] = kit.verify(repository).artifacts
    assert found.status == kit.CORRUPT


def test_what_does_not_belong_there_is_removed(make, image, tmp_path):
    repository = make()
    made = repository.put(image(), facts())
    artifacts = repository.directory / 'artifacts'
    victim = tmp_path / 'victim'
    victim.mkdir()
    (victim / 'file').touch()
    (artifacts / 'file').touch()
    (artifacts / 'directory').mkdir()
    (artifacts / str(uuid.uuid4())).symlink_to(victim)
    (repository.incoming / 'link').symlink_to(victim)
    assert repository.list_artifacts() == [made]
    repository.remove_unreadable()
    assert [path.name for path in artifacts.iterdir()] == [made.id]
    assert (victim / 'file').exists()


def test_a_disk_that_cannot_be_read(make, image, monkeypatch):
    """It will not pass: another conductor may have the image."""
    repository = make()
    made = repository.put(image(), facts())
    os.utime(file_of(repository, made.id), (1, 1))

    def broken(*_args, **_more):
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(checksums, 'compute', broken)
    with (
        pytest.raises(exception.ArtifactUnusable, match='cannot be read'),
        repository.hold(made.id),
    ):
        pass


def test_what_cannot_be_marked_is_remembered(make, image, monkeypatch):
    """Such as on a file system that can only be read."""
    repository = make()
    made = repository.put(image(), facts())
    with file_of(repository, made.id).open('r+b') as file:
        file.write(b'changed')

    def read_only(*_args):
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(intake.described_files, 'replace', read_only)
    assert kit.register(repository).of(kit.CORRUPT)
    assert repository.get(made.id).status == kit.CORRUPT


# -- the directory ----------------------------------------------------------


def test_all_who_open_a_directory_know_it_by_its_id(make, tmp_path):
    first = make()
    assert make().id == first.id
    assert make('others').id != first.id
    (tmp_path / 'link').symlink_to(first.directory)
    assert make('link').id == first.id
    os.rename(first.directory, tmp_path / 'moved')
    assert make('moved').id == first.id


@pytest.mark.parametrize('text', ['', 'mine', '../../etc', 'x' * 100])
def test_a_directory_without_an_id_is_not_guessed_at(make, text):
    repository = make()
    (repository.directory / 'id').write_text(text)
    with pytest.raises(exception.InvalidInput, match='does not hold the id'):
        make()


def test_a_directory_of_somebody_else_s_is_refused(make, monkeypatch):
    directory = make().directory
    directory.chmod(0o770)
    with pytest.raises(exception.InvalidInput, match='nobody else'):
        make()
    directory.chmod(0o700)
    monkeypatch.setattr(os, 'geteuid', lambda: 12345)
    with pytest.raises(exception.InvalidInput, match='belong to you'):
        make()


def test_a_link_of_somebody_else_s_is_not_followed(make, tmp_path):
    """Who made it would choose which of our directories is used."""
    directory = make().directory
    link = tmp_path / 'planted'
    link.symlink_to(directory)
    os.lchown(link, 12345, 12345)
    with pytest.raises(exception.InvalidInput, match='belong to you'):
        make('planted')


def test_a_file_is_no_directory(make, tmp_path):
    (tmp_path / 'images').touch()
    with pytest.raises(exception.InvalidInput, match='not a directory'):
        make()


def test_a_directory_that_vanishes_is_an_error(make, image):
    """Never an empty list: all images would be taken for lost."""
    repository = make()
    repository.put(image(), facts())
    os.rename(repository.directory, repository.directory.with_name('away'))
    with pytest.raises(exception.EnvironmentFault):
        repository.list_artifacts()
    with pytest.raises(exception.EnvironmentFault):
        kit.register(repository)
    with pytest.raises(exception.EnvironmentFault):
        kit.bound(repository)
