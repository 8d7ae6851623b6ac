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
"""Descriptions that are known to be whole."""

import stat

import pytest

from imagebuild.common import described_files


def test_what_was_written_is_read():
    values = {'a': [1, 'x'], 'b': None}
    text = described_files.dump(values, 1).encode()
    assert described_files.parse(text, 1) == values
    with pytest.raises(described_files.Damaged):
        described_files.parse(text, 2)


@pytest.mark.parametrize('end', range(0, 80, 7))
def test_what_was_cut_off_is_damaged(end):
    text = described_files.dump({'a': 1}, 1).encode()
    with pytest.raises(described_files.Damaged):
        described_files.parse(text[:end], 1)


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    described_files.replace(path, b'one')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def full(*_args):
        raise OSError

    monkeypatch.setattr(described_files.os, 'fsync', full)
    with pytest.raises(OSError):
        described_files.replace(path, b'two')
    assert path.read_bytes() == b'one'
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_there_is_not_written_to(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(FileExistsError):
        described_files.write(tmp_path / 'link', b'x')
