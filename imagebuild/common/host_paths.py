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
"""Paths of this host in texts for users, who have no use for them.

Errors name the file that they are about, for the operator who reads the log.
The same sentence becomes the reason of a build, a line of its log or an
answer of the API, and there it would say how this host is laid out. So what
leaves for users passes through here, once, at the border.

Paths inside of an image look just the same, and users need those. Therefore
only paths below what the service knows as its own are replaced, and those of
libguestfs; in faults of the service, which speak of the host, every path is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

#: Too little to know a path of this host by: images have these, too.
_EVERYWHERE = frozenset(
    {
        *('/', '/boot', '/dev', '/etc', '/home', '/mnt', '/opt', '/proc'),
        *('/root', '/run', '/srv', '/sys', '/tmp', '/usr', '/var'),  # noqa: S108
        *('/usr/lib', '/usr/share', '/var/cache', '/var/lib', '/var/tmp'),  # noqa: S108
    }
)
#: A character of a path in a sentence, as far as one can tell.
_PART = r'[^\s\'"`:;,()<>\[\]{}]'
_REST = f'(?:/{_PART}*)?'
_TEMPORARY = re.compile(
    r'(?<![\w.~-])(?:/[\w.-]+)*/(?:libguestfs|\.guestfs-|imagebuild-kvm-probe-)'
    rf'[\w.-]+{_REST}'
)
#: Neither the path of a URL nor the second half of "and/or".
_ANY = re.compile(rf'(?:\bfile://|(?<![\w/:.~>*)\]-]))/(?!/){_PART}+')


class HostPaths:
    """Puts names in the place of paths.

    :param names: directory or file of this host -> what users are told
        instead, such as ``work directory``.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._given = dict(names or {})
        self._names: dict[str, str] = {}
        for path, name in self._given.items():
            for each in {os.path.normpath(path), os.path.realpath(path)}:
                if os.path.isabs(each) and each not in _EVERYWHERE:
                    self._names.setdefault(each, name)
        # The longest first: one may lie in another.
        known = sorted(self._names, key=len, reverse=True)
        self._known = (
            re.compile(
                rf'(?<![\w.~-])({"|".join(map(re.escape, known))})'
                rf'(?![\w.-]*\w)({_REST})'
            )
            if known
            else None
        )

    def also(self, names: Mapping[str, str]) -> HostPaths:
        """The same that knows more of them."""
        return HostPaths({**self._given, **names})

    def hide(self, text: str, *, of_host: bool = False) -> str:
        """A text in which names stand for paths.

        :param text: a sentence, or lines.
        :param of_host: it is about the host: no path in it is the guest's.
        """
        if '/' not in text:
            return text
        if self._known is not None:
            text = self._known.sub(self._name, text)
        text = _TEMPORARY.sub(
            lambda match: _shown('temporary directory', match[0]), text
        )
        if of_host:
            text = _ANY.sub(lambda match: _shown('host', match[0]), text)
        return text

    def _name(self, match: re.Match[str]) -> str:
        return _shown(self._names[match[1]], match[2])


def _shown(name: str, rest: str) -> str:
    """The name, and of the path what says which file it is."""
    full_stop = '.' if rest.endswith('.') else ''
    file = rest.rstrip('./').rpartition('/')[2]
    return f'<{name}>{"/" if file else ""}{file}{full_stop}'
