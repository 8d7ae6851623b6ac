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
"""What commands in a sandbox try against the host, and what they leave.

One sandbox for nearly everything: a host or sandbox that is harmed shows in
what is tried next. Nothing is emulated, so each is a matter of a second.
"""

import contextlib
import os
import pathlib
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import TypeVar

import pytest

import imagebuild
from imagebuild import exception
from imagebuild import sandbox
from imagebuild.common import user_network
from imagebuild.remotes import sandbox as remotes
from imagebuild.sandbox import connection
from imagebuild.sandbox import identities
from tests.contract import disk_contract
from tests.integration import loops
from tests.integration import sandboxes

T = TypeVar('T')

FIRST_ID = 0x7000_0000
SETTINGS = sandboxes.SETTINGS
MACHINE = ('x86_64', 'aarch64').index(platform.machine())
#: Numbers of system calls on either machine (asm/unistd.h).
REFUSED = {
    'kexec_load': (246, 104),
    'kexec_file_load': (320, 294),
    'reboot': (169, 142),
    'init_module': (175, 105),
    'finit_module': (313, 273),
    'delete_module': (176, 106),
    'bpf': (321, 280),
    'perf_event_open': (298, 241),
    'keyctl': (250, 219),
    'add_key': (248, 217),
    'userfaultfd': (323, 282),
    'open_by_handle_at': (304, 265),
    'pivot_root': (155, 41),
    'setns': (308, 268),
}
#: Has a supervisor find no control groups.
NO_GROUPS = """\
from imagebuild.sandbox import cgroups
cgroups._hierarchies = lambda mountinfo: iter(())
sys.exit("""


@pytest.fixture(scope='module')
def remote(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[remotes.SandboxRemote]:
    directory = tmp_path_factory.mktemp('hostile')
    with contextlib.ExitStack() as stack:
        before = os.umask(0o077)
        try:
            opened = stack.enter_context(
                sandboxes.opened(minimal_image, directory)
            )
        finally:
            os.umask(before)
        yield opened
        # Nothing that was tried here keeps the disk busy.
        opened.shutdown()


def tried(remote: remotes.SandboxRemote, script: str) -> str:
    """What a script prints, on both streams and whatever comes of it."""
    result = remote.run(['bash', '-c', script], check=False)
    assert result.exit_code != 127, result.stderr
    return result.stdout + result.stderr


# -- what is the host administrator's -----------------------------------------


@pytest.mark.parametrize(
    'script',
    [
        'mknod /tmp/disk b 254 0',
        'mknod /tmp/memory c 1 1',
        'mount -t tmpfs tmpfs /mnt',
        'mount -o remount,rw /sys',
        'mount --bind /etc /mnt',
        'umount -l /proc/sys',
        'umount -l /dev',
        'unshare --mount true',
        'unshare --user true',
        'unshare --net true',
        'nsenter --target 1 --mount true',
        'nsenter --target $$ --user true',
        'echo b >/proc/sysrq-trigger',
        'echo "|/tmp/x" >/proc/sys/kernel/core_pattern',
        'echo 1 >/proc/sys/vm/panic_on_oom',
        'echo /tmp/x >/proc/sys/kernel/modprobe',
        'echo /tmp/x >/sys/kernel/uevent_helper',
        'ls /proc/1/root/',
        'ls /proc/1/cwd/',
        'ls /proc/1/fd/',
        'cat /proc/1/environ',
        'kill -9 1',
        'dmesg',
        'hostname taken',
        'date -s 2001-01-01',
        'swapon /dev/zero',
        'losetup -f',
        'head -c 1 /proc/kcore',
        'head -c 1 /dev/mem',
        'head -c 1 /dev/kmsg',
        'ls /dev/*d[ab]* /dev/loop-control /dev/fuse /dev/kvm | grep .',
        'ls /proc/self/fd/0/.. /proc/self/fd/1/..',
    ],
)
def test_it_is_refused(remote: remotes.SandboxRemote, script: str) -> None:
    result = remote.run(['bash', '-c', script], check=False)
    assert result.exit_code not in (0, 127), result.output
    assert remote.run(['echo', 'well']).stdout == 'well\n'


def test_system_calls(remote: remotes.SandboxRemote) -> None:
    """By number: the image has no programs for them."""
    numbers = {name: each[MACHINE] for name, each in REFUSED.items()}
    script = 'foreach (@ARGV) { syscall($_, 0, 0, 0, 0, 0); print "$!\n" }'
    shown = remote.run(['perl', '-e', script, *map(str, numbers.values())])
    assert dict(zip(numbers, shown.stdout.splitlines(), strict=True)) == (
        dict.fromkeys(numbers, 'Operation not permitted')
    )


def test_rights(remote: remotes.SandboxRemote) -> None:
    status = remote.run(['cat', '/proc/self/status']).stdout
    fields = dict(re.findall(r'^(\w+):\t(.*)$', status, re.MULTILINE))
    assert fields['CapEff'] == fields['CapBnd'] == '00000000a00405fb'
    assert (fields['NoNewPrivs'], fields['Seccomp']) == ('1', '2')
    first = int(remote.run(['cat', '/proc/self/uid_map']).stdout.split()[1])
    # Other sandboxes on this host have other ranges.
    assert first >= FIRST_ID and not (first - FIRST_ID) % identities.SIZE


def test_processes_of_the_host(remote: remotes.SandboxRemote) -> None:
    own = os.getpid()
    assert 'No such process' in tried(remote, f'kill -9 {own}')
    shown = tried(remote, 'ls -d /proc/[0-9]*').split()
    assert len(shown) < 5 and f'/proc/{own}' not in shown


# -- the host's network -------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """Listens on every address; its port, and who came."""
    came: list[str] = []
    with socket.create_server(('', 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, address = server.accept()
                    came.append(address[0])
                    client.sendall(b'reached')
                    client.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)


REACH = 'timeout 5 cat </dev/tcp/{}/{} 2>&1'
#: Of what answers, or is refused, at once: a busy host may take its time.
REACH_AT_ONCE = REACH.replace('5', '200', 1)


def test_servers_of_the_host(
    remote: remotes.SandboxRemote, listener: tuple[int, list[str]]
) -> None:
    port, came = listener
    addresses = [
        '127.0.0.1',
        'localhost',
        '0.0.0.0',
        '169.254.240.2',
        user_network.NAME_SERVER,
        *user_network.host_addresses(),
    ]
    script = '; '.join(REACH.format(each, port) for each in addresses)
    assert 'reached' not in tried(remote, script)
    assert came == []
    shown = tried(remote, REACH_AT_ONCE.format('169.254.169.254', 80))
    assert 'unreachable' in shown or 'No route' in shown


def test_the_host_when_it_is_allowed(
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
    listener: tuple[int, list[str]],
) -> None:
    settings = sandbox.SandboxSettings(allow_host_network=True)
    with sandboxes.opened(minimal_image, tmp_path, settings) as remote:
        shown = tried(
            remote, REACH_AT_ONCE.format('169.254.240.2', listener[0])
        )
        assert shown == 'reached'
        remote.shutdown()


def test_no_network(
    minimal_image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    settings = sandbox.SandboxSettings(network=False)
    with sandboxes.opened(minimal_image, tmp_path, settings) as remote:
        shown = tried(remote, 'cat /proc/net/dev; cat /etc/resolv.conf')
        assert ' lo:' in shown and 'tap0' not in shown
        assert user_network.NAME_SERVER not in shown
        remote.shutdown()


# -- more than there is -------------------------------------------------------

# Twice what it may have, for as long as nobody ends it.
HOG = """perl -e '$x = "x" x (1 << 20); push @all, "$x$_" for 1 .. 1024;
sleep 1000'"""
FORKS = """perl -e '
while (1) { $pid = fork; if (!defined $pid) { print "stopped: $!\n"; exit } }
'; sleep 0.2"""


def has_groups() -> bool:
    """Whether this host has control groups that limit memory, for us."""
    for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
        left, right = (part.split() for part in line.split(' - '))
        place, root, can_write = left[4], left[3], 'rw' in left[5].split(',')
        if right[0] == 'cgroup':
            offered = right[2].split(',')
        elif right[0] == 'cgroup2':
            file = pathlib.Path(place, 'cgroup.controllers')
            offered = file.read_text().split()
        else:
            continue
        if root == '/' and can_write and 'memory' in offered:
            return True
    return False


@pytest.fixture(params=['by the kernel', 'by the supervisor'])
def limited(
    request: pytest.FixtureRequest,
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[remotes.SandboxRemote]:
    """With limits of either kind.

    Where the kernel limits nothing the supervisor does it, unasked.
    """
    kernels = request.param == 'by the kernel'
    if not kernels:
        program = connection._PROGRAM.replace('sys.exit(', NO_GROUPS)
        monkeypatch.setattr(connection, '_PROGRAM', program)
    with sandboxes.opened(minimal_image, tmp_path) as opened:
        by_kernel = 'memory' in opened.supervisor.limited
        assert by_kernel == (kernels and has_groups())
        yield opened
        assert opened.run(['echo', 'well']).stdout == 'well\n'
        opened.shutdown()


def test_memory_and_processes(limited: remotes.SandboxRemote) -> None:
    with pytest.raises(exception.RemoteCommandFailed) as caught:
        limited.run(['bash', '-c', HOG])
    assert str(caught.value) == (
        'bash was ended: it used more than 512 MiB of memory'
    )
    assert caught.value.fault == 'user'
    shown = tried(limited, FORKS)
    assert 'Resource temporarily unavailable' in shown


def test_output_without_end(remote: remotes.SandboxRemote) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = remote.run(['bash', '-c', 'head -c 1G /dev/zero; echo end >&2'])
    assert result.stderr == 'end\n'
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 256 * 1024
    status = pathlib.Path(f'/proc/{remote.supervisor.pid}/status').read_text()
    [peak] = re.findall(r'^VmHWM:\s+(\d+) kB$', status, re.MULTILINE)
    assert int(peak) < 128 * 1024


def test_a_full_disk(remote: remotes.SandboxRemote) -> None:
    script = (
        'fallocate -l 2500M /srv/x; head -c 4G /dev/zero >/srv/y; '
        'echo full; head -c 1M /srv/y >/srv/z; stat -f -c "free %f" /srv; '
        'rm /srv/?'
    )
    shown = tried(remote, script)
    assert shown.count('No space left') == 2
    # What ext4 keeps for root is for the guest's root, as in the appliance;
    # not what it keeps for itself, 4096 blocks.
    assert int(shown.split('free ')[1].split()[0]) <= 4096
    remote.write_file('/srv/y', b'room again')


# -- the disk -----------------------------------------------------------------


def test_the_disk_has_a_name_that_boots(
    remote: remotes.SandboxRemote,
) -> None:
    """grub-mkconfig writes no entry at all for /dev/loop0 to /dev/loop9."""
    shown = tried(
        remote,
        'source=$(findmnt -no SOURCE /); echo $source; '
        'readlink -f /dev/disk/by-uuid/$(blkid -o value -s UUID $source)',
    ).split()
    assert re.fullmatch(r'/dev/loop\d\d+', shown[0])
    assert shown[1] == shown[0]


def test_the_disk_itself_can_only_be_read(
    remote: remotes.SandboxRemote,
) -> None:
    """As boot loaders' programs do; 0x4C01 is LOOP_CLR_FD."""
    script = (
        'device=$(echo /dev/disk/by-uuid/*); head -c 1M $device | wc -c; '
        'echo >$device; chmod 666 $device; rm $device; '
        'perl -e \'open F, "<$ARGV[0]"; print ioctl(F, 0x4C01, 0) // "$!\\n"\''
        ' $device'
    )
    shown = tried(remote, script).splitlines()
    assert (shown[0], shown[1]) == ('1048576', 'Operation not permitted')
    assert len([each for each in shown[2:] if 'ermi' in each]) == 3


def test_setuid_files_are_kept_and_do_not_act(
    remote: remotes.SandboxRemote,
) -> None:
    script = (
        'cp /bin/bash /srv/bash; chmod 6755 /srv/bash; '
        'setpriv --reuid 1 --regid 1 --clear-groups /srv/bash -p -c '
        '"id -u; id -g"; stat -c %a:%u /srv/bash'
    )
    assert tried(remote, script) == '1\n1\n6755:0\n'


def test_a_capability_of_a_file_is_a_plain_one(
    remote: remotes.SandboxRemote,
) -> None:
    """Version 2, as on every disk; not that of a user namespace."""
    value = '0100000200200000000000000000000000000000'
    script = (
        '$f = "/srv/capable"; open F, ">$f"; close F; '
        f'$n = "security.capability"; $v = pack("H*", "{value}"); '
        f'exit(syscall({disk_contract.SETXATTR}, $f, $n, $v, 20, 0) ? 1 : 0)'
    )
    remote.run(['perl', '-e', script])
    place = f'/proc/{remote.supervisor.pid}/root'
    [found] = [
        line.split()[4]
        for line in pathlib.Path(f'{place}/proc/1/mountinfo')
        .read_text()
        .splitlines()
        if line.split()[4].endswith('/sandbox/root')
    ]
    held = os.getxattr(f'{place}{found}/srv/capable', 'security.capability')
    assert held.hex() == value


def test_who_starts_it_may_have_any_umask(
    remote: remotes.SandboxRemote,
) -> None:
    """The fixture's is that of hosts where root shares nothing."""
    script = (
        'cat /proc/1/status /etc/resolv.conf && '
        'setpriv --reuid=1 --clear-groups cat /etc/resolv.conf && '
        'setpriv --reuid=1 --clear-groups ls /dev/disk/by-uuid'
    )
    assert 'denied' not in tried(remote, script)


def test_no_path_of_the_host_is_shown(
    remote: remotes.SandboxRemote, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Those of loop devices would tell of the builds of other projects."""
    assert loops.below(tmp_path_factory.getbasetemp())
    shown = tried(
        remote,
        'cat /sys/block/loop*/loop/backing_file /proc/[0-9]*/cmdline'
        ' /proc/mounts /proc/self/mountinfo /proc/self/cgroup | tr "\\0" " "',
    )
    assert str(tmp_path_factory.getbasetemp()) not in shown
    assert str(pathlib.Path(imagebuild.__file__).parents[1]) not in shown


@pytest.mark.parametrize('up', ['', '../../../../../../../..'])
def test_links_to_the_host(
    remote: remotes.SandboxRemote, tmp_path: pathlib.Path, up: str
) -> None:
    secret = tmp_path / 'secret'
    secret.write_text('the host')
    target = f'{up}{secret}'
    script = (
        f'cd /srv; rm -rf f d; ln -s {target} f; ln -s {target}/.. e; '
        f'ln -s {up}{tmp_path} d; rm -f /etc/resolv.conf; '
        f'ln -s {target} /etc/resolv.conf'
    )
    tried(remote, script)
    for path in ('/srv/f', '/srv/d/secret', '/etc/resolv.conf'):
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file(path)
        assert 'the host' not in tried(remote, f'cat {path}')
    remote.write_file('/srv/d/secret', b'the guest')
    remote.write_file('/srv/f', b'the guest')
    remote.remove_file('/srv/d/secret')
    assert (
        remote.run_script(b'echo >/etc/resolv.conf', name='x').exit_code == 0
    )
    assert secret.read_text() == 'the host'
    assert sorted(tmp_path.iterdir()) == [secret]
    tried(remote, f'rm -rf {tmp_path} /srv/* /etc/resolv.conf')


def test_a_link_where_a_file_system_is_mounted(
    minimal_image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with sandboxes.opened(minimal_image, tmp_path) as remote:
        # A command has a file system of ours there.
        remote.supervisor.call('rm_rf', '/sys')
        remote.supervisor.call('ln_s', '/etc', '/sys')
        with pytest.raises(exception.GuestBroken, match='/sys'):
            remote.run(['true'])


def test_daemons_that_hold_files(remote: remotes.SandboxRemote) -> None:
    script = (
        'for n in 1 2 3; do (trap "" TERM HUP; exec setsid sleep 17311 '
        '>/srv/held$n 2>&1 </dev/null) & done; cd /var; sleep 17311 & '
        'exec 9>/srv/own; echo begun'
    )
    assert tried(remote, script) == 'begun\n'
    assert tried(remote, 'cat /proc/[0-9]*/cmdline | grep -c 17311$') == '0\n'


# -- kill -9 ------------------------------------------------------------------

#: Opens a sandbox and runs a command that writes without end.
JOB = """\
import pathlib, sys
from tests.integration import loops
from tests.integration import sandboxes
image, directory = map(pathlib.Path, sys.argv[1:])
with sandboxes.opened(image, directory) as remote:
    print(remote.supervisor.pid, flush=True)
    script = 'sleep 17312 & while :; do date >/srv/x; sync; done'
    remote.run(['bash', '-c', script])
"""


def children(pid: int) -> list[int]:
    text = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return [int(each) for each in text.split()]


def named(pid: int) -> str:
    return pathlib.Path(f'/proc/{pid}/comm').read_text().strip()


def descendants(pid: int) -> list[int]:
    return [
        each
        for child in children(pid)
        for each in (child, *descendants(child))
    ]


def at_work(supervisor: int) -> tuple[dict[str, int], int] | None:
    """The children of a supervisor, and its command, once that runs."""
    # Some of them end meanwhile.
    with contextlib.suppress(OSError):
        below = {named(pid): pid for pid in children(supervisor)}
        if 'slirp4netns' not in below or 'init' not in below:
            return None
        commands = children(below['init'])
        if any(named(pid) == 'sleep' for pid in descendants(below['init'])):
            return below, commands[0]
    return None


def left(directory: pathlib.Path, first: int) -> list[str]:
    """What a sandbox left on this host.

    :param directory: that it had.
    :param first: of its ids.
    """
    found = []
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if first <= process.stat().st_uid < first + identities.SIZE:
                found.append(f'{process}')
            if str(directory).encode() in (process / 'cmdline').read_bytes():
                found.append(f'{process} {named(int(process.name))}')
    mounts = pathlib.Path('/proc/mounts').read_text()
    found += [line for line in mounts.splitlines() if str(directory) in line]
    found += loops.below(directory)
    groups = pathlib.Path('/sys/fs/cgroup').glob(f'**/imagebuild-{first}')
    return found + [str(each) for each in groups]


@pytest.mark.parametrize('who', ['job', 'watch', 'supervisor', 'slirp4netns'])
def test_nothing_is_left_when_one_is_killed(
    minimal_image: pathlib.Path, tmp_path: pathlib.Path, who: str
) -> None:
    with subprocess.Popen(
        [sys.executable, '-c', JOB, str(minimal_image), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    ) as job:
        assert job.stdout is not None and job.stderr is not None
        supervisor = int(job.stdout.readline())
        found = eventually(lambda: at_work(supervisor), seconds=120)
        assert found, 'its command does not run'
        below, command = found
        status = pathlib.Path(f'/proc/{supervisor}/status').read_text()
        [watch] = re.findall(r'^PPid:\s+(\d+)$', status, re.MULTILINE)
        table = pathlib.Path(f'/proc/{command}/uid_map').read_text()
        first = int(table.split()[1])
        victims = {'job': job.pid, 'watch': int(watch)}
        victims |= {'supervisor': supervisor, **below}
        os.kill(victims[who], signal.SIGKILL)
        told = job.stderr.read()
        assert job.wait(180) == (-9 if who == 'job' else 1)
        if who != 'job':
            assert 'SandboxFailed: The sandbox failed: ' in told
    if who == 'watch':
        # It is who removes control groups; the next one does it then.
        sandbox.Supervisor.start(SETTINGS, workspace=tmp_path).close()
    # Its ids are free for others; while we have them they are nobody else's.
    ids = eventually(lambda: identities.claim(first), seconds=180)
    assert ids is not None
    try:
        eventually(lambda: not left(tmp_path, first), seconds=120)
        assert left(tmp_path, first) == []
    finally:
        os.close(ids.lock)


def eventually(call: Callable[[], T], *, seconds: float) -> T:
    end = time.monotonic() + seconds
    while not (found := call()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def test_a_host_where_root_has_no_rights() -> None:
    """As in most containers; it is one sentence."""
    script = 'from imagebuild import sandbox; print(sandbox.missing())'
    done = subprocess.run(
        ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']
        + [sys.executable, '-c', script],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert 'root has not the rights of root here' in done.stdout
    assert 'unshare: Operation not permitted' in done.stdout
    assert done.stderr == ''
