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
"""What a console says of a machine that does not come up."""

import pytest

from imagebuild.boot import signs


@pytest.mark.parametrize(
    'line, reason',
    [
        (
            '[    2.52] Kernel panic - not syncing: VFS: Unable to mount root '
            'fs on unknown-block(0,0)',
            'the kernel panicked: VFS: Unable to mount root fs on '
            'unknown-block(0,0)',
        ),
        ('(initramfs) ', 'the initramfs did not find the root file system'),
        ('dracut:/# ', 'the initramfs did not find the root file system'),
        ('grub rescue> ', 'GRUB did not find its files'),
        ('grub> ', 'GRUB found no configuration'),
        ('Shell> ', 'the firmware found nothing to boot from'),
        ('No bootable device.', 'no disk can be booted from'),
        (
            'You are in emergency mode. After logging in, type "journalctl',
            'it stopped in emergency mode',
        ),
        (
            'Cannot open access to console, the root account is locked.',
            'it stopped in emergency mode',
        ),
    ],
)
def test_it_will_never_come_up(line: str, reason: str) -> None:
    found = signs.Signs()
    found.add('[  OK  ] Started something')
    assert not found.fatal
    found.add(line)
    assert found.fatal == reason
    found.add('Kernel panic - not syncing: later')
    assert found.fatal == reason, 'the first one is the reason'


@pytest.mark.parametrize(
    'line',
    [
        'echo grub> file',
        'a (initramfs) in a sentence',
        'the word panic',
        'Loading initial ramdisk ...',
    ],
)
def test_no_sign(line: str) -> None:
    found = signs.Signs()
    found.add(line)
    assert not found.fatal


def test_a_line_without_its_end() -> None:
    found = signs.Signs()
    found.add('Kernel panic - not syncing: VFS: Unab', whole=False)
    assert not found.fatal
    assert not found.lines
    found.add('grub rescue> ', whole=False)
    assert found.fatal == 'GRUB did not find its files'


def test_telling_lines() -> None:
    found = signs.Signs()
    found.add('[  OK  ] Started fine')
    found.add('[FAILED] Failed to mount   /data.')
    found.add('[FAILED] Failed to mount /data.')
    found.add('[DEPEND] Dependency failed for Local File Systems.')
    assert found.lines == (
        '[FAILED] Failed to mount /data.',
        '[DEPEND] Dependency failed for Local File Systems.',
    )
    for number in range(30):
        found.add(f'[FAILED] Failed to start {number}.')
    assert len(found.lines) == 10
    assert found.lines[-1].endswith('29.')
