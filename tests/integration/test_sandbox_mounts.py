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
"""Disks of every layout, mounted by this host's kernel.

The disks are made by this host's mkfs, served by the disk server over an
overlay, and mounted in a process with a mount namespace of its own; the same
tests as those of tests/integration/test_mounts.py over an appliance. Root;
15 s in all.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from tests.integration import loops
from tests.integration import sandboxes
from tests.integration.native_disk import Native

pytestmark = pytest.mark.timeout(600)

MIB = 1024 * 1024
MISSING = '01234567-89ab-cdef-0123-456789abcdef'
ROOT = '11111111-2222-3333-4444-555555555555'
VAR = '22222222-2222-3333-4444-555555555555'
PART = '33333333-2222-3333-4444-555555555555'


def part(path: pathlib.Path, kind: str, size: int, *options: str) -> None:
    """Make a file system in a file."""
    with path.open('wb') as made:
        made.truncate(size * MIB)
    quiet = {'ext4': ['-q', '-F'], 'xfs': ['-q', '-f'], 'btrfs': ['-q']}
    subprocess.run(
        [f'mkfs.{kind}', *quiet.get(kind, []), *options, path],
        check=True,
        capture_output=True,
    )


def disk(
    directory: pathlib.Path,
    *parts: tuple[str, int, tuple[str, ...]],
    label: str = 'gpt',
) -> image_file.ImageInfo:
    """A raw disk of partitions: kind, MiB, options of mkfs."""
    path = directory / 'base.img'
    script, start = [f'label: {label}'], 1
    with path.open('wb') as made:
        made.truncate((2 + sum(size for _, size, _ in parts)) * MIB)
    for number, (_, size, _) in enumerate(parts, 1):
        identity = f', uuid={PART[:-1]}{number}' if label == 'gpt' else ''
        script.append(f'start={start}MiB, size={size}MiB{identity}')
        start += size
    subprocess.run(
        ['sfdisk', '-q', '--no-tell-kernel', path],
        input='\n'.join(script).encode(),
        check=True,
    )
    start = 1
    for kind, size, options in parts:
        one = directory / 'part'
        if kind:
            part(one, kind, size, *options)
            subprocess.run(
                ['dd', f'if={one}', f'of={path}', 'bs=1M', f'seek={start}']
                + ['conv=notrunc,sparse', 'status=none'],
                check=True,
            )
            one.unlink()
        start += size
    return image_file.inspect(path)


def over(
    base: image_file.ImageInfo, name: str = 'top'
) -> tuple[image_file.ImageInfo, ...]:
    path = base.path.parent / name
    overlay.create(base, path)
    top = image_file.ImageInfo(
        path, 'qcow2', base.virtual_size, 0, backing=base
    )
    return (*reversed(base.chain), top)


def system(child: Any, name: str, fstab: str) -> None:
    """Make the mounted file system look like a root."""
    for path in ('/etc', '/usr', '/usr/lib'):
        child.mkdir_mode(path, 0o755)
    text = f'ID=x\nPRETTY_NAME="{name}"\n'
    child.write('/usr/lib/os-release', text.encode())
    child.ln_s('../usr/lib/os-release', '/etc/os-release')
    child.write('/etc/fstab', fstab.encode())


def has_vfat() -> bool:
    """Whether this host's kernel has vfat, or a module for it."""
    known = pathlib.Path('/proc/filesystems').read_text().split()
    module = subprocess.run(['modprobe', '--dry-run', '-q', 'vfat'])
    return 'vfat' in known or module.returncode == 0


@contextlib.contextmanager
def alone(native: Native, device: str) -> Iterator[Any]:
    """Mount one file system and nothing else."""
    native.child.umount_all()
    native.child.mount(device, '/')
    yield native.child
    native.child.umount_all()


SEPARATE = (
    ('vfat', 40, ('-i', 'ABCD1234')),
    ('ext4', 40, ('-L', 'BOOT')),
    ('xfs', 400, ('-m', f'uuid={ROOT}')),
    ('ext4', 40, ('-U', VAR)),
)


@pytest.fixture
def separate(tmp_path: pathlib.Path) -> image_file.ImageInfo:
    """A disk with a file system each for /, /boot, /boot/efi and /var."""
    base = disk(tmp_path, *SEPARATE)
    with Native(tmp_path, (base,)) as native:
        with alone(native, '/dev/sda3') as child:
            system(
                child,
                'Separate',
                '# what is mounted\n'
                'UUID=ABCD-1234\t/boot/efi vfat umask=0077 0 1\n'
                f'PARTUUID={PART[:-1]}4 /var ext4 defaults 0 2\n\n'
                f'UUID={ROOT} / xfs defaults 0 1\n'
                'LABEL=BOOT /boot ext4 defaults 0 2\n'
                'proc /proc proc defaults 0 0\ntmpfs /tmp tmpfs size=1G 0 0\n'
                f'UUID={MISSING} none swap sw 0 0\n'
                'LABEL=BOOT /mnt ext4 noauto 0 0\n/var/x /srv none bind 0 0\n',
            )
        native.finish()
    return base


def test_separate_file_systems(
    separate: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    # Twice at once: xfs has a mind about one UUID that is there twice.
    with Native(tmp_path, over(separate)) as native:
        other = tmp_path / 'other'
        other.mkdir()
        root, notices = native.mount()
        assert root == '/dev/sda3'
        assert notices == []
        with Native(other, over(separate, 'again')) as second:
            assert second.mount() == ('/dev/sda3', notices)
            second.finish()
        expected = {
            '/': '/dev/sda3',
            '/boot': '/dev/sda2',
            '/boot/efi': '/dev/sda1',
            '/var': '/dev/sda4',
        }
        assert native.mounted() == expected
        table = native.child.sh(
            f'grep " {native.directory}/root" /proc/self/mountinfo'
        )
        assert len(table.splitlines()) == len(expected)
        for line in table.splitlines():
            assert ' rw,nosuid,nodev,noatime ' in line
        for target in expected:
            native.child.write(f'{target}/mark', target.encode())
        for target in ('/', '/boot', '/var'):
            native.child.fstrim(target)
        for target, device in expected.items():
            with alone(native, device) as child:
                assert child.read_file('/mark') == target.encode()
        with alone(native, '/dev/sda3') as child:
            assert not child.exists('/boot/mark')
        native.finish()
        assert (
            'disk.raw' not in second.directory.parent.joinpath('base.img').name
        )
    assert not loops.below(tmp_path)


def test_nothing_that_fstab_mounts_is_left_out(tmp_path: pathlib.Path) -> None:
    """What a package writes there would go into the directory below."""
    base = disk(tmp_path, ('ext4', 40, ()), ('', 4, ()))
    with base.path.open('r+b') as file:
        file.seek(41 * MIB + 32768)
        file.write(b'\x01CD001\x01')
    with Native(tmp_path, (base,)) as native:
        with alone(native, '/dev/sda1') as child:
            system(
                child,
                'Left out',
                f'PARTUUID={PART[:-1]}2 /boot/efi iso9660 nofail 0 0\n'
                f'UUID={MISSING} /srv ext4 nofail 0 0\n',
            )
        native.finish()
    with (
        pytest.raises(
            exception.NotForSandbox,
            match='this host cannot mount /dev/sda2 .it holds iso9660.',
        ),
        sandboxes.opened(base.path, tmp_path),
    ):
        pytest.fail('it is open')


@pytest.mark.parametrize('by_copy', [False, True])
def test_the_partition_of_the_firmware(
    tmp_path: pathlib.Path, by_copy: bool
) -> None:
    """Mounted as this host can, which is a copy where it has no vfat.

    The copy is tried everywhere; what is on the disk afterwards is the same.
    """
    mounted = 'tmpfs' if by_copy or not has_vfat() else 'vfat'
    base = disk(tmp_path, ('ext4', 40, ()), ('vfat', 40, ('-i', 'ABCD1234')))
    image = f'{base.path}@@{41 * MIB}'
    (tmp_path / 'Boot.efi').write_bytes(b'loads')
    for command in (
        ['mmd', '-i', image, '::/EFI', '::/EFI/BOOT'],
        ['mcopy', '-i', image, str(tmp_path / 'Boot.efi'), '::/EFI/BOOT'],
        ['mcopy', '-i', image, str(tmp_path / 'Boot.efi'), '::/old.txt'],
    ):
        subprocess.run(command, check=True)
    with Native(tmp_path, (base,)) as native:
        with alone(native, '/dev/sda1') as child:
            system(child, 'UEFI', 'UUID=ABCD-1234 /boot/efi vfat umask=0077')
        native.finish()
    before = base.path.read_bytes()[41 * MIB :]

    def opened() -> Native:
        made = Native(tmp_path, (base,))
        if by_copy:
            made.child.without('vfat')
        assert made.mount() == ('/dev/sda1', [])
        kind = made.child.sh('cd root/boot/efi && findmnt -no FSTYPE -T .')
        assert kind == f'{mounted}\n'
        return made

    with opened() as native:
        found = native.child.read_file('/boot/efi/EFI/BOOT/Boot.efi')
        assert found == b'loads'
        status = native.child.statns('/boot/efi/EFI/BOOT/Boot.efi')
        assert status['st_mode'] == 0o100755
        native.finish()
    # What nobody has changed is not written.
    assert base.path.read_bytes()[41 * MIB :] == before
    with opened() as native:
        child = native.child
        child.write('/boot/efi/EFI/BOOT/Boot.efi', b'loads more')
        child.mkdir_mode('/boot/efi/A longer name', 0o755)
        child.write('/boot/efi/A longer name/grub.cfg', b'x' * 100_000)
        child.rm('/boot/efi/old.txt')
        child.freeze()
        with pytest.raises(RuntimeError, match='(?i)read-only'):
            child.write('/boot/efi/meanwhile', b'')
        child.thaw()
        child.write('/boot/efi/last', b'')
        native.finish()
    part = tmp_path / 'esp'
    part.write_bytes(base.path.read_bytes()[41 * MIB : 81 * MIB])
    subprocess.run(['fsck.vfat', '-n', part], check=True)
    with opened() as native:
        shown = native.child.sh('cd root/boot/efi; find . | sort; cat EFI/*/*')
        assert shown == (
            '.\n./A longer name\n./A longer name/grub.cfg\n./EFI\n./EFI/BOOT\n'
            './EFI/BOOT/Boot.efi\n./last\nloads more'
        )
        native.finish()


def test_what_no_vfat_can_hold(tmp_path: pathlib.Path) -> None:
    base = disk(tmp_path, ('ext4', 40, ()), ('vfat', 40, ('-i', 'ABCD1234')))
    with Native(tmp_path, (base,)) as native:
        native.child.without('vfat')
        native.child.mount('/dev/sda1', '/')
        system(native.child, 'UEFI', '')
        native.child.mkdir_mode('/efi', 0o755)
        native.child.mount('/dev/sda2', '/efi')
        native.child.write('/efi/x', b'')
        native.child.write('/efi/X', b'')
        with pytest.raises(RuntimeError, match='(?i)x can be in no vfat'):
            native.child.sync()
        native.child.rm('/efi/x')
        native.child.ln_s('X', '/efi/link')
        with pytest.raises(RuntimeError, match='link can be in no vfat'):
            native.child.umount_all()


def test_programs_without_sockets(tmp_path: pathlib.Path) -> None:
    base = disk(tmp_path, ('ext4', 40, ()))
    header = b'\x7fELF\x01\x01\x01' + bytes(9) + b'\x02\x00\x03\x00'
    with Native(tmp_path, (base,)) as native:
        with alone(native, '/dev/sda1') as child:
            system(child, 'i386', '')
            child.mkdir_mode('/bin', 0o755)
            child.write('/bin/sh', header)
        native.finish()
    with sandboxes.opened(base.path, tmp_path) as remote:
        with pytest.raises(exception.NotForSandbox, match='are for i386'):
            remote.prepare()


@pytest.fixture
def btrfs(tmp_path: pathlib.Path) -> image_file.ImageInfo:
    """A btrfs whose root is a subvolume, as Fedora and others have it."""
    base = disk(tmp_path, ('btrfs', 300, ('-U', ROOT)))
    with Native(tmp_path, (base,)) as native:
        native.child.mount('/dev/sda1', '/')
        native.child.sh(
            'for i in root home var root/nested .snapshots .snapshots/1; '
            'do btrfs subvolume create -q root/$i || '
            'btrfs subvolume create root/$i; done'
        )
        with alone(native, 'btrfsvol:/dev/sda1/root') as child:
            system(
                child,
                'Subvolumes',
                f'UUID={ROOT} / btrfs subvol=root,compress=zstd:1 0 0\n'
                f'UUID={ROOT} /home btrfs subvol=home,compress=zstd:1 0 0\n'
                f'UUID={ROOT} /var btrfs subvol=/var 0 0\n',
            )
        with alone(native, 'btrfsvol:/dev/sda1/.snapshots/1') as child:
            system(child, 'A snapshot', '')
        native.finish()
    return base


def test_subvolumes(
    btrfs: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    with Native(tmp_path, over(btrfs)) as native:
        root = 'btrfsvol:/dev/sda1/root'
        assert native.mount() == (root, [])
        child = native.child
        assert native.points() == ['/', '/home', '/var']
        names = {
            each['btrfssubvolume_path']
            for each in child.btrfs_subvolume_list('/')
        }
        assert names == {
            'root', 'home', 'var', 'root/nested', '.snapshots',
            '.snapshots/1',
        }  # fmt: skip
        for target in ('', '/home', '/var'):
            child.write(f'{target}/mark', target.encode())
        with alone(native, '/dev/sda1'):
            for name, mark in (
                ('root', b''),
                ('home', b'/home'),
                ('var', b'/var'),
            ):
                assert child.read_file(f'/{name}/mark') == mark
            assert not child.exists('/root/var/mark')
            # With a default subvolume it is one system.
            child.sh('btrfs subvolume set-default root/root')
        assert native.mount() == ('/dev/sda1', [])
        native.finish()


def test_two_systems_and_none(tmp_path: pathlib.Path) -> None:
    base = disk(
        tmp_path,
        ('ext4', 30, ()),
        ('ext4', 30, ()),
        ('ext4', 30, ()),
        label='dos',
    )
    with Native(tmp_path, over(base)) as native:
        with pytest.raises(exception.NoOperatingSystem, match='x.img'):
            native.mount()
        for device, name in (('/dev/sda1', 'One'), ('/dev/sda2', 'Two')):
            with alone(native, device) as child:
                system(child, f'System {name}', '')
        both = '/dev/sda1 (System One), /dev/sda2 (System Two)'
        with pytest.raises(exception.AmbiguousRoot, match='/dev/sda1 .System'):
            native.mount()
        for device in ('/dev/sda1', '/dev/sda2'):
            assert native.mount(device) == (device, [])
            assert native.mounted() == {'/': device}
        for device in ('/dev/sda3', '/dev/sdz9', 'nonsense'):
            with pytest.raises(exception.UnknownRoot) as unknown:
                native.mount(device)
            assert both in str(unknown.value)
        with alone(native, '/dev/sda1') as child:
            child.write('/etc/fstab', f'UUID={MISSING} /var ext4'.encode())
        with pytest.raises(exception.InvalidImage, match=f'{MISSING} on /var'):
            native.mount('/dev/sda1')
        native.finish()


def test_usr_is_a_file_system_of_its_own(tmp_path: pathlib.Path) -> None:
    base = disk(
        tmp_path,
        ('ext4', 30, ()),
        ('ext4', 30, ('-U', ROOT)),
        ('ext4', 30, ('-U', VAR)),
    )
    with Native(tmp_path, over(base)) as native:
        with alone(native, '/dev/sda2') as child:
            child.mkdir_mode('/lib', 0o755)
            child.write('/lib/os-release', b'PRETTY_NAME="Own usr"\n')
        with alone(native, '/dev/sda1') as child:
            for name in ('/etc', '/usr'):
                child.mkdir_mode(name, 0o755)
            child.ln_s('../usr/lib/os-release', '/etc/os-release')
            child.ln_s('/srv/data', '/data')
            child.write(
                '/etc/fstab',
                f'UUID={ROOT} /usr ext4 ro 0 1\n'
                f'UUID={VAR} /data ext4 rw 0 2\n'.encode(),
            )
        assert native.mount() == ('/dev/sda1', [])
        assert native.mounted() == {
            '/': '/dev/sda1',
            '/usr': '/dev/sda2',
            '/srv/data': '/dev/sda3',
        }
        assert b'Own usr' in native.child.read_file('/etc/os-release')
        native.finish()


@pytest.fixture
def plain(tmp_path: pathlib.Path) -> image_file.ImageInfo:
    """A whole disk that is an ext4."""
    path = tmp_path / 'base.img'
    part(path, 'ext4', 100)
    base = image_file.inspect(path)
    with Native(tmp_path, (base,)) as native:
        with alone(native, '/dev/sda') as child:
            system(child, 'Plain', '')
        native.finish()
    return base


@pytest.mark.parametrize(
    'kind, label',
    [('ext4', 'gpt'), ('ext4', 'dos'), ('xfs', 'gpt'), ('btrfs', 'dos')],
)
def test_a_disk_that_has_become_larger(
    tmp_path: pathlib.Path, kind: str, label: str
) -> None:
    # The last in number does not lie last.
    base = disk(tmp_path, ('ext4', 30, ()), (kind, 400, ()), label=label)
    with Native(tmp_path, (base,)) as native:
        with alone(native, '/dev/sda2') as child:
            system(child, 'Small', '')
        native.finish()
    assert sizes(base.path) == [30 * MIB, 400 * MIB]
    path = tmp_path / 'top'
    overlay.create(base, path, size=3000 * MIB)
    top = image_file.ImageInfo(path, 'qcow2', 3000 * MIB, 0, backing=base)
    with Native(tmp_path, (base, top), grown=True) as native:
        assert native.larger == ['/dev/sda2']
        assert native.mount() == ('/dev/sda2', [])
        native.grow()
        after = native.child.sh('df -BM --output=size root')
        assert int(after.split()[-1][:-1]) > 2300
        native.child.write('/after', b'x')
        native.finish()
    raw = tmp_path / 'raw'
    subprocess.run(['qemu-img', 'convert', '-Oraw', path, raw], check=True)
    first, last = sizes(raw)
    assert first == 30 * MIB
    # All but the 33 sectors at the end that a GPT has for itself.
    assert last == 3000 * MIB - 33 * 512 - 31 * MIB
    if label == 'gpt':
        subprocess.run(
            ['sfdisk', '--verify', raw], check=True, stderr=subprocess.STDOUT
        )


def sizes(path: pathlib.Path) -> list[int]:
    """Bytes of each partition."""
    listed = subprocess.run(
        ['sfdisk', '--json', path], check=True, stdout=subprocess.PIPE
    )
    table = json.loads(listed.stdout)['partitiontable']
    return [each['size'] * 512 for each in table['partitions']]


def test_a_file_system_without_partitions_grows(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'top'
    overlay.create(plain, path, size=300 * MIB)
    top = image_file.ImageInfo(path, 'qcow2', 300 * MIB, 0, backing=plain)
    with Native(tmp_path, (plain, top), grown=True) as native:
        assert native.larger == ['/dev/sda']
        native.mount()
        after = native.child.sh('df -BM --output=size root')
        assert int(after.split()[-1][:-1]) > 250
        native.finish()


@pytest.mark.parametrize('kind', ['ext4', 'xfs', 'btrfs'])
def test_a_layer_in_between(tmp_path: pathlib.Path, kind: str) -> None:
    base = disk(tmp_path, (kind, 400, ()))
    with Native(tmp_path, over(base)) as native:
        native.child.mount('/dev/sda1', '/')
        system(native.child, 'Layers', '')
        native.child.write('/before', b'x' * 100000)
        native.child.freeze()
        with pytest.raises(RuntimeError, match='(?i)read-only'):
            native.child.write('/meanwhile', b'')
        layer = native.served.snapshot(tmp_path / 'next')
        native.child.thaw()
        native.child.write('/after', b'y')
        native.child.rm('/before')
        # The layer alone is a whole disk, and was unmounted so to say.
        other = tmp_path / 'other'
        other.mkdir()
        with Native(
            other, tuple(reversed(layer.chain)), readonly=True
        ) as middle:
            assert middle.mount() == ('/dev/sda1', [])
            assert middle.child.read_file('/before') == b'x' * 100000
            assert not middle.child.exists('/after')
            with pytest.raises(RuntimeError, match='(?i)read-only'):
                middle.child.write('/x', b'')
            middle.finish()
        native.finish()


def test_something_is_open_while_a_layer_is_taken(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    with Native(tmp_path, over(plain)) as native:
        assert native.mount() == ('/dev/sda', [])
        native.child.sh('sleep 600 >root/open 2>&1 & echo $! > pid')
        with pytest.raises(RuntimeError, match='busy'):
            native.child.freeze()
        native.child.write('/goes-on', b'')
        native.child.sh('kill -9 $(cat pid)')
        native.child.freeze()
        native.child.thaw()
        native.finish()


def test_something_holds_the_file_system(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    with Native(tmp_path, over(plain)) as native:
        native.child.set(_FREE=0.5)
        native.mount()
        native.child.sh(
            'unshare -m sleep 600 >/dev/null 2>&1 & echo $! > pid;'
            ' until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.02; done'
        )
        with pytest.raises(RuntimeError, match='/dev/sda: .* busy'):
            native.child.umount_all()
        native.child.sh('kill -9 $(cat pid)')


def test_ids_are_shifted(tmp_path: pathlib.Path) -> None:
    base = disk(
        tmp_path,
        ('ext4', 30, ('-U', ROOT)),
        ('xfs', 400, ('-m', f'uuid={VAR}')),
        ('btrfs', 200, ('-L', 'home')),
        ('vfat', 40, ('-n', 'EFI')),
    )
    with Native(tmp_path, over(base)) as native:
        with alone(native, '/dev/sda1') as child:
            system(
                child,
                'Ids',
                f'UUID={VAR} /var xfs\nLABEL=home /var/home btrfs\n'
                'LABEL=EFI /boot/efi vfat',
            )
        native.mount()
        assert len(native.mounted()) >= 3
        places = [each.rstrip('/') for each in native.mounted()]
        # As the sandbox's root, who is 500000 here.
        native.child.as_mapped_root(
            ' && '.join(f'touch .{each}/made' for each in places)
            + ' && chown 7:8 var/made'
        )
        for each in places:
            found = native.child.statns(f'{each}/made')
            expected = (7, 8) if each == '/var' else (0, 0)
            assert (found['st_uid'], found['st_gid']) == expected, each
        native.finish()


# -- faults -----------------------------------------------------------------


def test_a_file_system_that_the_kernel_refuses(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    # It is larger than the disk.
    os.truncate(plain.path, 99 * MIB)
    plain = image_file.inspect(plain.path)
    with Native(tmp_path, over(plain)) as native:
        with pytest.raises(exception.NoOperatingSystem):
            native.mount()
        [(device, reason)] = native.child.refused().items()
        assert device == '/dev/sda'
        assert reason
        native.finish()


def test_errors_panic_means_nothing_here(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    """A superblock may say that the kernel is to panic on errors."""
    subprocess.run(['tune2fs', '-e', 'panic', plain.path], check=True)
    with Native(tmp_path, over(plain)) as native:
        native.mount()
        table = native.child.sh('cat /proc/self/mountinfo')
        [line] = [
            each
            for each in table.splitlines()
            if '/root ' in each and str(tmp_path) in each
        ]
        assert 'errors=remount-ro' in line
        native.finish()


@pytest.mark.parametrize('program', ['qemu-storage-daemon', 'nbdfuse'])
def test_who_serves_the_disk_is_killed(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path, program: str
) -> None:
    with Native(tmp_path, over(plain)) as native:
        native.mount()
        for pid in os.listdir('/proc'):
            with contextlib.suppress(OSError):
                if not pid.isdigit():
                    continue
                name = os.path.basename(os.readlink(f'/proc/{pid}/exe'))
                where = os.readlink(f'/proc/{pid}/cwd')
                if name == program and where.startswith(str(tmp_path)):
                    os.kill(int(pid), signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(RuntimeError):
            native.child.write('/x', b'x' * MIB)
            native.child.sync()
        with pytest.raises(RuntimeError, match='is lost'):
            native.child.umount_all()
        with pytest.raises(exception.DiskServerFailed, match='signal 9'):
            native.served.close()
        assert time.monotonic() - start < 120


def test_the_host_has_no_room(
    plain: image_file.ImageInfo, tmp_path: pathlib.Path
) -> None:
    small = tmp_path / 'small'
    small.mkdir()
    subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=16m', 'none', small], check=True
    )
    try:
        path = small / 'top'
        overlay.create(plain, path)
        top = image_file.ImageInfo(path, 'qcow2', plain.virtual_size, 0)
        with Native(small, (plain, top)) as native:
            native.mount()
            with pytest.raises(RuntimeError):
                for number in range(60):
                    native.child.write(f'/x{number}', os.urandom(MIB))
                    native.child.sync()
            with pytest.raises(exception.DiskFull, match='small'):
                native.served.check()
            with pytest.raises(RuntimeError, match='is lost'):
                native.child.umount_all()
    finally:
        subprocess.run(['umount', '--lazy', small], check=True)
