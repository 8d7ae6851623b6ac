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
import dataclasses
import hashlib
import multiprocessing
import os
import pathlib
import signal
import threading
import time

import pytest

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import space
from imagebuild.disks import base_images
from imagebuild.disks import cache_files

CONTENT = bytes(range(256)) * 4096  # 1 MiB
PIECE = 65536


def checksum_of(content, algorithm='sha256'):
    return f'{algorithm}:{hashlib.new(algorithm, content).hexdigest()}'


@dataclasses.dataclass
class Source:
    offset: int
    total: int
    pieces: object

    def __iter__(self):
        return iter(self.pieces)


class Server:
    """Sends a content; can be made to fail."""

    def __init__(self, content=CONTENT, *, ranges=True, total=True):
        self.content = content
        self.ranges = ranges
        self.total = total
        self.asked = []
        self.breaks_after = None
        self.pause = 0
        self.go_on = threading.Event()
        self.go_on.set()

    @contextlib.contextmanager
    def fetch(self, offset):
        self.asked.append(offset)
        start = offset if self.ranges else 0
        total = len(self.content) if self.total else 0
        yield Source(start, total, self._pieces(start))

    def _pieces(self, start):
        sent = 0
        for at in range(start, len(self.content), PIECE):
            if self.breaks_after is not None and sent >= self.breaks_after:
                self.breaks_after = None
                raise exception.ServiceUnavailable(service='x', reason='gone')
            piece = self.content[at : at + PIECE]
            sent += len(piece)
            time.sleep(self.pause)
            assert self.go_on.wait(60)
            yield piece


@pytest.fixture
def cache(tmp_path):
    return base_images.Cache(tmp_path / 'cache')


@pytest.fixture
def server():
    return Server()


def get(cache, server, **options):
    options.setdefault('checksum', checksum_of(server.content))
    return cache.get(server.fetch, **options)


def names(cache):
    """The files of the cache, without locks."""
    return sorted(
        path.suffix
        for path in cache.directory.iterdir()
        if path.suffix != '.lock'
    )


# -- fetching ----------------------------------------------------------------


@pytest.mark.parametrize('algorithm', checksums.ALGORITHMS)
@pytest.mark.parametrize('size', [0, len(CONTENT)])
def test_fetched_once(cache, server, algorithm, size):
    for _ in range(2):
        wanted = checksum_of(CONTENT, algorithm)
        with get(cache, server, checksum=wanted, size=size) as path:
            assert path.read_bytes() == CONTENT
    assert server.asked == [0]
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o077 == 0
    assert cache.usage() == len(CONTENT)


def test_progress(cache, server):
    seen = []
    with get(cache, server, on_progress=lambda *told: seen.append(told)):
        pass
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize('total', [True, False])
@pytest.mark.parametrize('ranges', [True, False])
def test_broken_off_and_continued(cache, server, ranges, total):
    server.ranges, server.total = ranges, total
    server.breaks_after = 10 * PIECE
    with pytest.raises(exception.ServiceUnavailable), get(cache, server):
        pass
    assert names(cache) == ['.part']
    with get(cache, server) as path:
        assert path.read_bytes() == CONTENT
    assert server.asked == [0, 10 * PIECE]
    assert names(cache) == ['.image']


def test_nothing_was_missing(cache, server):
    files = cache_files.Files(
        cache.directory, checksum_of(CONTENT).replace(':', '-')
    )
    cache.directory.mkdir()
    files.part.write_bytes(CONTENT)
    with get(cache, server, size=len(CONTENT)) as path:
        assert path.read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize('length', [100, len(CONTENT), len(CONTENT) + 7])
@pytest.mark.parametrize('size', [0, len(CONTENT)])
def test_wrong_part_is_fetched_again(cache, server, length, size):
    files = cache_files.Files(
        cache.directory, checksum_of(CONTENT).replace(':', '-')
    )
    cache.directory.mkdir()
    files.part.write_bytes(b'?' * length)
    notices = []
    with get(cache, server, size=size, on_notice=notices.append) as path:
        assert path.read_bytes() == CONTENT
    assert 'downloaded again' in notices[0]


@pytest.mark.parametrize('content', [b'', CONTENT[:-1], b'x' + CONTENT[1:]])
@pytest.mark.parametrize('total', [True, False])
def test_wrong_checksum(cache, content, total):
    server = Server(content, total=total)
    with (
        pytest.raises(exception.ChecksumMismatch, match='sha256:') as caught,
        get(cache, server, checksum=checksum_of(CONTENT), what='the image x'),
    ):
        pass
    assert 'The image x' in str(caught.value)
    assert names(cache) == []


def test_wrong_size_is_not_fetched(cache, server):
    with (
        pytest.raises(
            exception.ChecksumMismatch, match='the server has 1048576'
        ),
        get(cache, server, size=17),
    ):
        pass
    assert names(cache) == []


def test_less_comes_than_was_said(cache, server):
    @contextlib.contextmanager
    def fetch(offset):
        yield Source(offset, len(CONTENT), [CONTENT[offset : offset + 5000]])

    with (
        pytest.raises(exception.ServiceUnavailable, match='5000 bytes came'),
        cache.get(fetch, checksum=checksum_of(CONTENT)),
    ):
        pass
    with get(cache, server) as path:
        assert path.read_bytes() == CONTENT
    assert server.asked == [5000]


def test_more_comes_than_was_said(cache):
    @contextlib.contextmanager
    def fetch(offset):
        yield Source(0, 100, [CONTENT])

    with (
        pytest.raises(exception.ChecksumMismatch, match='has more'),
        cache.get(fetch, checksum=checksum_of(CONTENT)),
    ):
        pass
    assert not list(cache.directory.glob('*.image'))


@pytest.mark.parametrize(
    'text',
    ['', 'abc', 'md5:' + 'a' * 32, 'sha256:', 'sha256:xyz', '../x:y']
    + ['sha256:' + 'g' * 64, 'sha512:' + 'a' * 64],
)
def test_what_is_no_checksum(cache, server, text):
    with (
        pytest.raises(exception.InvalidInput, match='is not a checksum'),
        get(cache, server, checksum=text),
    ):
        pass


def test_link_in_place_of_a_part_is_not_followed(cache, server, tmp_path):
    target = tmp_path / 'precious'
    target.write_text('precious')
    files = cache_files.Files(
        cache.directory, checksum_of(CONTENT).replace(':', '-')
    )
    cache.directory.mkdir()
    files.part.symlink_to(target)
    with pytest.raises(exception.UnwritablePath), get(cache, server):
        pass
    assert target.read_text() == 'precious'


# -- room --------------------------------------------------------------------


@pytest.fixture
def room(monkeypatch):
    """Set how many bytes are free."""

    def set_room(free):
        real = os.statvfs

        def statvfs(path):
            status = list(real(path))
            status[1] = 1  # f_frsize
            status[4] = free  # f_bavail
            return os.statvfs_result(status)

        monkeypatch.setattr(os, 'statvfs', statvfs)

    return set_room


def test_no_room(cache, server, room):
    room(len(CONTENT) - 1)
    with pytest.raises(exception.NoSpace), get(cache, server):
        pass
    assert server.asked == [0]


def test_reserve_is_left(tmp_path, server, room):
    cache = base_images.Cache(tmp_path / 'cache', reserve=1000)
    room(len(CONTENT) + 999)
    with pytest.raises(exception.NoSpace), get(cache, server):
        pass
    room(len(CONTENT) + 1000)
    with get(cache, server):
        pass


def several(number):
    return [Server(bytes([index]) * len(CONTENT)) for index in range(number)]


def test_least_recently_used_goes_first(tmp_path):
    cache = base_images.Cache(tmp_path / 'cache', 3 * len(CONTENT))
    servers = several(4)
    for server in servers[:3]:
        with get(cache, server):
            pass
        time.sleep(0.01)
    with get(cache, servers[0]):
        pass
    with get(cache, servers[3]):
        pass
    assert cache.usage() == 3 * len(CONTENT)
    for server in (servers[0], servers[2], servers[3]):
        with get(cache, server):
            pass
    assert [server.asked for server in servers] == [[0]] * 4
    with get(cache, servers[1]):
        pass
    assert servers[1].asked == [0, 0]


def test_what_is_in_use_stays(tmp_path):
    cache = base_images.Cache(tmp_path / 'cache', len(CONTENT))
    servers = several(3)
    with get(cache, servers[0]) as first, get(cache, servers[1]) as second:
        assert first.exists()
        assert second.exists()
        with get(cache, servers[2]) as third:
            assert first.exists()
        assert third.exists() is False
    # Let go of, the bound holds again.
    assert cache.usage() == len(CONTENT)


def test_old_parts_go_too(tmp_path):
    cache = base_images.Cache(tmp_path / 'cache', len(CONTENT))
    broken, server = several(2)
    broken.breaks_after = 10 * PIECE
    with pytest.raises(exception.ServiceUnavailable), get(cache, broken):
        pass
    with get(cache, server):
        pass
    assert names(cache) == ['.image']
    assert len(list(cache.directory.iterdir())) == 2, 'its lock is gone, too'


def test_one_that_is_larger_than_the_bound(tmp_path):
    """It comes and goes, and costs the others nothing."""
    cache = base_images.Cache(tmp_path / 'cache', 3 * len(CONTENT))
    servers, large = several(2), Server(b'x' * 4 * len(CONTENT))
    for server in servers:
        with get(cache, server):
            pass
    with get(cache, large, size=len(large.content)) as path:
        assert path.stat().st_size == len(large.content)
    for server in servers:
        with get(cache, server):
            pass
    assert [server.asked for server in servers] == [[0]] * 2
    assert cache.usage() == 2 * len(CONTENT)


def test_nothing_is_removed_in_vain(cache, server, room):
    [other] = several(1)
    with get(cache, other):
        pass
    large = Server(CONTENT * 3)
    room(len(CONTENT))
    with (
        pytest.raises(exception.NoSpace),
        get(cache, large, size=len(large.content)),
    ):
        pass
    with get(cache, other):
        pass
    assert other.asked == [0]


def test_room_on_the_disk_is_made(cache, room):
    servers = several(2)
    with get(cache, servers[0]):
        pass
    evicted = []
    evict = cache_files.Files.evict

    def evict_and_free(files):
        evicted.append(files.key)
        room(10 * space.GIB)
        return evict(files)

    room(100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_files.Files, 'evict', evict_and_free)
        with get(cache, servers[1]):
            pass
    assert len(evicted) == 1


# -- several at once ---------------------------------------------------------


def test_many_threads_one_fetch(cache, server):
    # It sends when all the others wait, however busy the machine is.
    server.go_on.clear()
    notices, seen = [], []

    def on_notice(message):
        notices.append(message)
        if len(notices) == 7:
            server.go_on.set()

    def use():
        with get(cache, server, on_notice=on_notice) as path:
            seen.append(path.read_bytes() == CONTENT)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 8
    assert server.asked == [0]
    assert len(notices) == 7
    assert 'waiting' in notices[0]


def _fetch_slowly(directory, ready):
    server = Server()

    def stop_there(done, total):
        server.go_on.clear()
        ready.set()

    with get(base_images.Cache(directory), server, on_progress=stop_there):
        pass


def test_killed_one_is_continued_by_who_waits(tmp_path, cache, server):
    context = multiprocessing.get_context('spawn')
    ready = context.Event()
    child = context.Process(
        target=_fetch_slowly, args=(cache.directory, ready)
    )
    child.start()
    assert ready.wait(60)
    notices = []

    def kill(notice):
        notices.append(notice)
        os.kill(child.pid, signal.SIGKILL)

    with get(cache, server, on_notice=kill) as path:
        assert path.read_bytes() == CONTENT
    child.join()
    assert 'waiting' in notices[0]
    assert names(cache) == ['.image']


def _hold(directory, ready, done):
    with get(base_images.Cache(directory), Server()):
        ready.set()
        done.wait(60)


def test_use_in_another_process_counts(tmp_path):
    cache = base_images.Cache(tmp_path / 'cache', len(CONTENT))
    context = multiprocessing.get_context('spawn')
    ready, done = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(cache.directory, ready, done))
    child.start()
    assert ready.wait(60)
    other = Server(b'o' * len(CONTENT))
    with get(cache, other):
        assert names(cache) == ['.image', '.image']
    done.set()
    child.join()
    cache.make_room(0)
    assert names(cache) == ['.image']


# -- made ones ---------------------------------------------------------------


class TestMake:
    def test_made_once(self, cache):
        made = []

        def maker(path):
            made.append(path)
            path.write_bytes(CONTENT)

        for _ in range(2):
            with cache.make('debian {"size": 3}', maker) as path:
                assert path.read_bytes() == CONTENT
        with cache.make('another', maker):
            pass
        assert len(made) == 2

    def test_failure_leaves_nothing(self, cache):
        def maker(path):
            raise exception.EnvironmentFault('no mirror')

        with pytest.raises(exception.EnvironmentFault), cache.make('x', maker):
            pass
        assert names(cache) == []

    def test_bound(self, tmp_path):
        cache = base_images.Cache(tmp_path / 'cache', len(CONTENT))

        def maker(path: pathlib.Path):
            path.write_bytes(CONTENT)

        for key in 'abc':
            with cache.make(key, maker):
                pass
        assert cache.usage() == len(CONTENT)
