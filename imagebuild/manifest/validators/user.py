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
"""``user``: accounts are there, as described."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.manifest import placeholders
from imagebuild.manifest.validators import accounts
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import template

_TEXT: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[^:\x00-\x1f]*$(?!\n)',
    'x-message': 'holds ":" or a control character',
}
_DIRECTORY: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^/[^:\x00-\x1f]*$(?!\n)',
    'x-message': 'is not an absolute path',
}
_ONE: Mapping[str, Any] = {
    'type': ['object', 'null'],
    'additionalProperties': False,
    'properties': {
        'uid': {'type': 'integer', 'minimum': 0, 'maximum': 4294967294},
        'groups': {
            'type': 'array',
            'maxItems': json_schema.MANY,
            'items': accounts.NAME,
        },
        'shell': _DIRECTORY,
        'home': _DIRECTORY,
        'comment': _TEXT,
        'system': {'type': 'boolean'},
        'password_hash': {'type': 'string', 'minLength': 1},
        'locked': {'type': 'boolean'},
        'sudo': {
            'type': ['boolean', 'string'],
            'pattern': r'^[^\x00-\x1f]+$(?!\n)',
            'x-message': 'is neither true, false nor a rule of one line',
        },
    },
}
_FREE_FOR_ALL = 'ALL=(ALL) NOPASSWD:ALL'


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """An account as the manifest describes it; None: as it is.

    :ivar groups: it is a member of these, and maybe of others.
    :ivar password: hash for the shadow file; may name arguments.
    :ivar sudo: rule for sudo, '' for none, None: as it is.
    """

    name: str
    uid: int | None
    groups: tuple[str, ...]
    shell: str | None
    home: str | None
    comment: str | None
    system: bool
    password: str | None
    locked: bool | None
    sudo: str | None


class UserValidator(accounts.AccountsValidator[_Wanted, accounts.Account]):
    """Accounts exist with their properties.

    What is not named is left as it is; membership in further groups too.
    Groups that do not exist are made. ``system`` decides how an account is
    made, not what one that exists must be like. ``password_hash`` may be
    ``{{ argument }}``; it travels neither in an argument list nor in a
    message.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'user'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'minProperties': 1,
        'propertyNames': accounts.NAME,
        'additionalProperties': _ONE,
    }

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        return cls(
            builder.path,
            {
                name: _wanted(name, properties or {}, builder.at(name))
                for name, properties in spec.items()
            },
        )

    def describe(self) -> str:
        return 'user ' + state.listed(list(self.wanted))

    def look(
        self, context: base.Context, users: Sequence[str]
    ) -> Mapping[str, accounts.Account]:
        return accounts.look(context, users)

    def differences_of(
        self, context: base.Context, user: str, found: accounts.Account
    ) -> Iterator[str]:
        return _differences(self.wanted[user], found, context)

    def change_one(
        self,
        context: base.Context,
        record: base.StepRecord,
        user: str,
        found: accounts.Account,
    ) -> None:
        _change(self.wanted[user], found, context, record)

    def commands(self, context: base.Context) -> Sequence[str]:
        return [f'useradd or usermod {user}' for user in self.wanted]

    def argument_names(self) -> Sequence[str]:
        return [
            name
            for item in self.wanted.values()
            for name in template.argument_names(item.password or '')
        ]

    def key(self) -> Any:
        return {'user': [_key(item) for item in self.wanted.values()]}


def _key(item: _Wanted) -> Any:
    plain = dataclasses.asdict(item)
    if item.password is not None:
        plain['password'] = hashlib.sha256(item.password.encode()).hexdigest()
    return plain | {'groups': list(item.groups)}


def _wanted(
    name: str, spec: Mapping[str, Any], builder: base.Builder
) -> _Wanted:
    password = spec.get('password_hash')
    if password is not None:
        if placeholders.names(password):
            template.check(password, builder, 'password_hash')
        elif not accounts.is_hash(password):
            builder.problem('it is not a password hash', 'password_hash')
    sudo = spec.get('sudo')
    if isinstance(sudo, bool):
        sudo = _FREE_FOR_ALL if sudo else ''
    uid = spec.get('uid')
    return _Wanted(
        name=name,
        uid=None if uid is None else int(uid),
        groups=tuple(dict.fromkeys(spec.get('groups', ()))),
        shell=spec.get('shell'),
        home=spec.get('home'),
        comment=spec.get('comment'),
        system=spec.get('system', False),
        password=password,
        locked=spec.get('locked'),
        sudo=sudo,
    )


def _differences(
    item: _Wanted, found: accounts.Account, context: base.Context
) -> Iterator[str]:
    if not found.exists:
        yield f'there is no user {item.name}'
        return
    for what in ('uid', 'home', 'shell', 'comment'):
        wanted, is_now = getattr(item, what), getattr(found, what)
        if wanted is not None and wanted != is_now:
            yield f'{item.name} has {what} "{is_now}", not "{wanted}"'
    for group in item.groups:
        if group not in found.groups:
            yield f'{item.name} is not in group {group}'
    if _shadow(item, found, context) != found.shadow:
        yield f'{item.name} has another password or lock'
    if item.sudo is not None and _rule(item) != found.sudo:
        yield f'{item.name} has another rule for sudo'


def _shadow(
    item: _Wanted, found: accounts.Account, context: base.Context
) -> str:
    """What the password field of the shadow file must be."""
    value = found.shadow
    if item.password is not None:
        value = template.render(item.password, context)
        if not accounts.is_hash(value):
            raise exception.StepFailed(
                f'what is given for {item.name} is not a password hash'
            )
        if item.locked is None:
            return value
    if item.locked is None:
        return value
    bare = value.lstrip('!')
    if item.locked:
        return value if value.startswith('!') else f'!{bare}'
    # "*": no password fits, and keys may still be used.
    return bare or '*'


def _rule(item: _Wanted) -> str:
    return f'{item.name} {item.sudo}' if item.sudo else ''


def _change(
    item: _Wanted,
    found: accounts.Account,
    context: base.Context,
    record: base.StepRecord,
) -> None:
    if not found.exists:
        # What useradd puts there: no password, locked.
        found = dataclasses.replace(found, shadow='!')
        verb, options = 'useradd', _new(item)
    else:
        verb, options = 'usermod', _changed(item, found)
    shadow = _shadow(item, found, context)
    sudo = item.sudo is not None and _rule(item) != found.sudo
    accounts.CHANGE.run(
        context,
        item.name,
        verb if options or verb == 'useradd' else '',
        'yes' if sudo else '',
        _rule(item),
        ' '.join(item.groups),
        *options,
        env={'SHADOW': shadow if shadow != found.shadow else ''},
        record=record,
    )


def _new(item: _Wanted) -> list[str]:
    options = ['-r'] if item.system else []
    options.append('-m' if item.home or not item.system else '-M')
    options += _options(item)
    if item.groups:
        options += ['-G', ','.join(item.groups)]
    return options


def _changed(item: _Wanted, found: accounts.Account) -> list[str]:
    differing = dataclasses.replace(
        item,
        uid=None if item.uid == found.uid else item.uid,
        home=None if item.home == found.home else item.home,
        shell=None if item.shell == found.shell else item.shell,
        comment=None if item.comment == found.comment else item.comment,
    )
    options = _options(differing)
    if differing.home is not None:
        options.append('-m')
    # -a: further groups that the user is in are kept.
    if not set(item.groups) <= set(found.groups):
        options += ['-a', '-G', ','.join(item.groups)]
    return options


def _options(item: _Wanted) -> list[str]:
    pairs = (
        ('-u', None if item.uid is None else str(item.uid)),
        ('-d', item.home),
        ('-s', item.shell),
        ('-c', item.comment),
    )
    return [
        part
        for option, value in pairs
        if value is not None
        for part in (option, value)
    ]
