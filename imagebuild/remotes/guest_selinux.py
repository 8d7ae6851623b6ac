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
from collections.abc import Callable

from imagebuild import exception
from imagebuild.remotes import base
from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_reading

LOG = logging.getLogger(__name__)

#: Calls :func:`set_label` for a path and its label.
SetOne = Callable[[str, str], bool]

#: The appliance's file systems inside the guest's tree: not the guest's.
_NO_LABELS = ('-e', '/proc', '-e', '/sys', '-e', '/dev')

#: What setfiles says of one file; a path may hold anything.
_RECORD = re.compile(r'(?s)(?P<path>/.*) from (\S+) to (?P<label>\S+)\n?')
#: Changes nothing, and says what it would.
_DRY_RUN = ('setfiles', '-F', '-m', '-n', '-v')
_RESOLVER = '/etc/resolv.conf'
_NAME = 'security.selinux'
_MOST_TIMES = 20
_CANNOT = 'The files cannot be labelled now: %s'
#: Characters of what it prints; it may tell of every file.
_SHOWN = 500


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


def set_labels(remote: base.Remote, contexts: str, set_one: SetOne) -> bool:
    """With the guest's own setfiles, which knows its policy's version.

    libguestfs' selinux_relabel needs setfiles in the appliance, which
    Debian does not put there.

    :param set_one: sets one label.
    :returns: False when it cannot be run.
    :raises StepError: the guest's file system refuses.
    """
    done = remote.run(
        ['setfiles', '-F', '-m', *_NO_LABELS, contexts, '/'], check=False
    )
    if done.exit_code:
        LOG.info(_CANNOT, done.output[:_SHOWN])
        return False
    # Meanwhile the guest's own had another name, and got that one's label.
    result = remote.run([*_DRY_RUN, contexts, _RESOLVER], check=False)
    for path, label in _would_relabel(result.stdout):
        if path == _RESOLVER:
            set_one(path, label)
    return True


def set_labels_from_outside(
    remote: base.Remote, contexts: str, set_one: SetOne
) -> bool:
    """The same where a command may set no label.

    setfiles tells which labels are wrong, and they are set through the
    guest's files. What it tells is a guest's word, but about its own files.

    :param set_one: sets one label.
    :returns: False when it cannot be run.
    :raises StepError: the guest's file system refuses.
    """
    command = [*_DRY_RUN, *_NO_LABELS, contexts, '/']
    done: set[tuple[str, str]] = set()
    # Again until nothing is new: not all of a long text is kept, and what is
    # there for the time of a command is told of each time.
    for _ in range(_MOST_TIMES):
        result = remote.run(command, check=False)
        if result.exit_code:
            LOG.info(_CANNOT, result.output[:_SHOWN])
            return False
        wanted = set(_would_relabel(result.stdout)) - done
        newly = {each for each in wanted if set_one(*each)}
        if not newly:
            return True
        done |= newly
    return False


def _would_relabel(text: str) -> list[tuple[str, str]]:
    """Paths and labels; the last is missing when the text was cut there."""
    records = ('\n' + text).split('\nWould relabel ')[1:]
    found = (_RECORD.fullmatch(record) for record in records)
    return [(each['path'], each['label']) for each in found if each]


def set_label(handle: guest_handle.GuestHandle, path: str, label: str) -> bool:
    """Label one file; False if it is not there.

    :raises StepError: it cannot have the label.
    """
    try:
        handle.lsetxattr(_NAME, label, len(label.encode()) + 1, path)
    except RuntimeError as error:
        # What was there for the command; or a name that is no text.
        if handle.exists(path):
            text = ' '.join(str(error).split())
            raise exception.StepError(
                f'{path} cannot be given its SELinux label ({text})'
            ) from error
        return False
    return True
