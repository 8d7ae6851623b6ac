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
"""What killed programs have left on this host."""

import contextlib
import fcntl
import os
import pathlib
import re
import subprocess
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from tests.integration import loops

PROC = pathlib.Path('/proc')
LOCKS = pathlib.Path('/run/imagebuild/sandbox-ids')
TRIALS = pathlib.Path('/run/imagebuild/trials')
CGROUPS = pathlib.Path('/sys/fs/cgroup')
_TIME_LIMIT = 90.0
_SYNC = 300


def start_time(pid: int) -> int | None:
    """When a process started; None when it is gone, or a zombie."""
    with contextlib.suppress(OSError):
        line = (PROC / str(pid) / 'stat').read_bytes()
        fields = line.rpartition(b')')[2].split()
        if fields[0] not in (b'Z', b'X'):
            return int(fields[19])
    return None


def pids() -> Iterator[int]:
    for name in os.listdir(PROC):
        if name.isdigit() and int(name) != os.getpid():
            yield int(name)


def command_line(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / 'cmdline').read_text().split('\0')[:-1]
    return []


def children(pid: int) -> list[int]:
    """The children of a process, whichever of its threads has them."""
    found: list[int] = []
    for path in (PROC / str(pid) / 'task').glob('*/children'):
        with contextlib.suppress(OSError):
            found += [int(child) for child in path.read_text().split()]
    return found


def below(root: int) -> dict[int, int]:
    """Every process below one and itself, with the time of its start."""
    found, todo = {}, [root]
    while todo:
        pid = todo.pop()
        started = start_time(pid)
        if started is not None:
            found[pid] = started
        todo += children(pid)
    return found


def left(
    place: pathlib.Path,
    known: Mapping[int, int],
    *,
    allowed: Iterable[int] = (),
    networks: Collection[str] = (),
) -> list[str]:
    """What is left after the next start and some time; [] for nothing.

    :param place: a directory that all its files are in.
    :param known: processes that it had.
    :param allowed: processes that may go on.
    :param networks: network namespaces that it had.
    """
    return _patiently(
        lambda: [
            *_running(place, known, allowed),
            *_networks_left(networks),
            *_control_groups(),
            *_trials(),
        ]
    )


def running(place: pathlib.Path, known: Mapping[int, int]) -> list[str]:
    """What the kernel ends by itself, before any next start."""
    return _patiently(lambda: _running(place, known, ()))


def _patiently(look: Callable[[], list[str]]) -> list[str]:
    end = time.monotonic() + _TIME_LIMIT
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _running(
    place: pathlib.Path, known: Mapping[int, int], allowed: Iterable[int]
) -> list[str]:
    return [*_processes(place, known, set(allowed)), *loops.below(place)]


def _processes(
    place: pathlib.Path, known: Mapping[int, int], allowed: set[int]
) -> list[str]:
    found = []
    text = str(place)
    for pid in pids():
        started = start_time(pid)
        if started is None or pid in allowed:
            continue
        line = ' '.join(command_line(pid))
        if known.get(pid) == started:
            found.append(f'process {pid} {line[:80]}')
        elif text in line or text in _link(pid, 'cwd'):
            found.append(f'process {pid} {line[:80]} (by its directory)')
        elif text in _mounts(pid):
            found.append(f'mount, seen by {pid} {line[:80]}')
    return found


def networks(known: Iterable[int]) -> set[str]:
    """Network namespaces that processes are in or hold; not this one's."""
    found = set()
    for pid in known:
        found.update(_networks_of(pid))
    return found - {_link(os.getpid(), 'ns/net')}


def _networks_of(pid: int) -> set[str]:
    found = {_link(pid, 'ns/net')}
    with contextlib.suppress(OSError):
        for name in os.listdir(PROC / str(pid) / 'fd'):
            target = _link(pid, f'fd/{name}')
            if target.startswith('net:['):
                found.add(target)
    return found - {''}


def _networks_left(known: Collection[str]) -> list[str]:
    """Those that somebody is in, holds, or has mounted."""
    if not known:
        return []
    found = []
    for pid in pids():
        mounts = _mounts(pid)
        for network in known:
            if network in _networks_of(pid) or network in mounts:
                found.append(f'network namespace {network} of {pid}')
    return found


def _link(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(PROC / str(pid) / name)
    return ''


def _mounts(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / 'mountinfo').read_text('utf-8', 'replace')
    return ''


def _control_groups() -> list[str]:
    """Groups whose range of ids nobody has."""
    found = []
    for path in CGROUPS.glob('**/imagebuild/imagebuild-*'):
        if not _is_held(path.name.removeprefix('imagebuild-')):
            found.append(f'control group {path}')
    return found


def _trials() -> list[str]:
    """Directories of trials whose process is gone."""
    with contextlib.suppress(FileNotFoundError):
        return [
            f'trial {path}'
            for path in TRIALS.iterdir()
            if not _is_locked(path / 'lock')
        ]
    return []


def _is_held(name: str) -> bool:
    """Whether somebody has a range of ids."""
    return _is_locked(LOCKS / name)


def _is_locked(path: pathlib.Path) -> bool:
    with contextlib.suppress(OSError):
        lock = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
    return False


def files(directory: pathlib.Path, allowed: Iterable[str]) -> list[str]:
    """Names in a directory that should not be there."""
    with contextlib.suppress(FileNotFoundError):
        return [
            f'{directory.name}/{name}'
            for name in sorted(set(os.listdir(directory)) - set(allowed))
        ]
    return []


def unfinished(cache: pathlib.Path) -> list[str]:
    """What is in a cache of base images and is no image, after some time."""

    def look() -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [
                f'{cache.name}/{name}'
                for name in sorted(os.listdir(cache))
                if name.startswith('.') or name.endswith('.part')
            ]
        return []

    return _patiently(look)


def half_layers(store: pathlib.Path) -> list[str]:
    """What is in a layer store and is no whole layer."""
    if not store.exists():
        return []
    known = ('secret', 'layers', 'incoming', 'facts')
    found = files(store, known) + files(store / 'incoming', ())
    for path in sorted((store / 'facts').iterdir()):
        if not re.fullmatch('[0-9a-f]{64}\\.json', path.name):
            found.append(f'facts/{path.name}')
    whole = {'disk.qcow2', 'layer.json', 'lock'}
    for path in sorted((store / 'layers').iterdir()):
        if set(os.listdir(path)) != whole:
            found.append(f'layers/{path.name}: {sorted(os.listdir(path))}')
    return found


def sync_hangs() -> list[str]:
    """sync(2) of the whole host must come to an end."""
    try:
        subprocess.run(['sync'], timeout=_SYNC, check=True)
    except subprocess.TimeoutExpired:
        return [f'sync takes more than {_SYNC} s']
    return []
