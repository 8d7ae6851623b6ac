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
"""A name server for the time of a command, in the guest's /etc/resolv.conf.

As libguestfs does it in the appliance: the guest's own is put aside, and back
afterwards. A mount over it would be less trouble here, but packages replace
the file, which cannot be done to what is mounted on.
"""

from __future__ import annotations

from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_resolver

_RESOLVER = '/etc/resolv.conf'


class Exchange:
    """The guest's file is aside from when this is made until :meth:`end`.

    :param handle: of the guest, mounted.
    :param token: random text, for names that are the command's.
    :param content: what the command is to find.
    :raises RuntimeError: the guest's file system refuses.
    """

    def __init__(
        self, handle: guest_handle.GuestHandle, token: str, content: bytes
    ) -> None:
        self._handle = handle
        self._token = token
        self._content = content
        self._aside = guest_resolver.aside(token)
        self._own = f'{self._aside}.own'
        if handle.exists(_RESOLVER):
            handle.rename(_RESOLVER, self._own)
        try:
            handle.write(_RESOLVER, content)
            self._before = self._look()
        except BaseException:
            self._put_back()
            raise

    def _look(self) -> object:
        """Which file it is, and what it holds; another after each change."""
        handle = self._handle
        if not handle.exists(_RESOLVER):
            return None
        status = handle.lstatns(_RESOLVER)
        # Not the times: to look at a file, or to write the same, is no change.
        which = [status[name] for name in ('st_ino', 'st_mode', 'st_size')]
        return which, guest_resolver.content_of(handle, _RESOLVER)

    def _put_back(self) -> None:
        """The guest's own; it has none if the command took it away."""
        # A command can have made a directory of it.
        self._handle.rm_rf(_RESOLVER)
        if self._handle.exists(self._own):
            self._handle.rename(self._own, _RESOLVER)

    def end(self) -> None:
        """Put the guest's own back; what the command made of it is kept.

        :raises RuntimeError: the guest's file system refuses.
        """
        after = self._look()
        if after == self._before:
            self._put_back()
            return
        if after is not None:
            self._handle.rename(_RESOLVER, self._aside)
        self._put_back()
        self._handle.write(f'{self._aside}.put', self._content)
        guest_resolver.keep(self._handle, self._token)
