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
import fcntl
import os
import pathlib
import stat
import subprocess

import pytest

from imagebuild import exception
from imagebuild.common import processes
from imagebuild.disks import workspaces
from tests.functional.disks import tools

OWNER = """
import os, pathlib, subprocess, sys
from imagebuild.disks import workspaces
with workspaces.Workspace(pathlib.Path(sys.argv[1])) as made:
    sleeper = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)
    made.record_process(sleeper.pid)
    for name in sys.argv[2:]:
        made.record_path(pathlib.Path(name))
    (made.path / 'directory').mkdir()
    (made.path / 'directory' / 'file').write_text('x')
    print(sleeper.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'images' / 'an image'
    path.parent.mkdir()
    path.touch()
    return path


def kill_owner(image: pathlib.Path, *recorded: pathlib.Path) -> int:
    """Kill the owner of a workspace; returns the pid of its sleeper."""
    with tools.start(OWNER, image, *recorded) as process:
        assert process.stdout
        sleeper = int(process.stdout.readline())
        process.kill()
    return sleeper


def test_life(image: pathlib.Path) -> None:
    with workspaces.Workspace(image) as made:
        assert made.path.parent == image.parent
        assert made.path.name.startswith('.an image.imagebuild-')
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
        (made.path / 'directory').mkdir()
        (made.path / 'link').symlink_to(image)
        assert workspaces.sweep(image) == []
        assert made.path.exists()
    assert tools.names(image.parent) == ['an image']


def test_process_that_is_left_is_ended(image: pathlib.Path) -> None:
    with (
        subprocess.Popen(['sleep', '60']) as sleeper,
        workspaces.Workspace(image) as made,
    ):
        made.record_process(sleeper.pid)
    assert sleeper.returncode == -9


def test_owner_that_lives_is_left_alone(image: pathlib.Path) -> None:
    with tools.child(OWNER, image):
        assert workspaces.sweep(image) == []
        assert len(tools.names(image.parent)) == 2


def test_killed_owner_is_swept(
    image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sockets = tmp_path / 'sockets'
    (sockets / 'sub').mkdir(parents=True)
    log = tmp_path / 'log'
    log.touch()
    sleeper = kill_owner(image, sockets, log)
    assert processes.start_time(sleeper) is not None
    assert len(workspaces.sweep(image)) == 1
    assert tools.names(image.parent) == ['an image']
    assert tools.names(tmp_path) == ['images']
    assert tools.is_gone(sleeper)


def rewrite_notes(image: pathlib.Path, old: str, new: str) -> None:
    (directory,) = image.parent.glob('.*')
    notes = directory / 'processes.json'
    assert old in notes.read_text()
    notes.write_text(notes.read_text().replace(old, new))


@pytest.mark.parametrize('what', ['start time', 'boot'])
def test_reused_pid_is_not_killed(image: pathlib.Path, what: str) -> None:
    sleeper = kill_owner(image)
    started = processes.start_time(sleeper)
    if what == 'boot':
        rewrite_notes(image, processes.pid_namespace_id(), 'another boot/1')
    else:
        rewrite_notes(image, str(started), str((started or 0) - 1))
    assert len(workspaces.sweep(image)) == 1
    assert processes.start_time(sleeper) == started
    os.kill(sleeper, 9)


def test_recorded_path_that_is_another_file_now(
    image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    log = tmp_path / 'log'
    log.touch()
    sleeper = kill_owner(image, log)
    (tmp_path / 'new').write_text('somebody else')
    os.replace(tmp_path / 'new', log)
    workspaces.sweep(image)
    assert log.exists()
    assert tools.is_gone(sleeper)


@pytest.mark.parametrize('content', ['', '{}', '[]', '{"realm": 1}', '\0'])
def test_notes_that_cannot_be_read(image: pathlib.Path, content: str) -> None:
    sleeper = kill_owner(image)
    (directory,) = image.parent.glob('.*')
    (directory / 'processes.json').write_text(content)
    assert workspaces.sweep(image) == [directory]
    os.kill(sleeper, 9)


def test_links_are_not_followed(
    image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    precious = tmp_path / 'precious'
    precious.mkdir()
    (precious / 'file').touch()
    kill_owner(image)
    (directory,) = image.parent.glob('.*')
    (directory / 'link').symlink_to(precious)
    (directory / 'directory' / 'link').symlink_to(precious)
    other = image.parent / '.an image.imagebuild-abcdefgh'
    other.symlink_to(precious)
    assert workspaces.sweep(image) == [directory]
    assert (precious / 'file').exists()
    assert other.is_symlink()


@pytest.mark.parametrize(
    ('name', 'mode', 'files'),
    [
        ('.an image.imagebuild-abcdefgh', 0o755, ['lock']),
        ('.an image.imagebuild-abcdefgh', 0o770, ['lock']),
        ('.an image.imagebuild-abcdefgh', 0o700, ['no lock']),
        ('.an image.imagebuild-ABCDEFGH', 0o700, ['lock']),
        ('.an image.imagebuild-abcdefghi', 0o700, ['lock']),
        ('.another.imagebuild-abcdefgh', 0o700, ['lock']),
        ('an image.imagebuild-abcdefgh', 0o700, ['lock']),
    ],
)
def test_directories_that_are_not_ours(
    image: pathlib.Path, name: str, mode: int, files: list[str]
) -> None:
    directory = image.parent / name
    directory.mkdir()
    directory.chmod(mode)
    for file in files:
        (directory / file).touch()
    assert workspaces.sweep(image) == []
    assert tools.names(directory) == files


def test_killed_before_its_lock(image: pathlib.Path) -> None:
    directory = image.parent / '.an image.imagebuild-abcdefgh'
    directory.mkdir(mode=0o700)
    assert workspaces.sweep(image) == [directory]
    assert not directory.exists()


@pytest.mark.parametrize('moment', ['before the lock', 'before flock'])
def test_sweep_while_one_is_made(
    image: pathlib.Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[pathlib.Path] = []
    module, name = (
        (os, 'open') if moment == 'before the lock' else (fcntl, 'flock')
    )
    real = getattr(module, name)

    def after_a_sweep(*arguments: object) -> object:
        monkeypatch.setattr(module, name, real)
        swept.extend(workspaces.sweep(image))
        return real(*arguments)

    monkeypatch.setattr(module, name, after_a_sweep)
    with workspaces.Workspace(image) as made:
        assert len(swept) == 1
        assert tools.names(image.parent) == [made.path.name, 'an image']


def test_long_name(tmp_path: pathlib.Path) -> None:
    image = tmp_path / ('ä' * 127)
    with workspaces.Workspace(image) as made:
        assert made.path.is_dir()
    (made.path).mkdir(mode=0o700)
    assert workspaces.sweep(image) == [made.path]


def test_directory_that_cannot_be_written() -> None:
    with pytest.raises(exception.UnwritablePath, match='/proc/self cannot'):
        with workspaces.Workspace(pathlib.Path('/proc/self/image')):
            pass
