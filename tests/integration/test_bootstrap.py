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
"""Base images from scratch: what is in them, and do they boot."""

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

from imagebuild.disks import bootable
from imagebuild.disks import confined
from imagebuild.disks import disk_plan
from imagebuild.disks import host_command
from imagebuild.disks import root_file_systems
from imagebuild.drivers import bootstrap
from imagebuild.drivers import written_root
from imagebuild.remotes import disk_remote
from tests.integration import parity
from tests.integration import sandboxes

GIB = 1024**3
#: Bytes before the first partition.
START = 1024**2

#: Seconds; 60 on an idle machine, emulated.
BOOT_TIMEOUT = 360
GROWN = 8 * GIB

#: What holds in a machine on a larger disk than the image's.
HOLDS = (
    'test ! -d /sys/firmware/efi',
    # Less the 128 MiB before it, and what ext4 keeps for itself.
    f'test "$(findmnt -bnro SIZE /)" -gt {int(GROWN * 0.95)}',
    'test "$(wc -c </etc/machine-id)" = 33',
    'test "$(ls /etc/ssh/ssh_host_*_key | wc -l)" -ge 3',
    'ip -4 -br address show scope global | grep -q "10[.]0[.]2[.]"',
)


#: Makes again what the next boot depends on.
PACKED = r"""
validators:
- user: {worker: {groups: [sudo]}}
- service: {ssh: enabled}
- script:
    boot:
      inline: |
        set -e
        update-initramfs -u; update-grub; systemctl restart ssh
"""


BROKEN = r"""
validators:
- script:
    fstab:
      inline: |
        mkdir /data
        echo "/dev/vda1 /data iso9660 defaults 0 0" >>/etc/fstab
"""
NO_INITRAMFS = r"""
validators:
- script: {initramfs: {inline: 'rm /boot/initrd.img-*; update-grub'}}
"""


@pytest.fixture(scope='module')
def minimal_tree(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[disk_remote.DiskRemote]:
    """The minimal image, mounted by its own fstab."""
    directory = tmp_path_factory.mktemp('minimal')
    with sandboxes.opened(minimal_image, directory) as opened:
        yield opened


@pytest.fixture(scope='module')
def minimal_raw(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The blocks of the minimal image."""
    raw = tmp_path_factory.mktemp('raw') / 'minimal.raw'
    convert = ['qemu-img', 'convert', '-O', 'raw', minimal_image, raw]
    subprocess.run(convert, check=True)
    return raw


def first_partition(raw: pathlib.Path) -> dict[str, str]:
    """What blkid says of it."""
    shown = subprocess.run(
        ['blkid', '-p', '-o', 'export', '--offset', str(START), raw],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(line.split('=', 1) for line in shown.splitlines())


def read(tree: disk_remote.DiskRemote, path: str) -> str:
    return tree.read_file(path).decode()


def glob(tree: disk_remote.DiskRemote, pattern: str) -> list[str]:
    handle = tree._handle  # noqa: SLF001
    return [*handle.glob_expand(pattern, directoryslash=False)]


# -- minimal ----------------------------------------------------------------


def test_minimal_is_the_release(minimal_tree: disk_remote.DiskRemote) -> None:
    release = read(minimal_tree, '/etc/os-release')
    assert 'VERSION_CODENAME=bookworm\n' in release


def test_minimal_has_one_partition(minimal_raw: pathlib.Path) -> None:
    shown = subprocess.run(
        ['sfdisk', '--json', minimal_raw], check=True, capture_output=True
    ).stdout
    table = json.loads(shown)['partitiontable']
    assert table['label'] == 'gpt'
    [partition] = table['partitions']
    assert partition['start'] * table['sectorsize'] == START
    assert first_partition(minimal_raw)['TYPE'] == 'ext4'
    assert minimal_raw.stat().st_size == 3 * GIB


def test_minimal_mounts_its_root(
    minimal_tree: disk_remote.DiskRemote, minimal_raw: pathlib.Path
) -> None:
    uuid = first_partition(minimal_raw)['UUID']
    assert read(minimal_tree, '/etc/fstab').split()[:3] == [
        f'UUID={uuid}',
        '/',
        'ext4',
    ]


def test_minimal_keeps_nothing_of_the_host(
    minimal_tree: disk_remote.DiskRemote,
) -> None:
    assert read(minimal_tree, '/etc/hostname') == 'debian\n'
    assert read(minimal_tree, '/etc/resolv.conf') == ''
    assert read(minimal_tree, '/etc/machine-id') == ''
    assert glob(minimal_tree, '/etc/apt/apt.conf.d/*mmdebstrap*') == []


def test_minimal_has_no_caches(minimal_tree: disk_remote.DiskRemote) -> None:
    for pattern in (
        '/var/cache/apt/archives/*.deb',
        '/var/cache/apt/*.bin',
        '/var/lib/apt/lists/*Packages*',
        '/var/log/apt/*',
        '/var/log/*.log',
    ):
        assert glob(minimal_tree, pattern) == [], pattern


def test_minimal_has_the_sources_it_was_made_from(
    minimal_tree: disk_remote.DiskRemote,
) -> None:
    assert glob(minimal_tree, '/etc/apt/sources.list*/*') == [
        '/etc/apt/sources.list.d/debian.sources'
    ]
    sources = read(minimal_tree, '/etc/apt/sources.list.d/debian.sources')
    assert 'Suites: bookworm\n' in sources
    assert 'Signed-By: /usr/share/keyrings/debian-' in sources


def test_minimal_takes_redis(minimal_copy: pathlib.Path) -> None:
    """As the quickstart has it, from the distribution's own packages."""
    argv = [sys.executable, '-m', 'imagebuild.cmd.pack', '--json']
    argv += ['--isolation', 'sandbox', '--image', str(minimal_copy)]

    def pack(*options: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [*argv, *options], capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    code, report = pack('redis', '7', '--port', '6380')
    assert (code, report['result']) == (0, 'packed'), report
    before = minimal_copy.stat()
    code, report = pack('--test-only', 'redis', '7', '--port', '6380')
    assert (code, report['result']) == (0, 'conforms'), report
    assert minimal_copy.stat().st_mtime_ns == before.st_mtime_ns


def test_minimal_has_no_kernel_and_no_password(
    minimal_tree: disk_remote.DiskRemote,
) -> None:
    assert glob(minimal_tree, '/boot/vmlinuz*') == []
    root = read(minimal_tree, '/etc/shadow').splitlines()[0]
    assert root.startswith('root:*:')


# -- bootable ---------------------------------------------------------------


def test_bootable_is_clean(
    bootable_image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with sandboxes.opened(bootable_image, tmp_path) as tree:
        handle = tree._handle  # noqa: SLF001
        for path in (
            '/boot/efi/EFI/BOOT/BOOTX64.EFI',
            '/boot/efi/EFI/BOOT/grubx64.efi',
            '/boot/efi/EFI/debian/grub.cfg',
            '/boot/grub/i386-pc/core.img',
            '/vmlinuz',
            '/initrd.img',
        ):
            assert handle.is_file(path, followsymlinks=True), path
        assert glob(tree, '/etc/ssh/ssh_host_*') == []
        assert read(tree, '/etc/machine-id') == ''
        assert read(tree, '/etc/default/locale') == 'LANG=C.UTF-8\n'
        assert 'root:*:' in read(tree, '/etc/shadow')


@pytest.mark.parametrize('kind', ['xfs', 'btrfs'])
def test_another_file_system_is_packed_in_the_sandbox(
    kind: root_file_systems.FileSystem,
    plain_tree: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Written as the driver does, of the same files. About 5 s each."""
    plan = disk_plan.DiskPlan(3 * GIB, False, file_system=kind, table='mbr')
    (plain_tree / 'etc/fstab').write_text(plan.fstab())
    disk = tmp_path / 'disk.raw'
    bootable.make(
        plain_tree,
        disk,
        plan,
        lambda argv, *, input_file=None: confined.run(
            argv, writes_to=tmp_path, files=host_command.Files(input_file)
        ),
        workspace=tmp_path,
        write_mounted=written_root.write,
    )
    manifest = tmp_path / 'manifest.yaml'
    manifest.write_text(
        'validators: [{script: {looks: {inline: '
        '"set -e; stat -fc %T /; echo packed >/srv/it; dpkg --audit"}}}]'
    )
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'imagebuild.cmd.pack', '--json'),
            *('--image', str(disk), '--isolation', 'sandbox', '--no-network'),
            *('--manifest', str(manifest)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (step,) = json.loads(done.stdout)['steps']
    assert step['result'] == 'ran'
    assert step['output'].split() == [kind]


@pytest.fixture(scope='module')
def packed_image(
    bootable_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """Packed in the sandbox, with what a new kernel would do. About 10 s."""
    image = tmp_path_factory.mktemp('packed') / 'packed.qcow2'
    shutil.copyfile(bootable_image, image)
    parity.pack(image, 'sandbox', PACKED)
    return image


def test_boots(packed_image: pathlib.Path) -> None:
    """With what a cloud's first boot does, and every unit started."""
    result = boot(
        packed_image,
        *('--disk-size', str(GROWN // GIB)),
        *('--cloud-init', '--systemd', '--port', '22'),
        *(word for text in HOLDS for word in ('--command', text)),
    )
    assert result['result'] == 'boots', result
    assert len(result['findings']) == 8


def test_boots_by_uefi(packed_image: pathlib.Path) -> None:
    """Until its root and its EFI partition are mounted: the rest is the same.

    20 s on an idle machine, and 70 to the prompt.
    """
    result = boot(
        packed_image,
        *('--firmware', 'uefi'),
        *('--expect', 'efi: EFI v', '--expect', 'Mounted boot-efi.mount'),
    )
    assert result['result'] == 'boots', result


def test_what_does_not_boot(
    bootable_image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """It is known in seconds, and the console's lines say why."""
    image = tmp_path / 'broken.qcow2'
    shutil.copyfile(bootable_image, image)
    parity.pack(image, 'sandbox', BROKEN)
    result = boot(image)
    assert result['result'] == 'does-not-boot'
    assert result['reason'].startswith('it stopped in emergency mode')
    assert any('Failed to mount data.mount' in t for t in result['telling'])
    parity.pack(image, 'sandbox', NO_INITRAMFS)
    result = boot(image)
    assert result['reason'].startswith('the kernel panicked: VFS: Unable to')


def boot(image: pathlib.Path, *options: str) -> dict[str, Any]:
    """Boot an image under emulation.

    :returns: what the program says of it.
    """
    command = [sys.executable, '-m', 'imagebuild.cmd.boot', '--json']
    command += ['--image', str(image), '--memory', '1024', '--cpus', '2']
    command += ['--timeout', str(BOOT_TIMEOUT), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- the program ------------------------------------------------------------


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'imagebuild.cmd.bootstrap', *arguments],
        capture_output=True,
        text=True,
        timeout=1200,
    )


def test_a_file_that_is_there_is_not_replaced(tmp_path: pathlib.Path) -> None:
    output = tmp_path / 'image.qcow2'
    output.write_text('precious')
    result = run_program('--os', 'debian-12', '--output', str(output))
    assert result.returncode == 2
    assert 'is there already' in result.stderr
    assert output.read_text() == 'precious'


def test_a_release_that_no_mirror_has(tmp_path: pathlib.Path) -> None:
    output = tmp_path / 'image.qcow2'
    result = run_program(
        '--os', 'ubuntu-24.04', '--minimal', '--output', str(output)
    )
    if result.returncode == 0:
        # These mirrors have it: then it is made.
        assert output.exists()
        return
    assert result.returncode == 2
    assert 'What can be made here: ' in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_stopped(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    driver = bootstrap.BootstrapDriver()
    assert not driver.missing(), driver.missing()
    output = tmp_path / 'image.qcow2'
    command = [sys.executable, '-m', 'imagebuild.cmd.bootstrap', '--minimal']
    command += ['--os', 'debian-12', '--output', str(output)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        _wait_for(lambda: list(tmp_path.glob('.*/tree/usr')))
        process.send_signal(number)
        assert process.wait(180) == (3 if number == signal.SIGTERM else -9)
    _wait_for(lambda: not _processes_of(tmp_path))
    assert str(tmp_path) not in pathlib.Path('/proc/mounts').read_text()
    if number == signal.SIGTERM:
        assert list(tmp_path.iterdir()) == []
        return
    assert list(tmp_path.iterdir()) != []
    # The next run on the same path sweeps, before it needs a mirror.
    with pytest.raises(Exception, match='name no debian archive'):
        bootstrap.BootstrapDriver(lambda: []).create_disk(
            {'os': 'debian-12', 'minimal': True}, output
        )
    assert list(tmp_path.iterdir()) == []


def _wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _processes_of(directory: pathlib.Path) -> list[str]:
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(directory) in command and b'mmdebstrap' in command:
            found.append(entry.parent.name)
    return found
