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
import os

import pytest

from imagebuild.common import own_files


@pytest.fixture
def path(tmp_path):
    (tmp_path / 'images').mkdir(mode=0o755)
    found = tmp_path / 'images' / 'base'
    found.write_bytes(b'x')
    found.chmod(0o644)
    return found


def test_an_own_file(path):
    assert own_files.is_own(path)


@pytest.mark.parametrize('mode', [0o664, 0o646, 0o1666])
def test_others_can_write_to_it(path, mode):
    path.chmod(mode)
    assert not own_files.is_own(path)


@pytest.mark.parametrize('mode, own', [(0o777, False), (0o1777, True)])
def test_others_can_replace_it(path, mode, own):
    path.parent.chmod(mode)
    assert own_files.is_own(path) is own


def test_others_can_replace_what_it_lies_in(path):
    path.parent.parent.chmod(0o777)
    assert not own_files.is_own(path)


@pytest.mark.parametrize('target', ['images/base', 'images/../images/base'])
def test_a_link(path, tmp_path, target):
    link = tmp_path / 'link'
    link.symlink_to(target)
    assert own_files.is_own(link)
    path.parent.chmod(0o777)
    assert not own_files.is_own(link)


def test_a_link_in_a_directory_of_others(path, tmp_path):
    shared = tmp_path / 'shared'
    shared.mkdir()
    link = shared / 'link'
    link.symlink_to(path)
    shared.chmod(0o777)
    assert not own_files.is_own(link)


def test_links_without_end(tmp_path):
    (tmp_path / 'a').symlink_to('a')
    assert not own_files.is_own(tmp_path / 'a')


def test_a_file_that_is_not_there(tmp_path):
    assert not own_files.is_own(tmp_path / 'a')


@pytest.mark.parametrize('what', ['file', 'link', 'directory'])
def test_it_belongs_to_another(path, tmp_path, what, monkeypatch):
    link = tmp_path / 'link'
    link.symlink_to(path)
    assert own_files.is_own(link)
    given = {'file': path, 'link': link, 'directory': path.parent}[what]
    # Only root can give it away, so it is told to be another's.
    real = os.lstat

    def lstat(looked_at):
        status = real(looked_at)
        if os.fspath(looked_at) != os.fspath(given):
            return status
        stranger = os.geteuid() + 1
        return os.stat_result((*status[:4], stranger, *status[5:]))

    monkeypatch.setattr(own_files.os, 'lstat', lstat)
    assert not own_files.is_own(link)
