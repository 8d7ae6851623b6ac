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

import errno
import logging
import os

import pytest

from imagebuild.common import locked_directory


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'directory'
    path.mkdir()
    return path


def take(path):
    return locked_directory.LockedDirectory.take(path)


def names(path):
    return sorted(each.name for each in path.iterdir())


def test_one_owner(path):
    owner = take(path)
    assert take(path) is None
    owner.remove()
    assert not path.exists()
    assert take(path) is None


def test_a_file_is_written_whole(path):
    owner = take(path)
    owner.write('notes', 'one')
    owner.write('notes', 'two')
    assert (path / 'notes').read_text() == 'two'
    assert names(path) == ['lock', 'notes']
    owner.remove()


def test_all_of_it_is_removed(path, tmp_path):
    (tmp_path / 'precious').mkdir()
    owner = take(path)
    (path / 'tree' / 'more').mkdir(parents=True)
    (path / 'link').symlink_to(tmp_path / 'precious')
    seen = []
    owner.remove(lambda cleared: seen.append(names(cleared)))
    assert seen == [['link', 'lock', 'tree']]
    assert names(tmp_path) == ['precious']


def test_the_lock_goes_when_it_cannot_be_removed(path):
    def refuse(_path):
        raise PermissionError('no')

    owner = take(path)
    with pytest.raises(PermissionError):
        owner.remove(refuse)
    assert names(path) == ['lock']
    assert take(path) is not None


def test_a_sweep_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    paths = [tmp_path / name for name in ('held', 'bad', 'left', 'gone')]
    for path in paths[:3]:
        path.mkdir()
    owner = take(paths[0])

    def clear(path):
        if path.name == 'bad':
            raise PermissionError('no')

    assert locked_directory.sweep(paths, clear, left_by='a test') == [paths[2]]
    assert names(tmp_path) == ['bad', 'held']
    assert 'bad cannot be removed: no' in caplog.text
    assert 'left, left by a test' in caplog.text
    owner.remove()


def test_users_keep_owners_away(path):
    assert locked_directory.SharedDirectory.use(path) is None
    take(path).give()  # makes the lock, and is never let go: held
    assert locked_directory.SharedDirectory.use(path) is None


def test_several_use_it(path):
    use = locked_directory.SharedDirectory.use
    users = [use(path, create=True), use(path)]
    for user in users:
        assert take(path) is None
        user.release()
        user.release()
    assert take(path) is not None
    assert use(path.with_name('nothing'), create=True) is None


def test_its_maker_becomes_a_user(path):
    lock = take(path).give()
    user = locked_directory.SharedDirectory.of_maker(path, lock)
    assert locked_directory.SharedDirectory.use(path) is not None
    user.release()


def test_a_file_system_that_can_only_be_read(path, monkeypatch):
    """It can be used; when it was used last is not noted."""
    locked_directory.SharedDirectory.use(path, create=True).release()
    real = os.open

    def read_only(name, flags, *mode):
        if flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, 'Read-only file system')
        return real(name, flags, *mode)

    def refuse(_what):
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(locked_directory.os, 'open', read_only)
    monkeypatch.setattr(locked_directory.os, 'utime', refuse)
    user = locked_directory.SharedDirectory.use(path, create=True)
    user.touch()
    user.release()
