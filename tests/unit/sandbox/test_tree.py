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
import contextlib
import os
import socket

import pytest

from imagebuild.sandbox import tree
from tests.contract import handle_contract


@pytest.fixture
def root(tmp_path):
    """A guest's root, with a host around it that must not be reached."""
    (tmp_path / 'outside').write_text('of the host')
    (tmp_path / 'root').mkdir()
    return tmp_path / 'root'


@pytest.fixture
def handle(root):
    descriptor = os.open(root, os.O_RDONLY)
    yield tree.Tree(descriptor)
    os.close(descriptor)


class TestTree(handle_contract.InsideContract):
    can_own = os.geteuid() == 0

    @pytest.fixture
    def handle(self, handle):
        return handle

    @pytest.fixture(autouse=True)
    def _keep_root(self, root):
        self.root = root

    def make_fifo(self, handle, path):
        os.mkfifo(f'{self.root}{path}')


OPERATIONS = {
    'read_file': (),
    'pread': (10, 0),
    'write': (b'x',),
    'write_append': (b'x',),
    'filesize': (),
    'statns': (),
    'touch': (),
    'realpath': (),
}


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize(
    'target', ['../outside', '/../outside', '../../../../outside']
)
def test_no_link_leads_out(root, handle, name, target):
    os.symlink(target, root / 'link')
    with pytest.raises(RuntimeError) as caught:
        getattr(handle, name)('/link', *OPERATIONS[name])
        # What writes through a link to nothing makes it inside.
        raise RuntimeError('inside')
    assert '\n' not in str(caught.value)
    outside = root.parent / 'outside'
    assert outside.read_text() == 'of the host'
    assert handle.exists('/outside') == (str(caught.value) == 'inside')


def test_no_directory_leads_out(root, handle):
    os.symlink('../..', root / 'up')
    name = root.parent.parent.name
    with pytest.raises(RuntimeError):
        handle.mkdir_mode(f'/up/{name}/new', 0o755)
    handle.rm_f(f'/up/{root.parent.name}/outside')
    handle.write('/up/made', b'')
    assert (root / 'made').exists()
    assert (root.parent / 'outside').exists()
    for method in (handle.rm, handle.rm_rf, handle.rm_f):
        for path in ('/', '/..', '/.', '/up/..'):
            with pytest.raises(RuntimeError):
                method(path)


def test_magic_links_are_not_followed(root, handle):
    """A guest's tree may have the host's /proc in it, or a link to it."""
    with open(root.parent / 'outside') as opened:
        os.symlink(f'/proc/self/fd/{opened.fileno()}', root / 'link')
        with pytest.raises(RuntimeError):
            handle.read_file('/link')


@pytest.fixture(params=['fifo', 'socket', 'directory', 'link'])
def no_file(request, root):
    """Something that is no regular file, at /it."""
    path = root / 'it'
    match request.param:
        case 'fifo':
            os.mkfifo(path)
        case 'socket':
            made = socket.socket(socket.AF_UNIX)
            with contextlib.chdir(root):
                made.bind('it')
            made.close()
        case 'directory':
            path.mkdir()
        case 'link':
            os.symlink('it', path)
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    'name', ['read_file', 'pread', 'write', 'write_append']
)
def test_only_files_are_opened(monkeypatch, no_file, handle, name):
    monkeypatch.chdir(no_file.parent)
    with pytest.raises(RuntimeError, match="'/it'"):
        getattr(handle, name)('/it', *OPERATIONS[name])
    assert os.path.lexists(no_file)


@pytest.mark.timeout(60)
def test_a_fifo_with_both_ends_open_is_no_file_either(root, handle):
    os.mkfifo(root / 'it')
    end = os.open(root / 'it', os.O_RDWR)
    with pytest.raises(RuntimeError, match='not a regular file'):
        handle.write('/it', b'x')
    with pytest.raises(RuntimeError, match='not a regular file'):
        handle.read_file('/it')
    os.close(end)


def test_a_huge_file_is_not_read_whole(root, handle):
    with open(root / 'huge', 'wb') as huge:
        huge.truncate(2**40)
    with pytest.raises(RuntimeError, match='too large'):
        handle.read_file('/huge')
    assert handle.filesize('/huge') == 2**40
    assert handle.pread('/huge', 10, 2**40 - 3) == b'\0\0\0'
    assert len(handle.pread('/huge', 2**40, 0)) == 4 * 1024 * 1024


def test_a_deep_directory_is_removed(root, handle):
    depth = 3000
    (root / 'top').mkdir()
    here = os.open(root / 'top', os.O_RDONLY)
    for number in range(depth):
        os.mkdir('d', dir_fd=here)
        os.close(os.open(f'f{number}', os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open('d', os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    os.symlink('../outside', root / 'top' / 'link')
    handle.rm_rf('/top')
    assert os.listdir(root) == []
    assert (root.parent / 'outside').exists()


def test_names_that_are_no_text(root, handle):
    os.mkdir(os.fsencode(root / 'dir') + b'\xff')
    os.symlink(b'dir\xff', root / 'link')
    with pytest.raises(UnicodeDecodeError):
        handle.readlink('/link')
    with pytest.raises(UnicodeDecodeError):
        handle.realpath('/link')
    with pytest.raises(UnicodeDecodeError):
        handle.glob_expand('/d*')
    assert handle.glob_expand('/l*') == ['/link']
    handle.write('/link/file', b'x')
    assert handle.read_file('/link/file') == b'x'


@pytest.mark.parametrize('path', ['relative', '', '/nul\0'])
def test_what_is_no_path(handle, path):
    for name in ('is_file', 'read_file', 'rm_f', 'exists'):
        with pytest.raises(RuntimeError):
            getattr(handle, name)(path)


def test_nothing_is_mounted():
    nothing = tree.Tree(None)
    for ask in (nothing.is_file, nothing.exists, nothing.read_file):
        with pytest.raises(RuntimeError):
            ask('/etc/passwd')
