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
"""What a command leaves in the appliance is found, named and undone."""

import dataclasses
import re
import time

import pytest

from imagebuild.remotes import appliance_state
from imagebuild.remotes import guest_leftovers

BOOTED = int(time.time()) - 60
KERNEL = 0x00200000
OWN = 900


def stat(
    pid: int,
    name: str,
    parent: int,
    *,
    started: int = 100,
    flags: int = 0,
    state: str = 'S',
    threads: int = 1,
) -> str:
    """A file /proc/PID/stat."""
    fields = ['0'] * 50
    fields[0], fields[1], fields[6] = state, str(parent), str(flags)
    fields[17], fields[19] = str(threads), str(started)
    return f'{pid} ({name}) {" ".join(fields)}'


def mount(point: str, *, device: str = '8:1', within: str = '/') -> str:
    return f'30 23 {device} {within} {point} rw - ext4 /dev/sda1 rw'


@dataclasses.dataclass
class Appliance:
    """What a handle says about files of an appliance, and what it does.

    :ivar stubborn: words of commands that have no effect.
    """

    processes: dict[int, str]
    mounts: list[str]
    swaps: list[str] = dataclasses.field(default_factory=list)
    devices: dict[str, str] = dataclasses.field(default_factory=dict)
    booted: int = BOOTED
    stubborn: tuple[str, ...] = ()
    done: list[str] = dataclasses.field(default_factory=list)

    def debug(self, kind: str, arguments: list[str]) -> str:
        assert kind == 'sh'
        (text,) = arguments
        if text.startswith('echo $$'):
            return self.look()
        assert text.isascii()
        for command in text.split('; '):
            self.done.append(command)
            self.undo(command)
        return ''

    def look(self) -> str:
        """The output of grep, in the order of a shell's names."""
        processes = {
            **self.processes,
            OWN: stat(OWN, 'sh', 80),
            OWN + 1: stat(OWN + 1, 'grep', OWN),
        }
        files = {
            '/proc/swaps': ['Filename Type Size', *self.swaps],
            '/proc/self/mountinfo': self.mounts,
            '/proc/stat': ['cpu 1 2', f'btime {self.booted}'],
            **{
                f'/proc/{pid}/stat': text.split('\n')
                for pid, text in processes.items()
            },
            **{
                f'/sys/block/{name}': text.split('\n')
                for name, text in self.devices.items()
            },
        }
        return f'{OWN}\n' + ''.join(
            f'{name}:{line}\n'
            for name, lines in files.items()
            for line in lines
        )

    def undo(self, command: str) -> None:
        words = command.split(' ')
        if any(word in command for word in self.stubborn):
            return
        match words:
            case ['kill', '-9', pid]:
                self.processes.pop(int(pid), None)
            case ['swapoff', path]:
                self.swaps = [s for s in self.swaps if s.split()[0] != path]
            case ['umount', '-i', path]:
                # Of several on one directory, the last.
                points = [text.split()[4] for text in self.mounts]
                if path in points:
                    del self.mounts[-1 - points[::-1].index(path)]
            case ['losetup', '-d', path]:
                self.devices.pop(f'{path[5:]}/loop/backing_file', None)
            case ['dmsetup', 'remove', name]:
                for key in [k for k, v in self.devices.items() if v == name]:
                    del self.devices[key]
            case ['mdadm', '--stop', path]:
                self.devices.pop(f'{path[5:]}/md/array_state', None)
            case ['date', '-s', when]:
                self.booted += int(when[1:]) - int(time.time()) + self.off
            case [':']:
                pass
            case _:
                raise AssertionError(command)

    @property
    def off(self) -> int:
        return BOOTED - self.booted


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Appliance:
    # It may not go on between a command and what the command does.
    now = time.time()
    monkeypatch.setattr(time, 'time', lambda: now)
    return Appliance(
        processes={
            1: stat(1, 'init', 0),
            2: stat(2, 'kthreadd', 0, flags=KERNEL),
            70: stat(70, 'systemd-udevd', 1),
            80: stat(80, 'guestfsd', 1),
        },
        mounts=[mount('/'), mount('/sysroot'), mount('/sysroot/boot')],
        devices={'dm-0/dm/name': 'guest-root'},
    )


@pytest.fixture
def before(handle: Appliance) -> appliance_state.State:
    return appliance_state.look(handle)


def test_nothing_is_left(
    handle: Appliance, before: appliance_state.State
) -> None:
    """What the appliance's own do is nobody's leftover."""
    handle.processes |= {
        90: stat(90, '(udev-worker)', 70, started=500),
        91: stat(91, 'helper', 90, started=501),
        92: stat(92, 'kworker/0:1', 2, flags=KERNEL),
        93: stat(93, 'ended', 1, state='Z'),
    }
    assert guest_leftovers.undo(handle, before) == []
    assert handle.done == []


def test_everything_is_undone(
    handle: Appliance, before: appliance_state.State
) -> None:
    handle.processes |= {
        200: stat(200, 'named', 1, started=600),
        201: stat(201, 'worker', 200, started=601),
        # A dead first thread, and another that lives.
        202: stat(202, 'threads', 1, state='Z', threads=2),
        203: stat(203, 'child', 80, started=602),
        # The number of one that was there, and is not any more.
        70: stat(70, 'systemd-udevd', 1, started=603),
    }
    handle.swaps = ['/sysroot/swapfile file 65532 0 -2']
    handle.mounts += [
        mount('/sysroot/j/proc', device='0:21'),
        mount('/sysroot/j'),
        mount('/sysroot/boot'),
    ]
    handle.devices |= {
        'loop0/loop/backing_file': '/sysroot/srv/d.img',
        'dm-1/dm/name': 'secret',
        'md127/md/array_state': 'active',
    }
    handle.booted += 3600
    assert guest_leftovers.undo(handle, before) == []
    assert handle.done[0] == 'kill -9 70'
    assert appliance_state.look(handle) == before._replace(
        processes={
            pid: process
            for pid, process in before.processes.items()
            if pid != 70
        }
    )


def test_one_thing_holds_another(
    handle: Appliance, before: appliance_state.State
) -> None:
    """The inner is found again after the outer has gone."""
    handle.mounts += [mount('/sysroot/a'), mount('/sysroot/a')]
    handle.stubborn = ('/sysroot/a',)
    held = guest_leftovers.found(before, appliance_state.look(handle))
    assert [each.undo for each in held] == ['umount -i /sysroot/a'] * 2
    handle.stubborn = ()
    assert guest_leftovers.undo(handle, before) == []


@pytest.mark.parametrize(
    ('left', 'said'),
    [
        ({'swaps': ['/sysroot/swap\\040file file 1 0 -2']},
         'swap on /swap file'),
        ({'devices': {'loop3/loop/backing_file': '/sysroot/d\x1b[2J.img'}},
         'the loop device loop3 (/d\\x1b[2J.img)'),
        ({'devices': {'dm-7/dm/name': 'vault'}}, 'the mapped device vault'),
        ({'devices': {'md0/md/array_state': 'clean'}}, 'the array md0'),
        ({'processes': {300: stat(300, 'po)(st\nfix', 1)}},
         'the process 300 (po)(st\\nfix)'),
        ({'mounts': [mount('/sysroot/m\\012nt'), mount('/run/x')]},
         'a file system mounted on /run/x, '
         'a file system mounted on /m\\nnt'),
        ({'mounts': [mount(f'/sysroot/{number}') for number in range(9)]},
         'a file system mounted on /8, a file system mounted on /7, '
         'a file system mounted on /6, 6 more'),
    ],
)  # fmt: skip
def test_what_cannot_be_undone_is_named(
    handle: Appliance,
    before: appliance_state.State,
    left: dict[str, object],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, 'sleep', lambda _seconds: None)
    handle.stubborn = ('kill', 'swapoff', 'umount', 'losetup', 'dm')
    for name, value in left.items():
        held = getattr(handle, name)
        more = held | value if isinstance(held, dict) else held + value
        setattr(handle, name, more)
    found = guest_leftovers.undo(handle, before)
    assert guest_leftovers.summary(found) == said


def test_what_was_unmounted_is_named(
    handle: Appliance, before: appliance_state.State
) -> None:
    handle.mounts.pop()
    found = guest_leftovers.undo(handle, before)
    assert guest_leftovers.summary(found) == '/boot unmounted'


def test_names_are_one_word_of_a_shell(
    handle: Appliance, before: appliance_state.State
) -> None:
    handle.mounts.append(mount("/sysroot/$(reboot)'\\040ö"))
    (left,) = guest_leftovers.found(before, appliance_state.look(handle))
    word = re.fullmatch(
        r'umount -i "\$\(printf \'((\\\d{3})+)\'\)"', left.undo
    )
    assert word is not None
    name = re.sub(r'\\(\d{3})', lambda m: chr(int(m[1], 8)), word[1])
    assert name.encode('latin-1').decode() == "/sysroot/$(reboot)' ö"


def test_a_name_cannot_be_a_line(
    handle: Appliance, before: appliance_state.State
) -> None:
    """A process that looks like two, and a path that looks like a table."""
    handle.processes[400] = stat(400, 'a) S 1\r\n1 (init', 1)
    handle.devices['loop0/loop/backing_file'] = (
        '/sysroot/x\n/proc/swaps:\n/proc/1/stat:1 (init) S 0'
    )
    now = appliance_state.look(handle)
    assert now.processes[400].name == b'a) S 1\r\n1 (init'
    assert set(now.processes) == {1, 70, 80, 400}
    assert now.loops['loop0'].startswith(b'/sysroot/x\n/proc/swaps')
    assert guest_leftovers.undo(handle, before) == []


def test_a_state_that_is_none() -> None:
    for text in (b'', b'sh: not found\n', b'12\nfoo\n'):
        with pytest.raises(ValueError):
            appliance_state.parse(text)
