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
"""What a command in a guest made of /etc/resolv.conf is kept.

For the time of each command that has a network another file is there, with a
name server that it can reach, and the guest's own afterwards. So a package
that makes it a link (systemd-resolved) or a script that writes it would be
lost. What is there when the command has ended is put aside, compared, and
becomes the guest's.

libguestfs puts the file there and takes it away by itself; the wrapper
(:mod:`guest_wrapper`) compares. Elsewhere :mod:`resolver_exchange` does both.
"""

from __future__ import annotations

import re

from imagebuild import exception
from imagebuild.remotes import guest_handle

_RESOLVER = '/etc/resolv.conf'
#: What packages' scripts call the copies that they make of it.
_COPIES = ('/etc/*resolv.conf*', '/etc/.*resolv.conf*')
#: Bytes; a larger file is none that a resolver would read.
_LARGEST = 64 * 1024
#: Of such copies; each takes some 10 ms where the appliance is emulated.
_MOST_COPIES = 500
_NAME_SERVER = re.compile(rb'[ \t]*nameserver[ \t]')


def aside(token: str) -> str:
    """Where the wrapper puts what it found; with .put, what had been put."""
    return f'/etc/.imagebuild-{token}'


def keep(handle: guest_handle.GuestHandle, token: str) -> None:
    """Make what a command left the guest's own.

    :param handle: of the guest, mounted.
    :param token: of the command whose ending shows that it changed the file.
    :raises StepError: it left too many copies of it.
    :raises RuntimeError: the guest's file system refuses.
    """
    found = aside(token)
    put = content_of(handle, f'{found}.put') or b''
    try:
        _mend_copies(handle, put)
    finally:
        _take_over(handle, found, put)


def _take_over(
    handle: guest_handle.GuestHandle, found: str, put: bytes
) -> None:
    if handle.is_symlink(found):
        handle.rename(found, _RESOLVER)
    elif (left := content_of(handle, found)) is not None:
        wished = _wished(left, put, content_of(handle, _RESOLVER))
        if wished is not None:
            handle.write(found, wished)
            handle.rename(found, _RESOLVER)
    elif not handle.exists(found):
        handle.rm_f(_RESOLVER)
    handle.rm_rf(found)
    handle.rm_f(f'{found}.put')


def content_of(handle: guest_handle.GuestHandle, path: str) -> bytes | None:
    """The content of a regular file that is not too large."""
    if not handle.is_file(path) or handle.filesize(path) > _LARGEST:
        return None
    content: bytes = handle.read_file(path)
    return content


def _wished(left: bytes, put: bytes, before: bytes | None) -> bytes | None:
    """What the file is to hold: never the appliance's name server.

    :param left: what the command left.
    :param put: what had been put there for it.
    :param before: the guest's own; None if that is no regular file.
    :returns: None to leave the guest's own as it is.
    """
    if left.startswith(put):
        more = left[len(put) :]
        return before + more if more and before is not None else None
    ours = {line for line in put.splitlines() if _NAME_SERVER.match(line)}
    lines = left.splitlines(keepends=True)
    kept = [line for line in lines if line.rstrip(b'\r\n') not in ours]
    if kept == lines or b''.join(kept).strip():
        return b''.join(kept)
    return None


def _mend_copies(handle: guest_handle.GuestHandle, put: bytes) -> None:
    """A copy that the command made is one of the guest's own file.

    :raises StepError: there are too many to look at.
    """
    for pattern in _COPIES:
        try:
            paths = handle.glob_expand(pattern, directoryslash=False)
        except UnicodeDecodeError:
            # A name that is no text; a copy keeps what it holds.
            continue
        if len(paths) > _MOST_COPIES:
            raise exception.StepError(
                f'the image has {len(paths)} files {pattern}, and '
                f'{_MOST_COPIES} are the most that are looked at'
            )
        for path in paths:
            if path != _RESOLVER and content_of(handle, path) == put:
                _copy(handle, path)


def _copy(handle: guest_handle.GuestHandle, path: str) -> None:
    own = content_of(handle, _RESOLVER)
    if own is not None:
        handle.write(path, own)
        return
    handle.rm(path)
    if handle.is_symlink(_RESOLVER):
        handle.ln_s(handle.readlink(_RESOLVER), path)
