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
"""Lines of a console that tell why a machine does not come up."""

from __future__ import annotations

import re

#: Lines that are kept for the message.
_MOST = 10

#: What is seen -> why it will never come up.
_FATAL = (
    (re.compile(r'Kernel panic - not syncing: (.*)'), 'the kernel panicked'),
    (
        re.compile(r'^\(initramfs\)'),
        'the initramfs did not find the root file system',
    ),
    (
        re.compile(r'^(?:dracut|switch_root|emergency):/# ?$'),
        'the initramfs did not find the root file system',
    ),
    (re.compile(r'^grub rescue>'), 'GRUB did not find its files'),
    # Without a menu it waits for commands.
    (re.compile(r'^grub>'), 'GRUB found no configuration'),
    (
        re.compile(r'No bootable device|Boot failed: not a bootable disk'),
        'no disk can be booted from',
    ),
    (
        # EDK II starts its shell when there is nothing else.
        re.compile(
            r'BdsDxe: No bootable option or device was found|^Shell> *$'
        ),
        'the firmware found nothing to boot from',
    ),
    (
        re.compile(
            r'You are in (?:emergency|rescue) mode'
            r'|Cannot open access to console, the root account is locked'
            r'|Give root password for maintenance'
        ),
        'it stopped in emergency mode',
    ),
)
_TELLING = re.compile(
    r'\[FAILED\]|\[DEPEND\]|\[ TIME \]|Failed to start|Timed out waiting'
    r'|Dependency failed|Kernel panic|ALERT!|^error:|VFS: (?:Cannot|Unable)'
    r'|dracut-initqueue.*(?:timeout|could not boot)|Gave up waiting'
    r'|Out of memory|I/O error|EXT4-fs error|XFS .*(?:ERROR|[Cc]orrupt)'
    r'|Invalid kernel header|secure boot|bad shim signature'
)


class Signs:
    """Collects them.

    :ivar fatal: why it will never come up; '' while it may.
    """

    def __init__(self) -> None:
        self.fatal = ''
        self._lines: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        """The last telling lines, oldest first, each once."""
        return tuple(self._lines)

    def add(self, line: str, whole: bool = True) -> None:
        """Look at a line of the console.

        :param whole: it has its end. A prompt never has one.
        """
        for pattern, reason in _FATAL:
            # What a group takes of the line comes with its end.
            found = None if pattern.groups > whole else pattern.search(line)
            if found and not self.fatal:
                details = found.groups()
                self.fatal = ': '.join([reason, *details])
        line = ' '.join(line.split())
        if whole and _TELLING.search(line) and line not in self._lines:
            self._lines = [*self._lines, line][-_MOST:]
