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
"""The text of imagebuild/remotes/guest_handle.py as tests.

A module that has a GuestHandle makes it pass them like this::

    class TestMyHandle(handle_contract.HandleContract):
        @pytest.fixture
        def handle(self): ...

Only a directory of its own, :data:`PLACE`, is written to.
"""

import stat

import pytest

PLACE = '/srv/handle'
FILE = f'{PLACE}/file'
LINK = f'{PLACE}/link'
NOTHING = f'{PLACE}/nothing'
FIFO = f'{PLACE}/fifo'
LABEL = 'security.selinux'


class HandleContract:
    """What every GuestHandle does. Subclasses provide ``handle``.

    :cvar can_own: whether it may give files to others, and labels.
    """

    can_own = True

    @pytest.fixture(autouse=True)
    def place(self, handle):
        handle.rm_rf(PLACE)
        if not handle.is_dir('/srv'):
            handle.mkdir_mode('/srv', 0o755)
        handle.mkdir_mode(PLACE, 0o755)
        handle.write(FILE, b'content')
        yield
        handle.rm_rf(PLACE)

    def make_fifo(self, handle, path):
        """Make a FIFO; libguestfs' own call by default."""
        handle.mkfifo(0o666, path)

    # -- questions ----------------------------------------------------------

    @pytest.mark.parametrize(
        ('target', 'kinds'),
        [
            # exists, is_file, is_dir, is_symlink, then the two followed
            (None, (False, False, False, False, False, False)),
            ('file', (True, False, False, True, True, False)),
            (FILE, (True, False, False, True, True, False)),
            ('.', (True, False, False, True, False, True)),
            ('nothing', (True, False, False, True, False, False)),
            ('../../../../../../..', (True, False, False, True, False, True)),
        ],
    )
    def test_a_link_is_what_it_is(self, handle, target, kinds):
        if target:
            handle.ln_s(target, LINK)
        assert kinds == (
            handle.exists(LINK),
            handle.is_file(LINK),
            handle.is_dir(LINK),
            handle.is_symlink(LINK),
            handle.is_file(LINK, followsymlinks=True),
            handle.is_dir(LINK, followsymlinks=True),
        )

    def test_files_and_directories(self, handle):
        assert handle.is_file(FILE)
        assert not handle.is_dir(FILE)
        assert handle.is_dir(PLACE)
        assert handle.exists('/')
        assert handle.is_dir('/')

    @pytest.mark.parametrize('below', [FILE, NOTHING])
    def test_no_way_there(self, handle, below):
        path = f'{below}/x/y'
        assert not handle.exists(path)
        assert not handle.is_file(path, followsymlinks=True)
        assert not handle.is_dir(path, followsymlinks=True)
        assert not handle.is_symlink(path)
        for call in (handle.statns, handle.readlink, handle.realpath):
            with pytest.raises(RuntimeError):
                call(path)

    def test_a_fifo_is_no_file(self, handle):
        self.make_fifo(handle, FIFO)
        assert handle.exists(FIFO)
        assert not handle.is_file(FIFO, followsymlinks=True)
        assert not handle.is_dir(FIFO, followsymlinks=True)
        assert stat.S_ISFIFO(handle.statns(FIFO)['st_mode'])

    def test_links_that_never_end(self, handle):
        handle.ln_s('link', LINK)
        assert handle.exists(LINK)
        assert handle.is_symlink(LINK)
        assert not handle.is_file(LINK)
        for call in (
            handle.statns,
            handle.realpath,
            lambda path: handle.is_file(path, followsymlinks=True),
            lambda path: handle.read_file(path),
        ):
            with pytest.raises(RuntimeError):
                call(LINK)

    def test_status(self, handle):
        handle.ln_s(FILE, LINK)
        own, followed = handle.lstatns(LINK), handle.statns(LINK)
        assert stat.S_ISLNK(own['st_mode'])
        assert followed == handle.lstatns(FILE)
        assert followed['st_mode'] == stat.S_IFREG | 0o644
        assert followed['st_size'] == handle.filesize(LINK) == 7
        assert own['st_ino'] != followed['st_ino']
        assert followed['st_mtime_sec'] > 1_500_000_000
        assert 0 <= followed['st_mtime_nsec'] < 1_000_000_000

    def test_where_a_link_leads(self, handle):
        handle.ln_s('../../srv/./handle//file', LINK)
        assert handle.readlink(LINK) == '../../srv/./handle//file'
        assert handle.realpath(LINK) == FILE
        assert handle.realpath('/../..' + PLACE + '/.') == PLACE
        for path in (FILE, NOTHING):
            with pytest.raises(RuntimeError):
                handle.readlink(path)

    def test_patterns(self, handle):
        for name in ('b.conf', 'a.conf', '.c.conf', 'd'):
            handle.write(f'{PLACE}/{name}', b'')
        handle.mkdir_mode(f'{PLACE}/e.conf', 0o755)
        handle.ln_s('nothing', f'{PLACE}/f.conf')

        def found(pattern):
            return handle.glob_expand(
                f'{PLACE}/{pattern}', directoryslash=False
            )

        assert found('*.conf') == [
            f'{PLACE}/{name}.conf' for name in ('a', 'b', 'e', 'f')
        ]
        assert found('.*conf') == [f'{PLACE}/.c.conf']
        assert found('*none*') == []

    # -- content ------------------------------------------------------------

    def test_pieces(self, handle):
        assert handle.read_file(FILE) == b'content'
        assert handle.pread(FILE, 3, 2) == b'nte'
        assert handle.pread(FILE, 1_000_000, 5) == b'nt'
        assert handle.pread(FILE, 10, 7) == b''
        assert handle.pread(FILE, 10, 1000) == b''

    def test_all_bytes(self, handle):
        content = bytes(range(256)) * 12_000
        handle.write(FILE, content)
        assert handle.read_file(FILE) == content
        handle.write(FILE, b'')
        assert handle.read_file(FILE) == b''

    def test_written_again(self, handle):
        handle.chmod(0o640, FILE)
        before = handle.statns(FILE)
        handle.ln_s('file', LINK)
        handle.write(LINK, b'x')
        handle.write_append(LINK, b'yz')
        after = handle.statns(FILE)
        assert handle.read_file(FILE) == b'xyz'
        assert handle.is_symlink(LINK)
        assert after['st_ino'] == before['st_ino']
        assert after['st_mode'] == before['st_mode']

    def test_append_makes(self, handle):
        handle.write_append(NOTHING, b'x')
        assert handle.read_file(NOTHING) == b'x'

    @pytest.mark.parametrize('path', [PLACE, f'{NOTHING}/x', f'{FILE}/x'])
    def test_cannot_be_written(self, handle, path):
        with pytest.raises(RuntimeError) as caught:
            handle.write(path, b'x')
        assert str(caught.value)
        with pytest.raises(RuntimeError):
            handle.write_append(path, b'x')

    @pytest.mark.parametrize('path', [PLACE, NOTHING, f'{FILE}/x'])
    def test_cannot_be_read(self, handle, path):
        with pytest.raises(RuntimeError):
            handle.read_file(path)
        with pytest.raises(RuntimeError):
            handle.pread(path, 10, 0)

    def test_touch(self, handle):
        handle.touch(NOTHING)
        assert handle.read_file(NOTHING) == b''
        handle.touch(FILE)
        assert handle.read_file(FILE) == b'content'
        with pytest.raises(RuntimeError):
            handle.touch(PLACE)

    # -- names --------------------------------------------------------------

    def test_directories(self, handle):
        handle.mkdir_mode(NOTHING, 0o700)
        assert handle.statns(NOTHING)['st_mode'] == stat.S_IFDIR | 0o700
        for path in (NOTHING, FILE, f'{FILE}/x', f'{PLACE}/no/such'):
            with pytest.raises(RuntimeError):
                handle.mkdir_mode(path, 0o755)

    def test_a_link_where_something_is(self, handle):
        with pytest.raises(RuntimeError):
            handle.ln_s('x', FILE)
        assert handle.read_file(FILE) == b'content'

    def test_rename(self, handle):
        handle.ln_s('nothing', LINK)
        handle.rename(LINK, FILE)
        assert handle.readlink(FILE) == 'nothing'
        assert not handle.exists(LINK)
        with pytest.raises(RuntimeError):
            handle.rename(LINK, FILE)

    def test_remove(self, handle):
        handle.ln_s(FILE, LINK)
        handle.rm(LINK)
        assert handle.exists(FILE)
        self.make_fifo(handle, FIFO)
        handle.rm(FIFO)
        handle.rm(FILE)
        for path in (FILE, PLACE):
            with pytest.raises(RuntimeError):
                handle.rm(path)

    def test_remove_if_there(self, handle):
        handle.ln_s(FILE, LINK)
        handle.rm_f(LINK)
        handle.rm_f(FILE)
        handle.rm_f(FILE)
        handle.rm_f(f'{NOTHING}/x')
        assert not handle.exists(FILE)
        with pytest.raises(RuntimeError):
            handle.rm_f(PLACE)

    def test_remove_all(self, handle):
        kept = f'{PLACE}/kept'
        gone = f'{PLACE}/gone'
        handle.mkdir_mode(kept, 0o755)
        handle.write(f'{kept}/x', b'')
        handle.mkdir_mode(gone, 0o755)
        handle.write(f'{gone}/x', b'')
        handle.ln_s(kept, f'{gone}/link')
        handle.ln_s('kept', LINK)
        for path in (gone, LINK, NOTHING, FILE):
            handle.rm_rf(path)
            assert not handle.exists(path)
        assert handle.exists(f'{kept}/x')

    def test_the_way_is_followed_inside(self, handle):
        """Whatever the link, and whatever is done at the end of it."""
        handle.mkdir_mode(f'{PLACE}/real', 0o755)
        for target in (f'{PLACE}/real', 'real', f'../../../../..{PLACE}/real'):
            handle.ln_s(target, LINK)
            handle.write(f'{LINK}/a', b'x')
            handle.chmod(0o600, f'{LINK}/a')
            handle.rename(f'{LINK}/a', f'{LINK}/b')
            handle.touch(f'{LINK}/c')
            handle.mkdir_mode(f'{LINK}/d', 0o755)
            assert handle.is_dir(f'{PLACE}/real/d')
            assert handle.read_file(f'{PLACE}/real/b') == b'x'
            assert handle.realpath(f'{LINK}/c') == f'{PLACE}/real/c'
            shown = handle.glob_expand(f'{LINK}/[a-c]', directoryslash=False)
            assert shown == [f'{LINK}/b', f'{LINK}/c']
            handle.rm(f'{LINK}/b')
            handle.rm_f(f'{LINK}/c')
            handle.rm_rf(f'{PLACE}/real/d')
            handle.rm(LINK)
        assert handle.glob_expand(f'{PLACE}/real/*') == []

    # -- attributes ---------------------------------------------------------

    def test_mode(self, handle):
        handle.ln_s('file', LINK)
        handle.chmod(0o6751, LINK)
        assert handle.statns(FILE)['st_mode'] == stat.S_IFREG | 0o6751
        with pytest.raises(RuntimeError):
            handle.chmod(0o644, NOTHING)

    def test_owner(self, handle):
        handle.ln_s('file', LINK)
        if not self.can_own:
            with pytest.raises(RuntimeError, match='not permitted'):
                handle.chown(1, 65534, LINK)
            return
        handle.chmod(0o6755, FILE)
        handle.chown(1, 65534, LINK)
        status = handle.statns(FILE)
        assert (status['st_uid'], status['st_gid']) == (1, 65534)
        assert status['st_mode'] == stat.S_IFREG | 0o755
        assert handle.lstatns(LINK)['st_uid'] == 0

    def test_extended_attributes(self, handle):
        """Those of a link are its own, and a FIFO has them, too."""
        handle.ln_s('file', LINK)
        self.make_fifo(handle, FIFO)
        # Only root sets those that a link or a FIFO may have.
        name = LABEL if self.can_own else 'user.label'
        own = (LINK, FIFO) if self.can_own else ()
        for number, path in enumerate((FILE, PLACE, *own)):
            label = f'system_u:object_r:ü{number}:s0'
            handle.lsetxattr(name, 'before', 6, path)
            handle.lsetxattr(name, label, len(label.encode()) + 1, path)
        for number, path in enumerate((FILE, PLACE, *own)):
            label = f'system_u:object_r:ü{number}:s0'.encode()
            found = [
                (item['attrname'], item['attrval'])
                for item in handle.lgetxattrs(path)
            ]
            assert found == [(name, label + b'\0')]
        for path in (NOTHING, f'{FILE}/x'):
            with pytest.raises(RuntimeError):
                handle.lsetxattr(LABEL, 'x', 1, path)
            with pytest.raises(RuntimeError):
                handle.lgetxattrs(path)


class FlagsContract(HandleContract):
    """Of those whose file system has the flags of chattr(1)."""

    def test_flags(self, handle):
        before = handle.get_e2attrs(FILE)
        assert 'i' not in before
        handle.set_e2attrs(FILE, 'i')
        try:
            assert 'i' in handle.get_e2attrs(FILE)
            with pytest.raises(RuntimeError):
                handle.rename(FILE, NOTHING)
        finally:
            handle.set_e2attrs(FILE, 'i', clear=True)
        assert handle.get_e2attrs(FILE) == before


class InsideContract(HandleContract):
    """Of those all of whose methods have the guest's tree as root.

    libguestfs has some that follow an absolute link outside of it.
    """

    def test_the_way_is_always_followed_inside(self, handle):
        handle.mkdir_mode(f'{PLACE}/real', 0o755)
        handle.ln_s(f'{PLACE}/real', LINK)
        handle.ln_s('x', f'{LINK}/a')
        assert handle.readlink(f'{PLACE}/real/a') == 'x'
        handle.rm_rf(f'{LINK}/a')
        assert not handle.exists(f'{PLACE}/real/a')
