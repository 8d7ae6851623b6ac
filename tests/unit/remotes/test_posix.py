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
"""What every POSIX system shares, over a way that only remembers."""

from collections.abc import Mapping

import pytest

from imagebuild import exception
from imagebuild.remotes import base
from imagebuild.remotes import guest_handle
from imagebuild.remotes import handled
from imagebuild.remotes import invocations


class Files:
    """Of a guest that has a /tmp and takes everything."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.full = False

    def is_dir(self, path: str, *, followsymlinks: bool = False) -> bool:
        return path == '/tmp' and followsymlinks  # noqa: S108

    def __getattr__(self, name: str) -> object:
        def call(*args: object) -> None:
            if self.full:
                raise RuntimeError(f'{name}: No space left\non device')
            self.done.append((name, *args))

        return call


class Remote(handled.HandleRemote):
    """Its commands end as they are told to."""

    def __init__(self, **settings: float | None) -> None:
        super().__init__('an image', **settings)  # type: ignore[arg-type]
        self.files = Files()
        self.invocations: list[invocations.Invocation] = []
        self.ending = invocations.Ending(0, False, 'out', 'err')
        self.prepared = 0
        self.has_given_up = False

    @property
    def _handle(self) -> guest_handle.GuestHandle:
        return self.files  # type: ignore[return-value]

    def _exec(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> invocations.Ending:
        self.invocations.append(invocation)
        return self.ending

    def _prepare(self) -> None:
        self.prepared += 1

    def _give_up(self) -> None:
        self.has_given_up = True

    def close(self) -> None:
        pass


@pytest.fixture
def remote() -> Remote:
    return Remote()


def test_what_is_passed_on(remote: Remote) -> None:
    result = remote.run(['a', 'b'], env={'HOME': '/x'}, stdin=b'y', timeout=5)
    assert result.argv == ('a', 'b')
    assert (result.stdout, result.stderr) == ('out', 'err')
    (invocation,) = remote.invocations
    assert invocation.env['HOME'] == '/x'
    assert invocation.env['DEBIAN_FRONTEND'] == 'noninteractive'
    assert (invocation.stdin, invocation.seconds) == (b'y', 5)
    assert invocation.directory == ''


def test_a_script_is_in_a_directory_of_its_own(remote: Remote) -> None:
    remote.run_script(b'text', name='../a b.sh')
    (invocation,) = remote.invocations
    made, written, mode = remote.files.done
    assert made == ('mkdir_mode', invocation.directory, 0o700)
    assert written == ('write', f'{invocation.directory}/a b.sh', b'text')
    assert mode == ('chmod', 0o700, f'{invocation.directory}/a b.sh')
    assert invocation.argv[-2:] == ('../a b.sh', written[1])
    assert invocation.shown == '../a b.sh'


def test_it_is_looked_once(remote: Remote) -> None:
    remote.prepare()
    remote.run(['a'])
    remote.run_script(b'', name='x')
    assert remote.prepared == 1


LONGEST = 128 * 1024 - 1


@pytest.mark.parametrize(
    ('argv', 'env', 'said'),
    [
        (['a', 'x' * (LONGEST + 1)], {}, 'longer than 128 KiB'),
        (['a'], {'V': 'x' * LONGEST}, 'longer than 128 KiB'),
        (['a', *['x' * 1000] * 2020], {}, 'longer than 1984 KiB together'),
        (['a', *'x' * 210_000], {}, 'longer than 1984 KiB together'),
        (['a', 'b\0c'], {}, 'NUL'),
        (['a'], {'V': 'b\0c'}, 'NUL'),
        (['a'], {'V=W': 'b'}, "'V=W'"),
        (['a'], {'': 'b'}, "''"),
        (['a'], {'-u': 'b'}, "'-u'"),
    ],
)
def test_what_no_kernel_would_take(
    remote: Remote, argv: list[str], env: Mapping[str, str], said: str
) -> None:
    """Before anything is touched, and with its name."""
    with pytest.raises(exception.StepError, match=r'\ba\b') as caught:
        remote.run(argv, env=env)
    assert said in str(caught.value)
    assert not remote.invocations
    assert not remote.prepared


def test_what_it_just_takes(remote: Remote) -> None:
    remote.run(['a', 'x' * LONGEST], env={'V': 'x' * (LONGEST - 2)})


def test_its_time_was_up(remote: Remote) -> None:
    remote.ending = invocations.Ending(137, True, '', '')
    with pytest.raises(exception.RemoteCommandTimeout) as caught:
        remote.run_script(b'', name='x.sh', timeout=4, check=False)
    assert str(caught.value) == 'x.sh was stopped after 4 seconds.'


def test_the_time_of_the_run_is_up() -> None:
    remote = Remote(run_timeout=0.01)
    remote.ending = invocations.Ending(137, True, '', '')
    with pytest.raises(exception.RunTimeout):
        while True:
            remote.ending = invocations.Ending(0, False, '', '')
            remote.run(['a'], timeout=100)
    assert remote.invocations[0].seconds <= 0.01
    assert remote.has_given_up
    with pytest.raises(exception.RunTimeout):
        remote.remove_file('/x')
    assert not remote.files.done


def test_what_ended_it_is_told(remote: Remote) -> None:
    remote.ending = invocations.Ending(
        137, False, '', '', 'it used more than 2048 MiB of memory'
    )
    with pytest.raises(exception.RemoteCommandFailed) as caught:
        remote.run(['a', 'b'])
    assert (
        str(caught.value)
        == 'a was ended: it used more than 2048 MiB of memory'
    )
    assert remote.run(['a'], check=False).exit_code == 137


def test_a_disk_that_refuses(remote: Remote) -> None:
    remote.files.full = True
    with pytest.raises(exception.StepError) as caught:
        remote.run_script(b'', name='x.sh')
    assert str(caught.value) == (
        'the image refuses: mkdir_mode: No space left on device'
    )
    assert not remote.invocations
