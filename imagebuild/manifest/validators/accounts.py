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
"""Accounts of a system: looking at them and changing them.

Shared by the validators whose state is something of each of some users.
"""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Generic
from typing import TypeVar

from imagebuild import exception
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import state

Wanted = TypeVar('Wanted')
Found = TypeVar('Found')

NAME: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?$(?!\n)',
    'x-message': 'is not the name of a user or group',
}
_HASH = re.compile(r'[!*]{0,2}(?:\$[a-z0-9]+\$[!-9;-~]+)?')
#: As getent(1) of a guest may print it, which anybody may have written.
_UID = re.compile('[0-9]{1,10}')

_SUDOERS = r"""
sudoers_of() {
    # sudo skips files with a dot in their name.
    printf '/etc/sudoers.d/90-imagebuild-'
    printf '%s\n' "$1" | sed 's/\./-dot-/g'
}
"""
#: For each user: a line "user NAME", then lines of its properties.
LOOK = shell.Script(
    'look at users',
    _SUDOERS
    + r"""
for name do
    printf 'user:%s\n' "$name"
    if getent passwd "$name" > /dev/null; then
        getent passwd "$name" | sed 's/^/passwd:/'
        getent shadow "$name" | sed 's/^/shadow:/'
        printf 'groups:%s\n' "$(id -Gn "$name")"
    fi
    file=$(sudoers_of "$name")
    if [ -f "$file" ]; then
        sed 's/^/sudo:/' "$file"
    fi
done
""",
)
#: Arguments: user, verb or '', 'yes' to change the rule for sudo, the rule,
#: groups, options of the verb. SHADOW: the password field, '' to leave it.
CHANGE = shell.Script(
    'useradd or usermod',
    _SUDOERS
    + r"""
set -eu
name=$1 verb=$2 sudo=$3 rule=$4 groups=$5
shift 5
for group in $groups; do
    if [ "$group" != "$name" ] && ! getent group "$group" > /dev/null; then
        groupadd "$group"
    fi
done
# useradd makes a group of the user's name, and fails if there is one.
if [ "$verb" = useradd ] && getent group "$name" > /dev/null; then
    set -- -g "$name" "$@"
fi
if [ -n "$verb" ]; then
    "$verb" "$@" "$name"
fi
# By the environment and a pipe: every user may read argument lists.
if [ -n "$SHADOW" ]; then
    printf '%s:%s\n' "$name" "$SHADOW" | chpasswd -e
fi
if [ "$sudo" = yes ]; then
    file=$(sudoers_of "$name")
    if [ -z "$rule" ]; then
        rm -f "$file"
    else
        mkdir -p /etc/sudoers.d
        # sudo refuses a file that others may write.
        umask 0337
        rm -f "$file.new"
        printf '%s\n' "$rule" > "$file.new"
        if command -v visudo > /dev/null; then
            visudo -q -c -f "$file.new" >&2 || {
                rm -f "$file.new"
                echo 'the rule for sudo is not valid' >&2
                exit 1
            }
        fi
        mv -f "$file.new" "$file"
    fi
fi
""",
)


@dataclasses.dataclass(frozen=True)
class Account:
    """What there is of an account.

    :ivar shadow: its password field; '' without one.
    :ivar sudo: the rule for sudo that an earlier run wrote, '' for none.
    """

    exists: bool = False
    uid: int = -1
    comment: str = ''
    home: str = ''
    shell: str = ''
    groups: tuple[str, ...] = ()
    shadow: str = ''
    sudo: str = ''


class AccountsValidator(state.StateValidator, Generic[Wanted, Found]):
    """A validator of something of users; each user is a part of it.

    :ivar wanted: what is wanted of each, by user name.
    """

    def __init__(self, path: str, wanted: Mapping[str, Wanted]) -> None:
        super().__init__(path)
        self.wanted = dict(wanted)

    @abc.abstractmethod
    def look(
        self, context: base.Context, users: Sequence[str]
    ) -> Mapping[str, Found]:
        """What there is of each user, in one call.

        :raises StepFailed: it cannot be looked at.
        """

    @abc.abstractmethod
    def differences_of(
        self, context: base.Context, user: str, found: Found
    ) -> Iterator[str]:
        """What does not hold for one user, a clause each.

        :raises StepFailed: it can never hold here.
        """

    @abc.abstractmethod
    def change_one(
        self,
        context: base.Context,
        record: base.StepRecord,
        user: str,
        found: Found,
    ) -> None:
        """Bring about what is wanted of one user.

        :raises StepFailed: it could not be done.
        """

    def differences(self, context: base.Context) -> state.Differences:
        found = self.look(context, list(self.wanted))
        wrong = {
            user: list(self.differences_of(context, user, found[user]))
            for user in self.wanted
        }
        return {user: clauses for user, clauses in wrong.items() if clauses}

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        users = [user for user in self.wanted if user in parts]
        found = self.look(context, users)
        for user in users:
            self.change_one(context, record, user, found[user])
        return 'updated ' + state.listed([*parts])


def is_hash(text: str) -> bool:
    """Whether a text can stand in the password field of a shadow file."""
    return bool(text and _HASH.fullmatch(text))


def look(context: base.Context, names: Sequence[str]) -> dict[str, Account]:
    """Look at accounts in one call.

    :returns: every name to its account; ``exists`` is False without one.
    :raises StepFailed: the system did not answer for each.
    """
    blocks = f'\n{LOOK.run(context, *names)}'.split('\nuser:')[1:]
    found = {}
    for block in blocks:
        name, *lines = block.splitlines()
        found[name] = _account(lines)
    if found.keys() != set(names):
        raise exception.StepFailed('the users could not be looked at')
    return found


def _account(lines: Sequence[str]) -> Account:
    fields: dict[str, list[str]] = {}
    for line in lines:
        kind, _, rest = line.partition(':')
        fields.setdefault(kind, []).append(rest)
    sudo = '\n'.join(fields.get('sudo', ()))
    passwd = (fields.get('passwd') or [''])[0].split(':')
    if len(passwd) < 7:
        return Account(sudo=sudo)
    if not _UID.fullmatch(passwd[2]):
        raise exception.StepFailed(
            f'the user {passwd[0]:.40} of the image has no number'
        )
    shadow = (fields.get('shadow') or [':'])[0].split(':')
    return Account(
        exists=True,
        uid=int(passwd[2]),
        comment=passwd[4],
        home=passwd[5],
        shell=passwd[6],
        groups=tuple((fields.get('groups') or [''])[0].split()),
        shadow=shadow[1] if len(shadow) > 1 else '',
        sudo=sudo,
    )
