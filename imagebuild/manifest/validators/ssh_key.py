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
"""``ssh_key``: users let keys in."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.manifest import argument_types
from imagebuild.manifest import placeholders
from imagebuild.manifest.validators import accounts
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import template

_TEXTS: Mapping[str, Any] = {
    'title': 'a list of texts',
    'type': 'array',
    'maxItems': json_schema.MANY,
    'items': {'type': 'string', 'minLength': 1},
    'minItems': 1,
}

_PLACES = r"""
places() {
    entry=$(getent passwd "$1") || return 1
    home=$(printf '%s\n' "$entry" | cut -d: -f6)
    owner=$(printf '%s\n' "$entry" | cut -d: -f3,4)
    dir=$home/.ssh
    file=$dir/authorized_keys
}
"""
#: Lines "what:rest" for each user.
LOOK = shell.Script(
    'look at authorized keys',
    _PLACES
    + r"""
describe() {
    if [ -L "$2" ]; then
        printf '%s:link\n' "$1"
    elif [ -e "$2" ]; then
        printf '%s:%s\n' "$1" "$(stat -c '%a:%u:%g' -- "$2")"
    else
        printf '%s:absent\n' "$1"
    fi
}
for name do
    printf 'user:%s\n' "$name"
    places "$name" || continue
    printf 'owner:%s\n' "$owner"
    describe dir "$dir"
    describe file "$file"
    if [ ! -L "$dir" ] && [ ! -L "$file" ] && [ -f "$file" ]; then
        printf 'content:%s\n' "$(base64 < "$file" | tr -d '\n')"
    fi
done
""",
)
#: Argument: the user. Standard input: what the file is to hold. Links are
#: refused: the user may have made them, and root would write, chown and chmod
#: where they lead.
CHANGE = shell.Script(
    'write authorized keys',
    _PLACES
    + r"""
set -eu
umask 077
places "$1"
if [ ! -d "$home" ]; then
    printf 'the home of %s, %s, is not there\n' "$1" "$home" >&2
    exit 1
fi
for path in "$dir" "$file"; do
    if [ -L "$path" ]; then
        printf '%s is a symbolic link\n' "$path" >&2
        exit 1
    fi
done
[ -d "$dir" ] || mkdir "$dir"
chown "$owner" "$dir"
chmod 0700 "$dir"
# Written beside it and renamed: there is never half a file.
new=$(mktemp "$dir/.imagebuild.XXXXXX")
cat > "$new"
chown "$owner" "$new"
chmod 0600 "$new"
mv -f "$new" "$file"
""",
)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """The keys of one user, as lines; they may name arguments."""

    user: str
    lines: tuple[str, ...]
    exclusive: bool = False


@dataclasses.dataclass(frozen=True)
class _Found:
    """What there is; ``directory`` and ``file`` are what LOOK prints."""

    owner: str = ''
    directory: str = 'absent'
    file: str = 'absent'
    content: str = ''


class SshKeyValidator(accounts.AccountsValidator[_Wanted, _Found]):
    """Keys stand in a user's ``authorized_keys``.

    Only missing ones are added; with ``exclusive`` there are no others. A
    key may be ``{{ argument }}``. Keys are compared by what they are, not
    by comments or options.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'ssh_key'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'minProperties': 1,
        'propertyNames': accounts.NAME,
        'additionalProperties': {
            'anyOf': [
                {**_TEXTS, 'title': 'a list of public keys'},
                {
                    'title': 'a mapping with "keys" or "key_sources"',
                    'type': 'object',
                    'additionalProperties': False,
                    'properties': {
                        'keys': _TEXTS,
                        'key_sources': _TEXTS,
                        'exclusive': {'type': 'boolean'},
                    },
                },
            ]
        },
    }

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        return cls(
            builder.path,
            {
                user: _wanted(user, value, builder.at(user))
                for user, value in spec.items()
            },
        )

    def describe(self) -> str:
        return 'ssh keys of ' + state.listed(list(self.wanted))

    def look(
        self, context: base.Context, users: Sequence[str]
    ) -> Mapping[str, _Found]:
        return _look(context, users)

    def differences_of(
        self, context: base.Context, user: str, found: _Found
    ) -> Iterator[str]:
        return _differences(self.wanted[user], found, context)

    def change_one(
        self,
        context: base.Context,
        record: base.StepRecord,
        user: str,
        found: _Found,
    ) -> None:
        content = _content(self.wanted[user], found, context)
        CHANGE.run(context, user, stdin=content.encode(), record=record)

    def commands(self, context: base.Context) -> Sequence[str]:
        return [f'write authorized_keys of {user}' for user in self.wanted]

    def argument_names(self) -> Sequence[str]:
        return [
            name
            for item in self.wanted.values()
            for line in item.lines
            for name in template.argument_names(line)
        ]

    def key(self) -> Any:
        return {
            'ssh_key': [
                [item.user, list(item.lines), item.exclusive]
                for item in self.wanted.values()
            ]
        }


def identity(line: str) -> tuple[str, str] | None:
    """Type and key of a line, options and comment left out."""
    words = line.split()
    for kind, blob in zip(words, words[1:], strict=False):
        if kind in argument_types.SSH_KEY_TYPES:
            return kind, blob
    return None


def _wanted(user: str, value: Any, builder: base.Builder) -> _Wanted:
    if isinstance(value, list):
        return _Wanted(user, tuple(_checked(value, builder)))
    lines = list(_checked(value.get('keys', ()), builder, 'keys'))
    for index, name in enumerate(value.get('key_sources', ())):
        content = builder.resource(name, 'key_sources', index)
        lines += _from_source(content, builder.at('key_sources', index))
    if 'keys' not in value and 'key_sources' not in value:
        builder.problem('"keys" or "key_sources" is needed')
    return _Wanted(user, tuple(lines), value.get('exclusive', False))


def _checked(
    keys: Sequence[str], builder: base.Builder, *parts: str
) -> Iterator[str]:
    for index, text in enumerate(keys):
        line = text.strip()
        if placeholders.names(line):
            template.check(line, builder, *parts, index)
        else:
            wrong = argument_types.ssh_key_error(line)
            if wrong:
                builder.problem(wrong, *parts, index)
        yield line


def _from_source(content: bytes, builder: base.Builder) -> Iterator[str]:
    lines = content.decode('utf-8', 'replace').splitlines()
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line or line.startswith('#'):
            continue
        wrong = argument_types.ssh_key_error(line)
        if wrong:
            builder.problem(f'line {number}: {wrong}')
            return
        yield line


def _lines(item: _Wanted, context: base.Context) -> list[str]:
    lines = [template.render(line, context).strip() for line in item.lines]
    for line in lines:
        wrong = argument_types.ssh_key_error(line)
        if wrong:
            raise exception.StepFailed(f'a key of {item.user}: {wrong}')
    return lines


def _look(context: base.Context, users: Sequence[str]) -> dict[str, _Found]:
    blocks = f'\n{LOOK.run(context, *users)}'.split('\nuser:')[1:]
    found = {}
    for block in blocks:
        user, *lines = block.splitlines()
        fields = dict(line.split(':', 1) for line in lines if ':' in line)
        content = base64.b64decode(fields.get('content', ''))
        found[user] = _Found(
            fields.get('owner', ''),
            fields.get('dir', 'absent'),
            fields.get('file', 'absent'),
            content.decode('utf-8', 'replace'),
        )
    missing = [user for user in users if not found.get(user, _Found()).owner]
    if missing:
        raise exception.StepFailed(
            f'there is no such user: {", ".join(missing)}'
        )
    return found


def _differences(
    item: _Wanted, found: _Found, context: base.Context
) -> Iterator[str]:
    wanted = _lines(item, context)
    for what, is_now, mode in (
        ('.ssh', found.directory, '700'),
        ('authorized_keys', found.file, '600'),
    ):
        if is_now == 'link':
            raise exception.StepFailed(
                f'{what} of {item.user} is a symbolic link'
            )
        if is_now not in ('absent', f'{mode}:{found.owner}'):
            yield f'{what} of {item.user} has another mode or owner'
    there = {identity(line) for line in _active(found.content)}
    needed = {identity(line) for line in wanted}
    lacking = len(needed - there)
    if lacking:
        yield f'{item.user} lacks keys: {lacking} of {len(needed)}'
    if item.exclusive and there - needed:
        yield f'{item.user} lets other keys in'


def _active(content: str) -> Iterator[str]:
    for line in content.splitlines():
        if line.strip() and not line.lstrip().startswith('#'):
            yield line


def _content(item: _Wanted, found: _Found, context: base.Context) -> str:
    wanted = _lines(item, context)
    if item.exclusive:
        lines = wanted
    else:
        there = {identity(line) for line in _active(found.content)}
        lines = found.content.splitlines() + [
            line for line in wanted if identity(line) not in there
        ]
    return ''.join(f'{line}\n' for line in dict.fromkeys(lines))
