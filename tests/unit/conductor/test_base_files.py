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
"""Base images that are files of this host: who may take what."""

import hashlib
import threading
import time

import pytest

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import placement
from imagebuild.common.placement import Needs
from imagebuild.conductor import base_files


@pytest.fixture(autouse=True)
def time_to_read(monkeypatch):
    """However slow this host is, a small file is read in time."""
    monkeypatch.setattr(base_files, '_SECONDS', 60)
    monkeypatch.setattr(base_files, '_LOOK_SECONDS', 60)


@pytest.fixture
def files(tmp_path):
    return base_files.BaseFiles(tmp_path / 'digests')


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'base'
    path.write_bytes(b'base')
    return str(path)


def digest(content, algo='sha256'):
    return f'{algo}:{hashlib.new(algo, content).hexdigest()}'


@pytest.mark.parametrize('algo', ['sha256', 'sha512'])
def test_the_same_file(files, path, algo):
    needs = Needs(base_path=path, base=digest(b'base', algo))
    assert files.has(needs)
    assert missing(files, needs) == []


def missing(files, needs):
    offered = placement.Capability(base_files=files.known())
    return placement.missing(needs, offered)


def test_another_file_of_that_path(files, path):
    needs = Needs(base_path=path, base=digest(b'other'))
    assert not files.has(needs)
    assert missing(files, needs) == [
        'has another file in the place of the base image'
    ]


def test_no_file(files, tmp_path):
    needs = Needs(base_path=str(tmp_path / 'none'), base=digest(b''))
    assert not files.has(needs)
    assert missing(files, needs) == [
        'does not have the file of the base image'
    ]
    with pytest.raises(exception.EnvironmentFault, match='No such file'):
        files.identity(needs.base_path)


@pytest.mark.parametrize(
    'needs', [Needs(), Needs(base='sha256:x'), Needs(base_path='/x')]
)
def test_nothing_to_look_at(files, needs):
    assert files.has(needs)
    assert files.known() == {}


def test_one_that_takes_long_wakes_when_it_was_read(files, path, monkeypatch):
    go, read = threading.Event(), threading.Event()
    compute = checksums.compute

    def slow(*args, **more):
        assert go.wait(60)
        return compute(*args, **more)

    monkeypatch.setattr(checksums, 'compute', slow)
    monkeypatch.setattr(base_files, '_LOOK_SECONDS', 0.05)
    files.on_read = read.set
    needs = Needs(base_path=path, base=digest(b'base'))
    assert not files.has(needs) and not read.is_set()
    go.set()
    assert read.wait(60)
    monkeypatch.setattr(base_files, '_LOOK_SECONDS', 60)
    read.clear()
    assert files.has(needs)
    # Else who is woken and looks would be woken for ever.
    assert not read.is_set()


def test_a_file_that_was_replaced_is_noticed(files, path, tmp_path):
    assert files.identity(path) == digest(b'base')
    (tmp_path / 'base').write_bytes(b'newer')
    files.look_again()
    deadline = time.monotonic() + 60
    while files.known()[path] != digest(b'newer'):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_not_more_than_so_many_are_remembered(files, path, monkeypatch):
    monkeypatch.setattr(base_files, '_MOST', 2)
    for number in range(4):
        files._note(f'/{number}', None)
    assert list(files.known()) == ['/2', '/3']
