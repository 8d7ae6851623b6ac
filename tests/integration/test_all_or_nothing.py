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
"""All or nothing, end to end: whatever happens, a file is packed or as it was.

Each run checks several things: an appliance takes ten seconds to start.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild.disks import in_place
from imagebuild.drivers import isolations
from tests.integration import sandboxes

pytestmark = pytest.mark.timeout(900)

PROGRAM = pathlib.Path(sys.executable).parent / 'imagebuild-pack'
MIB = 1024 * 1024
#: Where libguestfs puts its sockets when it is run by root.
SOCKETS = pathlib.Path('/tmp')

TRIVIAL = "validators: [script: {looks: {inline: 'true'}}]\n"
FAILS = """\
validators:
- script: {writes: {inline: 'echo changed > /etc/motd'}}
- script:
    fails:
      inline: |
        for i in 1 2 3; do echo "line $i"; done
        echo 'a reason' >&2
        exit 7
- script: {never: {inline: 'echo never'}}
"""
SLEEPS = """\
validators:
- script:
    sleeps:
      inline: |
        trap '' TERM INT HUP
        echo changed > /etc/motd
        rm -rf /usr/share/doc
        sync
        echo asleep
        sleep 600
"""
FILLS = """\
validators:
- script:
    fills:
      inline: |
        echo asleep
        for number in $(seq 40); do
            sleep 0.5
            head -c 40M /dev/urandom >> /var/big && sync /var/big || break
        done
"""
WRITES = """\
validators:
- script:
    ignores test_only:
      inline: |
        set -e
        [ "$test_only" = 1 ]
        head -c 8M /dev/urandom > /var/big
        echo changed > /etc/motd
        rm -rf /usr/share/doc /var/lib/dpkg/info /boot
        [ ! -e /usr/share/doc ]
        sync
"""
CHANGES = """\
validators:
- script: {changes: {inline: 'echo changed > /etc/motd'}}
"""
INSTALLS = """\
arguments:
  greeting: {default: hello}
validators:
- package: [tree]
- file:
    /etc/issue.net: {content: "{{ greeting }}", template: true}
- script: {never run: {inline: 'echo changed > /etc/motd'}}
"""
# A policy of two lines stands for a real one: what matters is whether every
# file gets the label that the guest's own table gives it.
LABELS = """\
validators:
- package: policycoreutils
- file:
    /etc/selinux/config:
      content: "SELINUX=enforcing\\nSELINUXTYPE=tiny\\n"
    /etc/selinux/tiny/contexts/files/file_contexts:
      content: |
        /.*               system_u:object_r:etc_t:s0
        /srv/web(/.*)?    system_u:object_r:web_t:s0
    /srv/web/index.html: {content: hello}
"""
BAD = """\
validators:
- pakage: x
- script: {a: {inlin: x}}
- script: not-there.sh
"""
# Leaves behind what must be tidied up, and notes what must be put back.
FIRST = """\
validators:
- copy_script: library.sh
- script:
    leaves a cache:
      inline: |
        set -e
        . /tmp/library.sh
        ls -d /tmp/.imagebuild-*
        { cat /etc/machine-id 2>/dev/null || echo none; } > /srv/before
        head -c 4M /dev/urandom > /var/cache/apt/archives/demo_1_all.deb
        echo 0123456789abcdef0123456789abcdef > /etc/machine-id
"""
SECOND = """\
validators:
- script:
    looks:
      inline: |
        set -ex
        [ ! -e /tmp/library.sh ]
        [ "$(ls -d /tmp/.imagebuild-* | wc -l)" = 1 ]
        [ "$(cat /srv/library)" = 'from the library' ]
        [ ! -e /var/cache/apt/archives/demo_1_all.deb ]
        now=$(cat /etc/machine-id 2>/dev/null || echo none)
        case "$(cat /srv/before)" in
        none | '' | uninitialized) [ "$now" = "$(cat /srv/before)" ] ;;
        esac
        echo kept > /var/cache/apt/archives/demo_1_all.deb
"""
THIRD = """\
validators:
- script:
    looks:
      inline: |
        set -ex
        [ "$(cat /var/cache/apt/archives/demo_1_all.deb)" = kept ]
        [ "$(ls -d /tmp/.imagebuild-* | wc -l)" = 1 ]
"""
# imagebuild-pack, killed at one stage of its work.
VICTIM = """
import os, signal, sys
from imagebuild.cmd import pack
from imagebuild.disks import in_place

def on_stage(stage):
    if stage == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

original = in_place.InPlaceImage.__init__

def patched(self, *args, **kwargs):
    original(self, *args, **kwargs, on_stage=on_stage)

in_place.InPlaceImage.__init__ = patched
sys.exit(pack.main(sys.argv[2:]))
"""


class Desk:
    """An image in a directory of its own, and the programs run on it.

    :param isolation: in what the programs open it.

    :ivar image: its path.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        image: pathlib.Path,
        isolation: isolations.Isolation,
    ) -> None:
        self.image = image
        self._isolation = isolation
        self._directory = directory
        self._temporary = directory / 'temporary'
        self._temporary.mkdir()
        self._names = os.listdir(image.parent)
        self._sockets = _sockets()
        self._before = self._state()

    def _state(self) -> tuple[str, int, int, int]:
        status = self.image.stat()
        with self.image.open('rb') as stream:
            digest = hashlib.file_digest(stream, 'sha256').hexdigest()
        return digest, status.st_mtime_ns, status.st_ino, status.st_size

    def command(
        self,
        manifest: str,
        *options: str,
        program: tuple[Any, ...] = (PROGRAM,),
        image: pathlib.Path | None = None,
    ) -> list[Any]:
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        path = self._directory / f'{digest[:8]}.yaml'
        path.write_text(manifest)
        return [
            *program,
            *('--image', image or self.image, '--manifest', path),
            *('--isolation', self._isolation),
            *options,
        ]

    def environment(self) -> dict[str, str]:
        # Our temporary files apart from everybody's, and libguestfs' cache
        # where it is anyway: it takes long to make.
        cache = os.environ.get(
            'LIBGUESTFS_CACHEDIR', os.environ.get('TMPDIR', '/var/tmp')
        )
        return {
            **os.environ,
            'TMPDIR': str(self._temporary),
            'LIBGUESTFS_CACHEDIR': cache,
        }

    def run(
        self,
        manifest: str,
        *options: str,
        program: tuple[Any, ...] = (PROGRAM,),
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(manifest, *options, program=program),
            capture_output=True,
            text=True,
            env=self.environment(),
        )
        assert 'Traceback' not in done.stderr
        # What the library says, whatever happens to its guest.
        assert 'libguestfs: ' not in done.stderr
        return done

    @contextlib.contextmanager
    def asleep(
        self, manifest: str, *options: str
    ) -> Iterator[tuple['subprocess.Popen[bytes]', Callable[[], str]]]:
        """A run whose script has said "asleep", and what it printed."""
        log = self._directory / 'stderr'
        with log.open('wb') as stderr:
            process = subprocess.Popen(
                self.command(manifest, '--verbose', *options),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=self.environment(),
                start_new_session=True,
            )
        try:
            end = time.monotonic() + 300
            while '| asleep' not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            assert self.processes(), 'no qemu is seen: the test is blind'
            yield process, log.read_text
        finally:
            process.kill()
            process.wait()

    def processes(self) -> list[bytes]:
        """Processes of others that name our directory: qemu's."""
        wanted = os.fsencode(self._directory)
        return [line for line in _command_lines() if wanted in line]

    def assert_unchanged(self) -> None:
        assert self._state() == self._before

    def assert_nothing_left(self) -> None:
        # The kernel takes a moment to end a killed qemu, and what other
        # sessions on this machine have is theirs for as long as they run.
        end = time.monotonic() + 90
        while left := self._left():
            assert time.monotonic() < end, left
            time.sleep(0.5)

    def _left(self) -> list[Any]:
        beside = set(os.listdir(self.image.parent)) - set(self._names)
        lines = _command_lines()
        sockets = [
            path
            for path in _sockets() - self._sockets
            if not any(os.fsencode(path) in line for line in lines)
        ]
        return [
            *beside,
            *os.listdir(self._temporary),
            *self.processes(),
            *sockets,
        ]


def _command_lines() -> list[bytes]:
    lines = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if int(path.parent.name) != os.getpid():
                lines.append(path.read_bytes())
    return lines


def _sockets() -> set[pathlib.Path]:
    return set(SOCKETS.glob('libguestfs*'))


@pytest.fixture
def desk(
    isolation: isolations.Isolation,
    minimal_copy: pathlib.Path,
    tmp_path: pathlib.Path,
) -> Iterator[Desk]:
    directory = tmp_path / 'images'
    directory.mkdir()
    image = directory / 'minimal.qcow2'
    minimal_copy.rename(image)
    yield Desk(tmp_path, image, isolation)
    image.unlink()  # pytest keeps directories of earlier sessions


@pytest.mark.both_isolations
def test_failing_script(desk: Desk) -> None:
    done = desk.run(FAILS, '--json')
    assert done.returncode == 1
    assert 'validators[1].script' in done.stderr
    assert 'exit code 7' in done.stderr
    tail = done.stderr.partition('Last output of validators[1].script')[2]
    assert [line.strip() for line in tail.splitlines()[1:4]] == [
        'line 1',
        'line 2',
        'line 3',
    ]
    assert 'a reason' in tail
    report = json.loads(done.stdout)
    assert report['result'] == 'failed'
    assert 'validators[1].script' in report['error']
    assert 'exit code 7' in report['error']
    assert [step['path'] for step in report['steps']][:2] == [
        'validators[0].script',
        'validators[1].script',
    ]
    text = json.dumps(report['steps'][1])
    assert 'line 3' in text
    assert 'a reason' in text
    assert 'never' not in done.stderr
    desk.assert_unchanged()
    desk.assert_nothing_left()


@pytest.mark.both_isolations
def test_interrupted(desk: Desk) -> None:
    _assert_interrupted(desk, 'SIGINT')


def test_terminated(desk: Desk) -> None:
    _assert_interrupted(desk, 'SIGTERM')


def _assert_interrupted(desk: Desk, name: str) -> None:
    """And meanwhile nobody else gets at the image."""
    with desk.asleep(SLEEPS) as (process, told):
        for options in ([], ['--test-only']):
            second = desk.run(TRIVIAL, *options)
            assert second.returncode == 3
            assert 'is in use' in second.stderr
            assert f'(process {process.pid})' in second.stderr
        start = time.monotonic()
        if name == 'SIGINT':
            # As a terminal does it: every process, qemu too, is sent one.
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(180) == 3
        assert time.monotonic() - start < 180
    assert told().splitlines()[-1] == (
        f'Interrupted by {name}; nothing was changed.'
    )
    assert 'Traceback' not in told()
    desk.assert_unchanged()
    desk.assert_nothing_left()


@pytest.mark.both_isolations
def test_killed_in_a_script(desk: Desk) -> None:
    with desk.asleep(SLEEPS) as (process, _):
        process.kill()
        assert process.wait(180) == -signal.SIGKILL
    desk.assert_unchanged()
    # The next run sweeps, whatever it opens the image in.
    done = desk.run(TRIVIAL, '--test-only', '--isolation=sandbox')
    assert done.returncode == 0, done.stderr
    desk.assert_unchanged()
    desk.assert_nothing_left()


@pytest.mark.parametrize('stage', ['merged', 'on the disk'])
def test_killed_while_writing(desk: Desk, stage: str) -> None:
    program = (sys.executable, '-c', VICTIM, stage)
    done = desk.run(CHANGES, program=program)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(os.listdir(desk.image.parent)) == 2
    desk.assert_unchanged()
    # The next run sweeps as it begins; it need not start an appliance.
    with in_place.InPlaceImage(desk.image, read_only=True):
        pass
    desk.assert_unchanged()
    desk.assert_nothing_left()


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 1 GiB."""
    directory = tmp_path / 'small'
    directory.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1G', 'small', directory]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.fail('a tmpfs cannot be mounted here; root may')
    try:
        yield directory
    finally:
        subprocess.run(['umount', directory], check=True)
        assert not os.path.ismount(directory)


@pytest.mark.both_isolations
def test_full_disk(
    isolation: isolations.Isolation,
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
    small_disk: pathlib.Path,
) -> None:
    image = small_disk / 'minimal.qcow2'
    shutil.copyfile(minimal_image, image)
    desk = Desk(tmp_path, image, isolation)

    done = desk.run(FILLS)
    assert done.returncode == 3
    assert 'There is not enough room in' in done.stderr
    assert 'Starting' not in done.stderr
    desk.assert_unchanged()
    desk.assert_nothing_left()

    assert _resize(small_disk, '3G')
    with desk.asleep(FILLS) as (process, told):
        # Somebody else fills the disk, all but 100 MiB of it; the script may
        # be quicker.
        while not _resize(small_disk, str(_used(small_disk) + 100 * MIB)):
            assert process.poll() is None, told()
        assert process.wait(400) == 3
    assert told().splitlines()[-1].endswith(' is full.')
    assert 'Traceback' not in told()
    desk.assert_unchanged()
    desk.assert_nothing_left()


def _resize(directory: pathlib.Path, size: str) -> bool:
    """Whether what is there has room in it."""
    options = f'remount,size={size}'
    done = subprocess.run(['mount', '-o', options, directory])
    return done.returncode == 0


def _used(directory: pathlib.Path) -> int:
    status = os.statvfs(directory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_test_only_changes_nothing(desk: Desk) -> None:
    done = desk.run(WRITES, '--test-only')
    assert done.returncode == 0, done.stderr
    assert 'conforms.' in done.stdout
    desk.assert_unchanged()
    desk.assert_nothing_left()


def test_hung_script(desk: Desk) -> None:
    # On a very busy host 5 seconds are not enough for what comes before it.
    for seconds in (5, 90):
        done = desk.run(SLEEPS, '--command-timeout', str(seconds))
        desk.assert_unchanged()
        if 'validators[0].script' in done.stderr:
            break
    assert done.returncode == 1
    assert f'was stopped after {seconds} seconds' in done.stderr
    assert 'validators[0].script' in done.stderr
    desk.assert_unchanged()
    desk.assert_nothing_left()


def test_hung_run(desk: Desk) -> None:
    for seconds in (10, 90):
        done = desk.run(SLEEPS, '--timeout', str(seconds))
        assert done.returncode == 3
        desk.assert_unchanged()
        if 'its limit of' in done.stderr:
            break
    assert f'its limit of {seconds} seconds is up' in done.stderr
    desk.assert_unchanged()
    desk.assert_nothing_left()


def test_bad_usage(desk: Desk) -> None:
    """Found before anything is touched, and at once."""
    recipe = [PROGRAM, '--image', desk.image]
    for command, told in (
        ([*recipe, 'no-such-recipe', '1'], ['no-such-recipe']),
        (desk.command(TRIVIAL, '--no-such-argument', 'x'), ['no-such-arg']),
        (
            desk.command(BAD),
            ['[0].pakage', '[1].script.a.inlin', 'not-there.sh'],
        ),
        (
            desk.command(TRIVIAL, image=desk.image.with_name('no-image')),
            ['no-image'],
        ),
    ):
        _assert_refused(desk, command, told)
    desk.assert_unchanged()
    desk.assert_nothing_left()


def test_unnamed_backing_file(desk: Desk, tmp_path: pathlib.Path) -> None:
    overlay = tmp_path / 'overlay.qcow2'
    create = ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2']
    subprocess.run([*create, '-b', desk.image, overlay], check=True)
    before = overlay.read_bytes()
    command = desk.command(TRIVIAL, image=overlay)
    _assert_refused(desk, command, ['minimal.qcow2'])
    assert overlay.read_bytes() == before
    desk.assert_unchanged()
    desk.assert_nothing_left()


def _assert_refused(desk: Desk, command: list[Any], told: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, env=desk.environment()
    )
    assert done.returncode == 2, done.stderr
    assert 'Starting' not in done.stderr
    assert 'Traceback' not in done.stderr
    for part in told:
        assert part in done.stderr


def test_success_leaves_no_trace(desk: Desk, tmp_path: pathlib.Path) -> None:
    """Of our own in the image, nor beside it."""
    library = tmp_path / 'library.sh'
    library.write_text('echo from the library > /srv/library\n')
    first = desk.run(FIRST, '--resource-root', str(tmp_path))
    assert first.returncode == 0, first.stderr
    with pytest.raises(AssertionError):
        desk.assert_unchanged()
    desk.assert_nothing_left()
    second = desk.run(SECOND, '--keep-cache', '--verbose')
    assert second.returncode == 0, second.stderr
    third = desk.run(THIRD, '--test-only', '--verbose')
    assert third.returncode == 0, third.stderr
    desk.assert_nothing_left()


def test_plan(desk: Desk) -> None:
    done = desk.run(INSTALLS, '--plan', '--greeting', 'hi')
    assert done.returncode == 0, done.stderr
    assert 'validators[0].package' in done.stdout
    assert 'tree' in done.stdout
    assert 'validators[1].file' in done.stdout
    assert 'validators[2].script' in done.stdout
    desk.assert_unchanged()
    desk.assert_nothing_left()


def test_start_is_within_the_limit(desk: Desk) -> None:
    # No appliance starts in a second under emulation. The last one counts.
    options = ['--isolation=appliance', '--accelerator=tcg']
    done = desk.run(CHANGES, '--timeout', '1', *options)
    assert done.returncode == 3
    assert 'within 1 second' in done.stderr
    desk.assert_unchanged()
    desk.assert_nothing_left()


@pytest.mark.both_isolations
def test_selinux_labels(desk: Desk, tmp_path: pathlib.Path) -> None:
    done = desk.run(LABELS, '--verbose')
    assert done.returncode == 0, done.stderr
    assert 'given their SELinux labels' in done.stderr, done.stderr
    with _opened(desk, tmp_path) as handle:
        for path, kind in (('/srv/web/index.html', 'web'), ('/bin', 'etc')):
            found = {
                item['attrname']: item['attrval']
                for item in handle.lgetxattrs(path)
            }
            label = found['security.selinux'].rstrip(b'\0').decode()
            assert label == f'system_u:object_r:{kind}_t:s0'
        assert not _is_there(handle, '/.autorelabel')


def test_selinux_labels_at_the_first_boot(
    desk: Desk, tmp_path: pathlib.Path
) -> None:
    done = desk.run(LABELS.replace('policycoreutils', 'tree'))
    assert done.returncode == 0, done.stderr
    assert 'labels will be set at the first boot' in done.stderr
    with _opened(desk, tmp_path) as handle:
        assert _is_there(handle, '/.autorelabel')


def _is_there(handle: Any, path: str) -> bool:
    try:
        handle.lstatns(path)
    except RuntimeError:
        return False
    return True


@contextlib.contextmanager
def _opened(desk: Desk, directory: pathlib.Path) -> Iterator[Any]:
    """Look into the image, wherever it was packed: nothing is emulated."""
    workspace = directory / 'looked-at'
    workspace.mkdir()
    with sandboxes.opened(desk.image, workspace) as remote:
        yield remote._handle  # noqa: SLF001
