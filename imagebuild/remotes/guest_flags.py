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
"""An immutable /etc/resolv.conf, which many images have.

libguestfs renames it for the time of each command, and could not. Where a
command makes it one, its wrapper (:mod:`guest_wrapper`) takes the flags away.
"""

from __future__ import annotations

import logging

from imagebuild.remotes import guest_handle

LOG = logging.getLogger(__name__)

_RESOLVER = '/etc/resolv.conf'
#: Immutable, and append only: either forbids to rename.
HINDER = frozenset('ia')


def clear(handle: guest_handle.GuestHandle) -> str:
    """Let the file be renamed.

    :param handle: of the guest, mounted.
    :returns: the flags that were taken away, for :func:`put_back`.
    """
    if not handle.is_file(_RESOLVER):
        return ''
    try:
        flags: str = handle.get_e2attrs(_RESOLVER)
        held = ''.join(each for each in flags if each in HINDER)
        if held:
            handle.set_e2attrs(_RESOLVER, held, clear=True)
    except RuntimeError as error:
        LOG.debug('The flags of %s are not known: %s', _RESOLVER, error)
        return ''
    return held


def put_back(handle: guest_handle.GuestHandle, flags: str) -> None:
    """Give the file its flags again, if it still is one.

    :param flags: what :func:`clear` returned.
    :raises RuntimeError: the guest's file system refuses.
    """
    # The build may have made it a link, which has no flags.
    if flags and handle.is_file(_RESOLVER):
        handle.set_e2attrs(_RESOLVER, flags)
