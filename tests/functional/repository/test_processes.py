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
"""Processes that use a repository together, and are killed in it."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from imagebuild import repository as kit
from tests.unit.repository.conftest import facts

#: What changes a file system; a child is killed at each call of them in turn.
CALLS = (
    'fsync', 'link', 'mkdir', 'open', 'rename', 'replace', 'rmdir', 'unlink',
    'utime',
)  # fmt: skip
_MOST = 60


def child(work, kill_at):
    """Run something in a child that is killed at one of its calls.

    :returns: whether it was, before it was done.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    left = [kill_at]

    def counted(real):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return real(*args, **kwargs)

        return call

    code = 1
    try:
        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        work()
        code = 0
    finally:
        os._exit(code)


def is_whole(repository):
    """Nothing is there but images that can be used."""
    assert not list(repository.incoming.iterdir())
    assert repository.unreadable() == []
    for each in kit.verify(repository).artifacts:
        assert each.status == kit.PRESENT


def image(tmp_path, content=b'x' * 10_000):
    path = tmp_path / 'image'
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('other_file_system', [False, True])
def test_killed_while_it_puts_an_image_in(tmp_path, other_file_system):
    """The image is in the repository, or nothing of it."""
    kept = 0
    for at in range(_MOST):
        place = tmp_path / str(at)
        work = place if not other_file_system else pathlib.Path('/dev/shm')
        place.mkdir()
        repository = kit.Repository(place / 'images')
        path = image(work)
        was_killed = child(lambda: repository.put(path, facts()), at)  # noqa: B023
        again = kit.Repository(place / 'images')
        is_whole(again)
        found = again.list_artifacts()
        kept += len(found)
        if not was_killed:
            assert len(found) == 1
            assert not path.exists()
            break
        if not found and other_file_system:
            assert path.exists()
        path.unlink(missing_ok=True)
    else:
        pytest.fail('it has no end')
    assert at > 8
    assert kept > 1


def test_killed_while_it_makes_a_repository(tmp_path):
    for at in range(_MOST):
        directory = tmp_path / str(at)
        was_killed = child(lambda: kit.Repository(directory), at)  # noqa: B023
        repository = kit.Repository(directory)
        is_whole(repository)
        assert repository.put(image(tmp_path), facts())
        if not was_killed:
            break
    assert at > 4


def test_killed_while_it_removes_an_image(tmp_path):
    """Half of one is never found."""
    for at in range(_MOST):
        repository = kit.Repository(tmp_path / str(at))
        made = repository.put(image(tmp_path), facts())
        was_killed = child(lambda: repository.remove(made.id), at)  # noqa: B023
        again = kit.Repository(tmp_path / str(at))
        is_whole(again)
        if not was_killed:
            assert again.list_artifacts() == []
            break
        assert again.remove(made.id)
    assert at > 2


def test_killed_while_it_converts(tmp_path):
    """The next one makes it, without waiting for anybody."""

    def convert(source, target):
        target.write_bytes(source.read_bytes() * 2)

    for at in range(_MOST):
        repository = kit.Repository(tmp_path / str(at))
        made = repository.put(image(tmp_path), facts())

        def work(repository=repository, made=made):
            kit.add_format(
                repository, made.id, 'raw', convert, room=lambda _: 0
            )

        was_killed = child(work, at)
        # Without opening it again: a conductor runs for months.
        found = kit.add_format(
            repository, made.id, 'raw', convert, room=lambda _: 0
        )
        assert found.size == 20_000
        is_whole(kit.Repository(tmp_path / str(at)))
        if not was_killed:
            break
    assert at > 8


def test_killed_while_it_cleans_up(tmp_path):
    for at in range(_MOST):
        directory = tmp_path / str(at)
        limits = kit.Limits(max_number=1)
        repository = kit.Repository(directory, limits)
        for _ in range(3):
            made = repository.put(image(tmp_path), facts())
            past = time.time() - 3600
            os.utime(repository.directory_of(made.id) / 'lock', (past, past))
        was_killed = child(lambda: kit.bound(repository), at)  # noqa: B023
        again = kit.Repository(directory, limits)
        is_whole(again)
        kit.bound(again)
        assert len(again.list_artifacts()) == 1
        if not was_killed:
            break
    assert at > 4


_CONVERT = """
import pathlib, sys, time
from imagebuild import repository as kit
def convert(source, target):
    with open(sys.argv[3], 'a') as log:
        log.write('begun\\n')
    time.sleep(0.5)
    target.write_bytes(source.read_bytes() * 2)
repository = kit.Repository(pathlib.Path(sys.argv[1]))
found = kit.add_format(
    repository, sys.argv[2], 'raw', convert, room=lambda _: 0
)
print(found.id)
"""


def test_processes_convert_once(tmp_path):
    repository = kit.Repository(tmp_path / 'images')
    made = repository.put(image(tmp_path), facts())
    log = tmp_path / 'log'
    argv = [sys.executable, '-c', _CONVERT]
    argv += [str(repository.directory), made.id, str(log)]
    running = [
        subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(4)
    ]
    said = {each.communicate()[0] for each in running}
    assert len(said) == 1
    assert log.read_text() == 'begun\n'
    is_whole(kit.Repository(repository.directory))


def test_what_a_killed_one_used_can_be_removed(tmp_path):
    repository = kit.Repository(tmp_path / 'images')
    made = repository.put(image(tmp_path), facts())
    code = (
        'import pathlib, sys, time; from imagebuild import repository as kit\n'
        'with kit.Repository(pathlib.Path(sys.argv[1])).hold(sys.argv[2]):\n'
        '    print("held", flush=True); time.sleep(600)'
    )
    argv = [sys.executable, '-c', code, str(repository.directory), made.id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as user:
        assert user.stdout.readline() == b'held\n'
        assert not repository.remove(made.id)
        user.kill()
        user.wait()
    assert repository.remove(made.id)


# -- real file systems ------------------------------------------------------

_MOUNTED = """
import os, pathlib, subprocess, sys
from imagebuild import exception
from imagebuild import repository as kit
from tests.unit.repository.conftest import facts
top = pathlib.Path(sys.argv[1])
def mount(*args):
    subprocess.run(['mount', *args, top], check=True)
"""

_FULL = """
mount('-t', 'tmpfs', '-o', 'size=1M,nr_inodes=64', 'none')
repository = kit.Repository(top / 'images')
path = top / 'image'
path.write_bytes(b'x' * 600_000)
with open(top / 'filler', 'wb', buffering=0) as filler:
    try:
        while filler.write(b'x' * 4096):
            pass
    except OSError:
        pass
try:
    repository.put(path, facts())
except exception.DiskFull as error:
    print('full')
assert path.stat().st_size == 600_000
again = kit.Repository(top / 'images')
assert not again.list_artifacts() and not list(again.incoming.iterdir())
os.unlink(top / 'filler')
made = again.put(path, facts())
with again.hold(made.id):
    print('kept')
other = pathlib.Path(sys.argv[2]) / 'other'
other.write_bytes(b'x' * 600_000)
try:
    again.put(other, facts())
except exception.NoSpace:
    print('no space')
assert other.exists()
"""

_READ_ONLY = """
mount('-t', 'tmpfs', 'none')
repository = kit.Repository(top / 'images')
path = top / 'image'
path.write_bytes(b'x' * 1000)
made = repository.put(path, facts())
path.write_bytes(b'x' * 1000)
mount('-o', 'remount,ro')
again = kit.Repository(top / 'images')
assert again.list_artifacts() == [made]
with again.hold(made.id) as held:
    print(held.path.stat().st_size)
for what in (
    lambda: again.put(path, facts()),
    lambda: again.remove(made.id),
    lambda: kit.bound(again),
):
    try:
        what()
    except exception.UnwritablePath:
        print('refused')
assert kit.verify(again).artifacts[0].status == kit.PRESENT
"""


@pytest.mark.parametrize(
    ('code', 'says'),
    [
        (_FULL, 'full\nkept\nno space\n'),
        (_READ_ONLY, '1000\n' + 'refused\n' * 3),
    ],
    ids=['full', 'read-only'],
)
def test_file_systems_that_refuse(tmp_path, code, says):
    """A full one, and one that can only be read."""
    top = tmp_path / 'top'
    top.mkdir()
    shown = subprocess.run(
        ['unshare', '--mount', sys.executable, '-c', _MOUNTED + code]
        + [str(top), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).parents[3],
    )
    assert 'Traceback' not in shown.stderr, shown.stderr[-2000:]
    assert shown.stdout == says
