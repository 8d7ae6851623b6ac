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
"""Groups, users, their keys and passwords in cloud-init's user data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import draft
from imagebuild.conversion import values

#: What crypt(3) makes.
_HASH = re.compile(r'\$(?:[1256axy]|2[aby]|gy|7)\$\S+')
_NAME = re.compile(r'[a-z_][a-z0-9_.-]*\$?', re.IGNORECASE)
_SSHD = '/etc/ssh/sshd_config.d/50-cloud-init.conf'
#: As cloud-init does, members that are not there yet are passed over.
_GROUP = """#!/bin/sh
set -eu
if ! getent group {name} >/dev/null; then
    if [ "$test_only" -ne 0 ]; then
        echo 'there is no group {name}' >&2
        exit 1
    fi
    groupadd {name}
fi
"""
_MEMBERS = """for member in {members}; do
    id "$member" >/dev/null 2>&1 || continue
    case " $(id -nG "$member") " in *' {name} '*) continue ;; esac
    if [ "$test_only" -ne 0 ]; then
        echo "$member is not in group {name}" >&2
        exit 1
    fi
    usermod -a -G {name} "$member"
done
"""
_RANDOM = frozenset({'R', 'RANDOM'})
_KNOWN = frozenset(
    {'create_groups', 'expiredate', 'gecos', 'groups', 'hashed_passwd',
     'homedir', 'inactive', 'lock-passwd', 'lock_passwd', 'name',
     'no_create_home', 'no_user_group', 'passwd', 'plain_text_passwd',
     'primary-group', 'primary_group',
     'shell', 'ssh-authorized-keys', 'ssh_authorized_keys', 'sudo',
     'system', 'uid'}
)  # fmt: skip
_REASONS: Mapping[str, str] = {
    'doas': 'imagebuild has no step for rules of doas',
    'no_log_init': 'it is only about the size of a log',
    'selinux_user': 'imagebuild has no step for users of SELinux',
    'snapuser': 'accounts of snap are made on the machine',
    'ssh_import_id': 'the keys would be fetched from a server; put them into '
    'ssh_authorized_keys',
    'ssh_redirect_user': 'it is about keys that a machine gets from its cloud',
}


def groups(made: draft.Draft, where: str, value: Any) -> None:
    """Groups and their members."""
    for name, members in _groups(value):
        if not _NAME.fullmatch(name):
            made.lose(where, f'"{name}" is not a name')
            continue
        found = [member for member in members if _NAME.fullmatch(member)]
        text = _GROUP.format(name=name)
        if found:
            text += _MEMBERS.format(name=name, members=' '.join(found))
        made.script(
            f'group {name}',
            text,
            guard=False,
            comment=where,
        )


def _groups(value: Any) -> Iterator[tuple[str, list[str]]]:
    """Group and members; cloud-init takes lists, mappings and texts."""
    if isinstance(value, str):
        value = values.words(value)
    found = [value] if isinstance(value, dict) else values.items(value)
    for item in found:
        if isinstance(item, dict):
            for name, members in item.items():
                yield values.text(name), values.words(members)
        else:
            yield values.text(item), []


def users(made: draft.Draft, where: str, value: Any) -> None:
    """Accounts; the default user stays cloud-init's."""
    for place, entry in _users(where, value):
        name = values.text(entry.get('name', ''))
        if name == 'default':
            made.remark(
                place, 'cloud-init makes the default user on each machine'
            )
            continue
        if not _NAME.fullmatch(name):
            made.lose(place, f'"{name}" is not the name of a user')
            continue
        try:
            _user(made, place, name, entry)
        except draft.Malformed as error:
            made.lose(place, f'{error}, as cloud-init wants it')


def _users(where: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            place = f'{where}.{name}'
            if isinstance(entry, dict):
                yield place, {'name': name, **values.mapping(entry)}
            else:
                yield place, {'name': name}
        return
    if isinstance(value, str):
        value = values.words(value)
    for place, item in values.each(where, value):
        if isinstance(item, dict):
            yield place, values.mapping(item)
        else:
            for name in values.words(item):
                yield place, {'name': name}


def _user(
    made: draft.Draft, place: str, name: str, entry: Mapping[str, Any]
) -> None:
    for key in sorted(entry.keys() - _KNOWN):
        if entry[key] not in (None, False):
            reason = _REASONS.get(key, 'it is not known')
            made.lose(f'{place}.{key}', reason)
    spec: dict[str, Any] = {}
    for ours, theirs in (
        ('comment', 'gecos'), ('home', 'homedir'), ('shell', 'shell')
    ):  # fmt: skip
        if entry.get(theirs):
            spec[ours] = values.text(entry[theirs])
    if entry.get('uid') is not None:
        spec['uid'] = _number(entry['uid'])
    primary = values.text(
        entry.get('primary_group') or entry.get('primary-group') or ''
    )
    member_of = values.words(entry.get('groups'))
    if member_of:
        spec['groups'] = member_of
    if values.is_true(entry.get('system')):
        spec['system'] = True
    spec |= _password(made, place, name, entry)
    rules = [values.text(rule) for rule in values.items(entry.get('sudo'))
             if rule not in (None, False, True)]  # fmt: skip
    if len(rules) == 1:
        free = rules[0].strip() == 'ALL=(ALL) NOPASSWD:ALL'
        spec['sudo'] = True if free else rules[0]
    _made_otherwise(made, place, name, primary, entry, spec)
    made.add({'user': {name: spec or None}}, place)
    if len(rules) > 1:
        _rules(made, place, name, rules)
    _further(made, place, name, entry)
    keys = entry.get('ssh_authorized_keys', entry.get('ssh-authorized-keys'))
    if isinstance(keys, dict):
        keys = list(keys.values())
    found = [values.text(key).strip() for key in values.items(keys)]
    found = [key for key in found if key]
    if found:
        made.add({'ssh_key': {name: found}}, place)


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise draft.Malformed('its uid is not a number') from None


def _rules(made: draft.Draft, place: str, name: str, rules: list[str]) -> None:
    content = ''.join(f'{name} {rule}\n' for rule in rules)
    # sudo skips files with a "." in their name.
    path = f'/etc/sudoers.d/90-{name.replace(".", "-")}'
    made.add({'file': {path: {'content': content, 'mode': '0440'}}}, place)


#: An account that useradd makes otherwise than the step "user" would.
_USERADD = """#!/bin/sh
set -eu
if id {name} >/dev/null 2>&1; then
    exit 0
fi
if [ "$test_only" -ne 0 ]; then
    echo 'there is no user {name}' >&2
    exit 1
fi
"""


def _made_otherwise(
    made: draft.Draft,
    place: str,
    name: str,
    primary: str,
    entry: Mapping[str, Any],
    spec: Mapping[str, Any],
) -> None:
    """Make an account that has no group or no home of its own."""
    homeless = values.is_true(entry.get('no_create_home'))
    alone = values.is_true(entry.get('no_user_group'))
    if not (primary or homeless or alone):
        return
    text = _USERADD.format(name=name)
    options = []
    if primary:
        group = values.quoted(primary)
        text += f'getent group {group} >/dev/null || groupadd {group}\n'
        options += ['--gid', primary]
    elif alone:
        options += ['--no-user-group']
    system = bool(spec.get('system'))
    options += ['--system'] * system
    options += ['--no-create-home' if homeless or system else '--create-home']
    for option, key in (('--uid', 'uid'), ('--home-dir', 'home')):
        if key in spec:
            options += [option, str(spec[key])]
    words = ' '.join(map(values.quoted, options))
    text += f'useradd {words} {name}\n'
    made.script(f'make {name}', text, guard=False, comment=place)


def _further(
    made: draft.Draft, place: str, name: str, entry: Mapping[str, Any]
) -> None:
    """What has no word in a manifest is a call of usermod."""
    options = []
    for option, key in (
        ('--expiredate', 'expiredate'),
        ('--inactive', 'inactive'),
    ):
        if entry.get(key) not in (None, ''):
            options += [option, values.text(entry[key])]
    if options:
        words = ' '.join(map(values.quoted, [*options, name]))
        made.script(
            f'account {name}', f'#!/bin/sh\nusermod {words}\n', comment=place
        )


def _password(
    made: draft.Draft, place: str, name: str, entry: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hashed = entry.get('hashed_passwd') or entry.get('passwd')
    if entry.get('plain_text_passwd'):
        found['password_hash'] = _asked_for(made, place, name)
    elif hashed:
        found['password_hash'] = values.text(hashed)
    lock = entry.get('lock_passwd', entry.get('lock-passwd', True))
    if values.is_true(lock):
        found['locked'] = True
    return found


def _asked_for(made: draft.Draft, place: str, user: str) -> str:
    """A password in clear: an argument takes its place."""
    argument = f'{user.rstrip("$")}-password-hash'
    made.arguments[argument] = {
        'description': f'The hash of the password of {user}, as '
        '"openssl passwd -6" prints it.',
        'required': True,
        'hidden': True,
    }
    made.lose(
        place,
        f'the password of {user} is written in clear; give its hash as '
        f'--{argument}',
    )
    return f'{{{{ {argument} }}}}'


def chpasswd(made: draft.Draft, where: str, value: Any) -> None:
    """Passwords of accounts that are there by then."""
    entry = values.mapping(value)
    changed = []
    for place, name, password, kind in _passwords(where, entry):
        if not _NAME.fullmatch(name):
            made.lose(place, 'it names no user')
            continue
        if kind == 'RANDOM':
            made.lose(place, 'a random password is made on each machine')
            continue
        wanted = password if kind == 'hash' else _asked_for(made, place, name)
        made.add({'user': {name: {'password_hash': wanted}}}, place)
        changed.append(name)
    if values.is_true(entry.get('expire', True)):
        for name in changed:
            made.script(
                f'expire the password of {name}',
                f'#!/bin/sh\nchage -d 0 {values.quoted(name)}\n',
                comment=where,
            )


def _passwords(
    where: str, entry: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    for place, item in values.each(f'{where}.users', entry.get('users')):
        one = values.mapping(item)
        password = values.text(one.get('password', ''))
        kind = values.text(one.get('type', 'hash'))
        yield place, values.text(one.get('name', '')), password, kind
    lines = entry.get('list')
    if isinstance(lines, str):
        lines = lines.splitlines()
    for place, item in values.each(f'{where}.list', lines):
        name, _, password = values.text(item).partition(':')
        kind = 'hash' if _HASH.fullmatch(password) else 'text'
        if password in _RANDOM:
            kind = 'RANDOM'
        yield place, name.strip(), password, kind


def password_logins(made: draft.Draft, where: str, value: Any) -> None:
    """Whether sshd lets passwords in."""
    if value is None or str(value).strip().lower() == 'unchanged':
        return
    word = 'yes' if values.is_true(value) else 'no'
    wanted = {'content': f'PasswordAuthentication {word}\n', 'mode': '0600'}
    made.add({'file': {_SSHD: wanted}}, where)
