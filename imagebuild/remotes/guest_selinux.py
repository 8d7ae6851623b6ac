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
"""The SELinux labels of a guest's files."""

from __future__ import annotations

import logging
import re

from imagebuild.remotes import base
from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_reading

LOG = logging.getLogger(__name__)

#: The appliance's file systems inside the guest's tree: not the guest's.
_NO_LABELS = ('-e', '/proc', '-e', '/sys', '-e', '/dev')


def file_contexts(handle: guest_handle.GuestHandle) -> str:
    """The table of labels that the guest uses, '' for none."""
    config = '/etc/selinux/config'
    if not handle.is_file(config, followsymlinks=True):
        return ''
    text = guest_reading.table(handle, config) or ''
    settings = dict(
        re.findall(r'^(SELINUX|SELINUXTYPE)=(\w+)', text, re.MULTILINE)
    )
    if settings.get('SELINUX', 'disabled') == 'disabled':
        return ''
    policy = settings.get('SELINUXTYPE', 'targeted')
    contexts = f'/etc/selinux/{policy}/contexts/files/file_contexts'
    if not handle.is_file(contexts, followsymlinks=True):
        return ''
    return contexts


def set_labels(remote: base.Remote, contexts: str) -> bool:
    """With the guest's own setfiles, which knows its policy's version.

    libguestfs' selinux_relabel needs setfiles in the appliance, which
    Debian does not put there.
    """
    done = remote.run(
        ['setfiles', '-F', '-m', *_NO_LABELS, contexts, '/'], check=False
    )
    if done.exit_code:
        LOG.info('The files cannot be labelled now: %s', done.output)
    return done.exit_code == 0
