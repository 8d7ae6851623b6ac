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

import logging

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
