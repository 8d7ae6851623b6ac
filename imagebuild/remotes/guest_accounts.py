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
"""The users and groups that an image knows, by its own tables."""

from __future__ import annotations

from imagebuild import exception
from imagebuild.remotes import base

#: chown(2) takes the next one for "as it is".
LARGEST = 2**32 - 2


class Accounts:
    """Numbers of users and groups, read once.

    :param remote: the image.
    :param most: the largest that can be given a file there.
    """

    def __init__(self, remote: base.Remote, most: int = LARGEST) -> None:
        self._remote = remote
        self._most = most
        self._known: dict[str, dict[str, int]] = {}

    def user(self, name: str) -> int:
        """The number of a user.

        :param name: of the user, or its number.
        :raises StepError: the image has no such user, or none that can be
            given a file.
        """
        return self._id('passwd', 'user', name)

    def group(self, name: str) -> int:
        """The number of a group; see :meth:`user`."""
        return self._id('group', 'group', name)

    def forget(self) -> None:
        """A command ran, and may have made some."""
        self._known.clear()

    def _id(self, database: str, what: str, name: str) -> int:
        found = self._found(database, what, name)
        if found > self._most:
            raise exception.StepError(
                f'the appliance can give a file to no {what} above '
                f'{self._most}, and {name} is {found}; a script can, by '
                'chown(1)'
            )
        return found

    def _found(self, database: str, what: str, name: str) -> int:
        if name == 'root':
            return 0
        if name.isdecimal():
            own = number(name)
            if own is None:
                raise exception.StepError(f'no {what} has the number {name}')
            return own
        if database not in self._known:
            self._known[database] = self._read(database)
        known = self._known[database]
        if name not in known:
            raise exception.StepError(f'the image has no {what} "{name}"')
        return known[name]

    def _read(self, database: str) -> dict[str, int]:
        try:
            content = self._remote.read_file(f'/etc/{database}')
        except exception.RemoteFileNotFound:
            return {}
        text = content.decode('utf-8', 'replace')
        rows = (line.split(':') for line in text.splitlines())
        return {
            row[0]: found
            for row in rows
            if len(row) > 2 and (found := number(row[2])) is not None
        }


def number(text: str) -> int | None:
    """The number of a user or group, as an image writes it.

    :returns: None for what cannot be one: Python reads no number of 5000
        digits, and no file belongs to a larger one.
    """
    if not (text.isdecimal() and len(text) <= len(str(LARGEST))):
        return None
    found = int(text)
    return found if found <= LARGEST else None
