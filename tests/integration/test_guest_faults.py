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
"""Guests that get in the way of whoever runs them: real appliances."""

import pathlib
import re
import time
from collections.abc import Iterator

import pytest

from imagebuild import appliance
from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.remotes import appliance_state
from imagebuild.remotes import guest_leftovers
from imagebuild.remotes import guestfs
from tests.integration import test_job
from tests.unit.remotes import test_guest_faults

#: Flags of a file of ext2 and its kin.
IMMUTABLE = 0x10
APPEND = 0x20
RESOLVER = b'search example.org\n'
WRITTEN = b'nameserver 192.0.2.1\n'
ROTATE = b'options rotate\n'

pytestmark = pytest.mark.timeout(1200)


def _open(
    image: pathlib.Path, directory: pathlib.Path
) -> guestfs.GuestfsRemote:
    path = directory / 'overlay.qcow2'
    overlay.create(image_file.inspect(image), path)
    return guestfs.GuestfsRemote(
        [appliance.Drive(path, 'qcow2')], workspace=directory
    )


@pytest.fixture(scope='module')
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('faults')


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, directory: pathlib.Path
) -> Iterator[guestfs.GuestfsRemote]:
    """One appliance for all that it survives; its resolv.conf is fixed."""
    with _open(minimal_image, directory) as remote:
        handle = remote.appliance.handle
        handle.write('/etc/resolv.conf', RESOLVER)
        handle.set_e2attrs('/etc/resolv.conf', 'i')
        yield remote


class TestShells:
    """First, since it is looked at before the first command."""

    @pytest.fixture(autouse=True)
    def shell(self, opened: guestfs.GuestfsRemote) -> Iterator[None]:
        handle = opened.appliance.handle
        handle.mv('/usr/bin/sh', '/usr/bin/sh.kept')
        yield
        handle.mv('/usr/bin/sh.kept', '/usr/bin/sh')

    def test_of_another_architecture(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        handle = opened.appliance.handle
        handle.write('/usr/bin/other', test_guest_faults.elf(183))
        handle.ln_s('other', '/usr/bin/sh')
        with pytest.raises(exception.InvalidImage, match='is for aarch64'):
            opened.run(['true'])

    def test_that_is_a_link_to_itself(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        opened.appliance.handle.ln_s('sh', '/usr/bin/sh')
        with pytest.raises(exception.InvalidImage, match='cannot be found'):
            opened.run(['true'])


def test_a_resolver_that_is_immutable(opened: guestfs.GuestfsRemote) -> None:
    """It is no hindrance, and changed for the command as any other is."""
    shown = opened.run(['cat', '/etc/resolv.conf']).stdout
    assert 'nameserver' in shown
    assert opened.read_file('/etc/resolv.conf') == RESOLVER


def test_a_script_that_makes_it_immutable(
    opened: guestfs.GuestfsRemote,
) -> None:
    """What it wrote is kept, and the next command runs."""
    handle = opened.appliance.handle
    before = handle.glob_expand('/etc/*')
    for script, kept in (
        ('echo nameserver 192.0.2.1 >$file; chattr +i $file', WRITTEN),
        ('chattr +a $file', WRITTEN),
        ('echo options rotate >>$file; chattr +ai $file', WRITTEN + ROTATE),
    ):
        opened.run(['sh', '-ec', f'file=/etc/resolv.conf; {script}'])
        assert opened.read_file('/etc/resolv.conf') == kept
    assert opened.run(['cat', '/etc/resolv.conf']).stdout
    assert handle.glob_expand('/etc/*') == before


def test_a_script_that_makes_its_directory_immutable(
    opened: guestfs.GuestfsRemote,
) -> None:
    handle = opened.appliance.handle
    before = set(handle.glob_expand('/etc/*'))
    script = b'chattr +i /etc'
    with pytest.raises(exception.GuestBroken, match=r'x\.sh.*be replaced'):
        opened.run_script(script, name='x.sh')
    # For the tests below; libguestfs has the guest's own under another name.
    handle.set_e2attrs('/etc', 'i', clear=True)
    (own,) = set(handle.glob_expand('/etc/*')) - before
    handle.mv(own, '/etc/resolv.conf')


#: Programs of the appliance, which a guest reaches if it wants to: this one
#: has neither LVM nor cryptsetup nor mdadm of its own.
OUTSIDE = 'out() { chroot /proc/1/root "$@"; }; '
JAIL = """perl -e 'mkdir "/srv/jail"; chroot "/srv/jail" or die; chdir "/";
exit if fork; close STDIN; close STDOUT; close STDERR; sleep 1000'
echo started
"""
LOUD_JAIL = """perl -e 'mkdir "/srv/loud"; chroot "/srv/loud" or die;
exit if fork; sleep 1000'
echo started
"""
ESCAPED = """perl -e 'exit if fork; chroot "/proc/1/root"; chdir "/";
close STDIN; close STDOUT; close STDERR; sleep 1000'
sleep 1
"""
SWAP = """fallocate -l 16M /swapfile && chmod 600 /swapfile
mkswap /swapfile && swapon /swapfile && cat /proc/swaps
"""
LOOPS = """truncate -s 8M /srv/d.img; mke2fs -q -F /srv/d.img
losetup -f --show /srv/d.img
mkdir -p /mnt/x; mount -o loop /srv/d.img /mnt/x; grep loop /proc/mounts
truncate -s 1M /mnt/x/inner; losetup -f /mnt/x/inner
"""
HIDDEN = """mkdir -p /srv/j/proc; mount -t proc proc /srv/j/proc
mount --bind / /srv/j; mount -t tmpfs over /proc; mount -t tmpfs 'a b' /media
"""
ELSEWHERE = """touch /srv/ns; unshare --mount=/srv/ns sh -c '
mount -t tmpfs x /mnt; sleep 1000 >/dev/null 2>&1 &'
unshare -m sh -c 'mount --bind /srv /mnt; cd /mnt; umount -l /mnt
sleep 1000 >/dev/null 2>&1 &'
"""
MAPPED = (
    OUTSIDE
    + """truncate -s 8M /srv/m.img
loop=$(losetup -f --show /srv/m.img)
out dmsetup create vault --table "0 4096 linear $loop 0"
out dmsetup create inner --table '0 2048 linear /dev/mapper/vault 0'
out dmsetup ls; ls /sys/block | grep dm-
"""
)
ARRAY = (
    OUTSIDE
    + """truncate -s 16M /srv/r.img
loop=$(losetup -f --show /srv/r.img)
out mdadm --create /dev/md7 --force --run --level=0 --raid-devices=1 "$loop"
cat /proc/mdstat
"""
)


class TestLeftovers:
    """What a command left is undone; in the end all of the image is whole."""

    @pytest.mark.parametrize(
        ('script', 'said'),
        [
            pytest.param(JAIL, 'started', id='daemon in its own root'),
            pytest.param(LOUD_JAIL, 'started', id='daemon that can print'),
            pytest.param(ESCAPED, '', id='daemon in the root outside'),
            pytest.param(SWAP, '/swapfile', id='swap'),
            pytest.param(LOOPS, '/dev/loop', id='loop devices'),
            pytest.param(HIDDEN, '', id='hidden mounts'),
            pytest.param(ELSEWHERE, '', id='other namespaces'),
            pytest.param(MAPPED, 'vault', id='device mapper'),
            pytest.param(ARRAY, 'md7 : active', id='array'),
        ],
    )
    def test_it_is_undone(
        self, opened: guestfs.GuestfsRemote, script: str, said: str
    ) -> None:
        opened.prepare()
        result = opened.run_script(script.encode(), name='x.sh', timeout=300)
        assert said in result.stdout, result
        handle = opened.appliance.handle
        now = appliance_state.look(handle)
        assert guest_leftovers.found(opened.before, now) == []
        # Nor is there a file system that is not to be seen any more.
        assert 'loop' not in handle.debug('sh', ['ls /sys/fs/ext4'])


class TestLimits:
    """The clock of this host decides, whatever the guest says or sets."""

    def test_a_clock_set_forward_stops_nothing(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        script = b'date -s "+1 hour"; sleep 1; echo x >>/srv/runs; echo done'
        result = opened.run_script(script, name='x.sh', timeout=300)
        assert result.stdout.endswith('done\n')
        # Once, not again because somebody thought it had been stopped.
        assert opened.read_file('/srv/runs') == b'x\n'
        # It is right again for what comes next.
        now = int(opened.run(['date', '+%s']).stdout)
        assert abs(now - time.time()) < 60

    def test_a_clock_set_back_keeps_nothing_running(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        script = b'date -s "-3 hours"; sleep 300'
        with pytest.raises(exception.RemoteCommandTimeout) as caught:
            opened.run_script(script, name='x.sh', timeout=3)
        assert str(caught.value) == 'x.sh was stopped after 3 seconds.'

    def test_a_guest_that_says_that_it_was_stopped(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        script = b'for d in /dev/.imagebuild-*; do : >$d/stopped; done; exit 3'
        with pytest.raises(exception.RemoteCommandFailed) as caught:
            opened.run_script(script, name='x.sh', timeout=300)
        assert caught.value.exit_code_of_command == 3


class TestTheEnd:
    """Last, since the appliance is ended."""

    def test_everything_is_on_the_disk(
        self,
        opened: guestfs.GuestfsRemote,
        directory: pathlib.Path,
        tmp_path: pathlib.Path,
    ) -> None:
        opened.shutdown()
        inside = test_job.Inside(directory / 'overlay.qcow2', tmp_path)
        assert inside.cat('/srv/runs') == 'x\n'
        shown = inside.stat('/etc/resolv.conf')
        (flags,) = re.findall(r'Flags: 0x([0-9a-f]+)', shown)
        assert int(flags, 16) & IMMUTABLE
        assert int(flags, 16) & APPEND
        inside.check()


# With nothing on the console that says so.
QUIET = """echo 0 >/proc/sys/kernel/printk; chroot /proc/1/root reboot -f
sleep 600
"""
# Of the appliance, whose processes a guest sees.
KILL = """for p in /proc/[0-9]*; do
read -r name <$p/comm; [ "$name" = guestfsd ] && kill -9 "${p#/proc/}"
done; sleep 600
"""
BOMB = 'f() { f | f & }; f; sleep 600'
# On what cannot be reached any more, so it cannot be turned off.
STUCK = """truncate -s 32M /srv/d.img; mke2fs -q -F /srv/d.img
mkdir -p /mnt/x; mount -o loop /srv/d.img /mnt/x; cd /mnt/x
dd if=/dev/zero of=swap bs=1M count=8; chmod 600 swap
mkswap swap; swapon swap; cd /; umount -l /mnt/x
"""


@pytest.mark.parametrize(
    ('script', 'said'),
    [
        (QUIET, 'it was shut down from inside'),
        (KILL, 'it was shut down from inside'),
        (BOMB, 'it could not be stopped'),
    ],
    ids=['silent reboot', 'guestfsd', 'fork bomb'],
)
def test_a_guest_that_ends_its_appliance(
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
    script: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guestfs, '_GRACE', 10)
    # A bomb is given the time to go off, more where its host is very busy;
    # the others end by themselves.
    for seconds in (3, 60) if script == BOMB else (300,):
        directory = tmp_path / str(seconds)
        directory.mkdir()
        with _open(minimal_image, directory) as remote:
            if script == KILL:
                what_cannot_be_undone(remote)
            with pytest.raises(exception.ImageBuildError) as caught:
                remote.run_script(
                    script.encode(), name='x.sh', timeout=seconds
                )
        if not isinstance(caught.value, exception.RemoteCommandTimeout):
            break
    assert (caught.value.fault, caught.value.exit_code) == ('user', 1)
    assert said in str(caught.value)
    assert str(caught.value).startswith('x.sh ')


def what_cannot_be_undone(remote: guestfs.GuestfsRemote) -> None:
    """It fails its step; here, since it needs an appliance to itself."""
    with pytest.raises(exception.GuestBroken) as caught:
        remote.run_script(STUCK.encode(), name='x.sh', timeout=300)
    assert re.fullmatch(
        r'x.sh broke the run: it left swap on /swap, the loop device loop\d '
        r'\(/srv/d.img\), which cannot be undone.',
        str(caught.value),
    )
    # Nor is the disk whole, if somebody goes on; that is no other's fault.
    with pytest.raises(exception.GuestBroken, match='could not be unmounted'):
        remote.shutdown()
