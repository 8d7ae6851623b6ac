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

from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.drivers import bootstrap
from imagebuild.drivers import written_root
from imagebuild.drivers.option_schema import InvalidDriverOptions
from imagebuild.sandbox import mount_calls


def made_by(kind: str, said: str) -> list[str]:
    """The command for a program that says this of its version."""
    with mock.patch.object(
        host_command, 'run', autospec=True, return_value=said
    ):
        return written_root._mkfs(kind, 'u-u-i-d')  # type: ignore[arg-type]


def test_xfs_has_what_grub_reads() -> None:
    made = made_by('xfs', 'mkfs.xfs version 6.1.0\n')
    assert made[:4] == ['mkfs.xfs', '-q', '-f', '-L']
    assert 'uuid=u-u-i-d' in made
    assert 'nrext64=0' in made
    # Not known yet: it would refuse all.
    assert 'parent=0' not in made
    newer = made_by('xfs', 'mkfs.xfs version 6.13.0\n')
    assert {'nrext64=0', 'parent=0', 'exchange=0'} < set(newer)
    assert 'nrext64=0' not in made_by('xfs', 'mkfs.xfs version 5.18.0\n')


def test_btrfs_has_what_old_kernels_mount() -> None:
    made = made_by('btrfs', 'mkfs.btrfs, part of btrfs-progs v6.2\n')
    assert made[-4:] == ['-m', 'dup', '-d', 'single']
    newer = made_by('btrfs', 'mkfs.btrfs, part of btrfs-progs v6.14\n')
    assert '^block-group-tree' in newer


def test_a_kernel_without_it() -> None:
    with (
        mock.patch.object(
            mount_calls, 'knows', autospec=True, return_value=False
        ),
        pytest.raises(exception.EnvironmentFault, match='ext4 can'),
    ):
        written_root.check('btrfs')


def test_no_loop_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_calls, 'knows', lambda _kind: True)
    monkeypatch.setattr(written_root, '_LOOP_CONTROL', '/nothing')
    with pytest.raises(exception.EnvironmentFault, match='no loop devices'):
        written_root.check('xfs')


def test_the_content_key_knows_it() -> None:
    driver = bootstrap.BootstrapDriver()
    plain = driver.identity({'os': 'debian-12'})
    # Images that were made before there was a choice are as good.
    assert 'file_system' not in plain
    assert driver.identity({'os': 'debian-12', 'file_system': 'ext4'}) == plain
    xfs = driver.identity({'os': 'debian-12', 'file_system': 'xfs'})
    assert '"file_system":"xfs"' in xfs


def test_another_one_is_refused() -> None:
    with pytest.raises(InvalidDriverOptions, match='ext4, xfs, btrfs'):
        bootstrap.BootstrapDriver().validate(
            {'os': 'debian-12', 'file_system': 'ntfs'}
        )
