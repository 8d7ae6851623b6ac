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
"""The inventory: a YAML file of machines and how each is reached."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.common import small_files
from imagebuild.common import strict_yaml
from imagebuild.remotes import ssh_settings

#: Machines in one file.
MOST = 1000
_LARGEST = 1024 * 1024
_TEXT: Mapping[str, Any] = {'type': 'string', 'minLength': 1}
_FINGERPRINT: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^SHA256:[A-Za-z0-9+/]{43}$(?!\n)',
    'x-message': 'is not a fingerprint such as "SHA256:..."',
}
_HOW: Mapping[str, Any] = {
    'user': _TEXT,
    'port': {'type': 'integer', 'minimum': 1, 'maximum': 65535},
    'identity': _TEXT,
    'passphrase_file': _TEXT,
    'password_file': _TEXT,
    'sudo_password_file': _TEXT,
    'jump': _TEXT,
    'host_key': _FINGERPRINT,
    'arguments': {
        'type': 'object',
        'additionalProperties': json_schema.SCALAR,
    },
}
_SCHEMA: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['hosts'],
    'properties': {
        'defaults': {
            'type': 'object',
            'additionalProperties': False,
            'properties': {
                name: schema
                for name, schema in _HOW.items()
                if name != 'host_key'
            },
        },
        'hosts': {
            'type': 'array',
            'minItems': 1,
            'maxItems': MOST,
            'x-message': f'is not a list of 1 to {MOST} machines',
            'items': {
                'anyOf': [
                    _TEXT,
                    {
                        'type': 'object',
                        'additionalProperties': False,
                        'required': ['host'],
                        'properties': {
                            'host': _TEXT,
                            'name': _TEXT,
                            **_HOW,
                        },
                    },
                ]
            },
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A machine of an inventory; paths are relative to its directory.

    :ivar name: what it is called in reports.
    :ivar address: where it is.
    :ivar identity: file of a private key, None for the user's own.
    :ivar passphrase_file: whose first line opens that key.
    :ivar password_file: whose first line is the password.
    :ivar sudo_password_file: likewise, for sudo.
    :ivar jumps: the machines to go through; None for the program's.
    :ivar host_key: fingerprint of its key.
    :ivar arguments: values for this machine alone.
    """

    name: str
    address: ssh_settings.Address
    identity: pathlib.Path | None = None
    passphrase_file: pathlib.Path | None = None
    password_file: pathlib.Path | None = None
    sudo_password_file: pathlib.Path | None = None
    jumps: Sequence[ssh_settings.Address] | None = None
    host_key: str | None = None
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read(path: pathlib.Path) -> list[Entry]:
    """Read an inventory.

    :raises InvalidInput: it cannot be read, or something is wrong with it:
        everything at once.
    """
    content = small_files.read(path, _LARGEST, name=f'The inventory {path}')
    try:
        document = strict_yaml.parse(content)
    except strict_yaml.InvalidYaml as error:
        raise exception.InvalidInput(
            f'The inventory {path} is not valid: {error}.'
        ) from None
    problems = json_schema.check(document, _SCHEMA, '', limit=20)
    entries: list[Entry] = []
    if not problems:
        entries = _entries(document, path.absolute().parent, problems)
    if problems:
        lines = [str(problem) for problem in problems]
        text = lines[0] if len(lines) == 1 else '\n  '.join(['', *lines])
        raise exception.InvalidInput(
            f'The inventory {path} is not valid: {text}'
        )
    return entries


def _entries(
    document: Mapping[str, Any],
    directory: pathlib.Path,
    problems: list[exception.Problem],
) -> list[Entry]:
    defaults = document.get('defaults', {})
    entries: list[Entry] = []
    names: set[str] = set()
    for number, item in enumerate(document['hosts']):
        own = {'host': item} if isinstance(item, str) else item
        place = json_schema.join('hosts', number)
        try:
            entry = _entry(own, defaults, directory)
        except exception.InvalidInput as error:
            message = str(error).rstrip('.')
            problems.append(exception.Problem(place, message))
            continue
        if entry.name in names:
            problems.append(
                exception.Problem(place, f'"{entry.name}" is a duplicate')
            )
        names.add(entry.name)
        entries.append(entry)
    return entries


def _entry(
    own: Mapping[str, Any],
    defaults: Mapping[str, Any],
    directory: pathlib.Path,
) -> Entry:
    values = {**defaults, **own}
    address = ssh_settings.address(own['host'])
    port = address.port or values.get('port')
    address = dataclasses.replace(
        address,
        user=address.user or _user(values),
        # What YAML has read is no plain int, which the resolver wants.
        port=None if port is None else int(port),
    )
    files = {
        name: directory / pathlib.Path(values[name]).expanduser()
        for name in (
            'identity',
            'passphrase_file',
            'password_file',
            'sudo_password_file',
        )
        if name in values
    }
    return Entry(
        name=own.get('name') or str(address),
        address=address,
        **files,
        jumps=jumps(values['jump']) if 'jump' in values else None,
        host_key=own.get('host_key'),
        arguments={
            **defaults.get('arguments', {}),
            **own.get('arguments', {}),
        },
    )


def _user(values: Mapping[str, Any]) -> str | None:
    user: str | None = values.get('user')
    if user is not None:
        ssh_settings.refuse_user(user)
    return user


def refuse_duplicates(entries: Sequence[Entry]) -> None:
    """Refuse a machine that is named twice.

    Two at once would be in each other's way, and no report could tell them
    apart.

    :raises InvalidInput: it names both.
    """
    names: set[str] = set()
    places: dict[Any, str] = {}
    for entry in entries:
        if entry.name in names:
            raise exception.InvalidInput(f'{entry.name} is named twice.')
        names.add(entry.name)
        host, port = entry.address.host.lower(), entry.address.port
        # The same address is another machine behind another jump host.
        jumps = tuple(map(str, entry.jumps or ()))
        other = places.setdefault(
            (host, port or ssh_settings.PORT, jumps), entry.name
        )
        if other != entry.name:
            raise exception.InvalidInput(
                f'{entry.name} is the same machine as {other}.'
            )


def jumps(text: str) -> list[ssh_settings.Address]:
    """Read ``[USER@]HOST[:PORT],...``.

    :raises InvalidInput: one of them is no address.
    """
    return [ssh_settings.address(each.strip()) for each in text.split(',')]
