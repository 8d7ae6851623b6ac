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
"""SELinux labels that are set where no command may set them."""

import pathlib

import pytest

from imagebuild import exception
from imagebuild.remotes import fake
from imagebuild.remotes import guest_selinux
from tests.unit.remotes import local_handle

CONTEXTS = '/etc/selinux/strict/contexts/files/file_contexts'
NAMES = ('a', 'b c', 'from x to y', 'two\nlines', *map(str, range(40)))


class Handle(local_handle.LocalHandle):
    """Labels are kept here, whoever runs the test."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(root)
        self._labels: dict[str, str] = {}
        self._refused = ''

    def lsetxattr(self, name: str, value: str, size: int, path: str) -> None:
        assert name == 'security.selinux'
        assert size == len(value.encode()) + 1
        if path == self._refused or not self.exists(path):
            raise OSError(95, 'Operation not supported')
        self._labels[path] = value


class Guest(fake.FakeRemote):
    """Its setfiles says what is wrong, as the real one does.

    Beside it is told each time of what is there for a command only: what has
    its file's place, and what has another name.
    """

    def __init__(self, handle: Handle) -> None:
        super().__init__()
        self.handle = handle
        self.kept = 1_000_000
        self.on(['setfiles'], self.tell)

    @staticmethod
    def wanted(path: str) -> str:
        return f'u:object_r:t{len(path)}:s0'

    def tell(self, command: fake.Command) -> fake.Answer:
        assert {'-n', '-v'} <= set(command.argv)
        text = ''
        for name in (*NAMES, '.put', f'.own{len(self.commands)}'):
            path = f'/srv/{name}'
            found = self.handle._labels.get(path, '(null)')
            if found != self.wanted(path) or name == '.put':
                label = self.wanted(path)
                text += f'Would relabel {path} from {found} to {label}\n'
        return fake.Answer(text[: self.kept])


@pytest.fixture
def handle(tmp_path: pathlib.Path) -> Handle:
    (tmp_path / 'srv').mkdir()
    for name in (*NAMES, '.put'):
        (tmp_path / 'srv' / name).touch()
    return Handle(tmp_path)


@pytest.fixture
def guest(handle: Handle) -> Guest:
    return Guest(handle)


def set_labels(guest: Guest) -> bool:
    return guest_selinux.set_labels_from_outside(
        guest,
        CONTEXTS,
        lambda *each: guest_selinux.set_label(guest.handle, *each),
    )


@pytest.mark.parametrize('kept', [1_000_000, 700])
def test_all_of_them(guest: Guest, kept: int) -> None:
    """However little is kept of what is printed."""
    guest.kept = kept
    assert set_labels(guest)
    paths = {f'/srv/{name}' for name in (*NAMES, '.put')}
    assert guest.handle._labels == {path: guest.wanted(path) for path in paths}


def test_it_has_an_end(guest: Guest) -> None:
    """A hostile setfiles always has another."""
    guest.on(
        ['setfiles'],
        lambda command: fake.Answer(
            f'Would relabel /srv/a from x to t{len(guest.commands)}\n'
        ),
    )
    assert not set_labels(guest)
    assert len(guest.commands) == 20


@pytest.mark.parametrize('code', [1, 127, 255])
def test_it_cannot_tell(
    guest: Guest, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    guest.on(['setfiles'], fake.Answer('x' * 100_000, exit_code=code))
    with caplog.at_level('INFO'):
        assert not set_labels(guest)
    assert 'cannot be labelled' in caplog.text
    assert len(caplog.text) < 2000
    assert not guest.handle._labels


def test_a_file_system_that_refuses(guest: Guest) -> None:
    guest.handle._refused = '/srv/b c'
    with pytest.raises(exception.StepError) as caught:
        set_labels(guest)
    assert str(caught.value).startswith(
        '/srv/b c cannot be given its SELinux label (lsetxattr: '
    )
