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
"""What a guest's fstab(5) says of its disks."""

from __future__ import annotations

import dataclasses
import re

_NOT_ON_DISK = frozenset(
    'autofs bpf cgroup cgroup2 cifs configfs debugfs devpts devtmpfs '
    'efivarfs fuse hugetlbfs mqueue nfs nfs4 none overlay proc ramfs '
    'securityfs smbfs swap sysfs tmpfs tracefs 9p virtiofs'.split()
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of fstab(5).

    :ivar spec: first field, such as ``UUID=...``.
    :ivar target: mount point.
    :ivar kind: file system type.
    :ivar options: mount options.
    """

    spec: str
    target: str
    kind: str
    options: tuple[str, ...]

    def option(self, name: str) -> str | None:
        """The value of ``name=value``, None when it is not there."""
        for option in self.options:
            key, equals, value = option.partition('=')
            if equals and key == name:
                return value
        return None


def parse(text: str) -> list[Entry]:
    """Read fstab(5); what is not on a disk of the guest is left out.

    :returns: entries in the order in which they can be mounted.
    """
    entries = []
    for line in text.splitlines():
        fields = line.split('#', 1)[0].split()
        if len(fields) < 3:
            continue
        spec, target, kind = (_unescape(field) for field in fields[:3])
        options = tuple((fields[3] if len(fields) > 3 else '').split(','))
        if kind in _NOT_ON_DISK or not target.startswith('/'):
            continue
        # A bind mount shows files that are mounted elsewhere already.
        if {'bind', 'rbind', 'noauto'} & set(options):
            continue
        entries.append(Entry(spec, target.rstrip('/') or '/', kind, options))
    # Parents first: /var before /var/log. The sort is stable, so entries of
    # one depth stay as they were written.
    return sorted(entries, key=lambda entry: entry.target.count('/'))


def _unescape(field: str) -> str:
    return re.sub(r'\\([0-7]{3})', lambda found: chr(int(found[1], 8)), field)
