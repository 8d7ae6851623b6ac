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
"""What a command makes of /etc/resolv.conf, where nothing else swaps it.

The cases are those of the contract over real disks, which a command makes;
here a function does.
"""

import pathlib
from collections.abc import Callable

import pytest

from imagebuild import exception
from imagebuild.remotes import resolver_exchange
from tests.unit.remotes import local_handle

PUT = b'# put\nnameserver 10.0.2.3\n'
OWN = b'search example.org\n'


@pytest.fixture
def etc(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / 'etc'
    directory.mkdir()
    (directory / 'resolv.conf').write_bytes(OWN)
    return directory


def swapped(etc: pathlib.Path, command: Callable[[], object]) -> str:
    """Run a command; what the image has afterwards."""
    resolver = etc / 'resolv.conf'
    handle = local_handle.LocalHandle(etc.parent)
    exchange = resolver_exchange.Exchange(handle, 'token', PUT)
    assert resolver.read_bytes() == PUT
    assert not resolver.is_symlink()
    command()
    exchange.end()
    assert not list(etc.glob('.imagebuild*'))
    if resolver.is_symlink():
        return f'-> {resolver.readlink()}'
    return resolver.read_text() if resolver.exists() else 'none'


def nothing() -> None:
    pass


def link(etc: pathlib.Path, target: str) -> None:
    (etc / 'new').symlink_to(target)
    (etc / 'new').rename(etc / 'resolv.conf')


def replace(etc: pathlib.Path, content: bytes) -> None:
    (etc / 'new').write_bytes(content)
    (etc / 'new').rename(etc / 'resolv.conf')


def append(etc: pathlib.Path, content: bytes) -> None:
    with (etc / 'resolv.conf').open('ab') as file:
        file.write(content)


def special(etc: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    (etc / 'resolv.conf').unlink()
    make(etc / 'resolv.conf')


def fifo(path: pathlib.Path) -> None:
    local_handle.LocalHandle(path.parent).mkfifo(0o600, f'/{path.name}')


@pytest.mark.parametrize(
    ('command', 'after'),
    [
        (lambda etc: None, 'search example.org\n'),
        (lambda etc: (etc / 'resolv.conf').touch(), 'search example.org\n'),
        (lambda etc: (etc / 'resolv.conf').chmod(0o600),
         'search example.org\n'),
        (lambda etc: replace(etc, PUT), 'search example.org\n'),
        (lambda etc: link(etc, '../run/stub'), '-> ../run/stub'),
        (lambda etc: replace(etc, b'nameserver 192.0.2.1\n'),
         'nameserver 192.0.2.1\n'),
        (lambda etc: (etc / 'resolv.conf').write_bytes(b'x\n'), 'x\n'),
        (lambda etc: append(etc, b'more\n'), 'search example.org\nmore\n'),
        (lambda etc: replace(etc, b'first\n' + PUT), 'first\n# put\n'),
        (lambda etc: (etc / 'resolv.conf').unlink(), 'none'),
        (lambda etc: special(etc, fifo), 'search example.org\n'),
        (lambda etc: special(etc, pathlib.Path.mkdir), 'search example.org\n'),
    ],
    ids=lambda value: '' if callable(value) else None,
)  # fmt: skip
def test_what_is_kept(
    etc: pathlib.Path, command: Callable[[pathlib.Path], object], after: str
) -> None:
    assert swapped(etc, lambda: command(etc)) == after


@pytest.mark.parametrize('target', ['../run/stub', '/run/none', 'resolv.conf'])
def test_a_link_of_the_guests_own(etc: pathlib.Path, target: str) -> None:
    link(etc, target)
    assert swapped(etc, nothing) == f'-> {target}'
    # To the image it is still what it was, whatever was written for it.
    assert swapped(etc, lambda: append(etc, b'x\n')) == f'-> {target}'


def test_a_guest_without_one(etc: pathlib.Path) -> None:
    (etc / 'resolv.conf').unlink()
    assert swapped(etc, nothing) == 'none'
    assert swapped(etc, lambda: replace(etc, b'x\n')) == 'x\n'


def test_a_copy_is_one_of_the_guests_own(etc: pathlib.Path) -> None:
    def command() -> None:
        (etc / 'resolv.conf').rename(etc / 'resolv.conf.orig')
        (etc / 'resolv.conf').symlink_to('../run/stub')

    assert swapped(etc, command) == '-> ../run/stub'
    assert (etc / 'resolv.conf.orig').read_bytes() == OWN


def test_more_copies_than_are_looked_at(etc: pathlib.Path) -> None:
    """What the command made of the file itself is kept nevertheless."""

    def command() -> None:
        for number in range(600):
            (etc / f'resolv.conf.{number}').touch()
        link(etc, '../run/stub')

    with pytest.raises(exception.StepError) as caught:
        swapped(etc, command)
    assert str(caught.value) == (
        'the image has 601 files /etc/*resolv.conf*, and 500 are the most '
        'that are looked at'
    )
    assert str((etc / 'resolv.conf').readlink()) == '../run/stub'
    assert not list(etc.glob('.imagebuild*'))


def test_a_disk_that_is_full(
    etc: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as it was then."""

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    handle = local_handle.LocalHandle(etc.parent)
    with monkeypatch.context() as patched:
        patched.setattr(local_handle.LocalHandle, 'write', full)
        with pytest.raises(RuntimeError, match='No space left'):
            resolver_exchange.Exchange(handle, 'token', PUT)
    assert (etc / 'resolv.conf').read_bytes() == OWN
    assert list(etc.iterdir()) == [etc / 'resolv.conf']


def test_a_command_that_takes_the_guests_own(etc: pathlib.Path) -> None:
    """It is root, and it can; then there is none any more."""

    def command() -> None:
        for each in etc.glob('.imagebuild*'):
            each.unlink()

    assert swapped(etc, command) == 'none'
