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
"""The SELinux labels of a tree that will be a root file system."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Sequence

from imagebuild.disks import tree_files

_PROGRAMS = ('usr/sbin/setfiles', 'sbin/setfiles')
#: Has the guest label its files when it boots, and boot once more.
AUTORELABEL = '.autorelabel'


def contexts(tree: tree_files.Tree) -> str:
    """The table of labels that the tree's policy has.

    :returns: its path in the tree; '' when SELinux is off or there is none.
    """
    settings = dict(
        re.findall(
            r'^(SELINUX|SELINUXTYPE)=(\w+)',
            tree.read('etc/selinux/config'),
            re.MULTILINE,
        )
    )
    if settings.get('SELINUX', 'disabled') == 'disabled':
        return ''
    policy = settings.get('SELINUXTYPE', 'targeted')
    name = f'etc/selinux/{policy}/contexts/files/file_contexts'
    return name if tree.find_file(name) else ''


def set_labels(
    tree: tree_files.Tree, run: Callable[[Sequence[str]], object]
) -> None:
    """Give the files of a tree the labels that its own policy says.

    By the tree's own setfiles, which knows its policy's version; one without
    it labels its files at the first boot.

    :param run: runs a program of the host.
    :raises HostCommandFailed: setfiles failed.
    """
    table = contexts(tree)
    if not table:
        return
    if not any(tree.find_file(name) for name in _PROGRAMS):
        tree.write(AUTORELABEL, '')
        return
    # It sets labels through /proc/self/fd.
    tree.make_directory('proc')
    run(
        [
            'unshare', '--mount', f'--root={tree.path}',
            '--mount-proc=/proc', 'setfiles', '-F',
            '-e', '/proc', '-e', '/sys', '-e', '/dev', f'/{table}', '/',
        ]
    )  # fmt: skip
