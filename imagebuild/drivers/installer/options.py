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
"""The options of the driver ``installer``.

What is in a value goes into files of three kinds. Each pattern allows what
such a value may have anywhere, and no quote and no line break; what may have
those (commands, comments of keys) is in a file of its own or encoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild.drivers import disk_options
from imagebuild.drivers import from_scratch
from imagebuild.drivers import option_schema

_MOST = 100
#: GiB.
_DEFAULT_SIZE = 10
_LEAST_SIZE = 3
_MOST_SWAP = 65536
_NAME = r'[a-z_][a-z0-9_-]{0,31}'
#: SHA-256, SHA-512, yescrypt and bcrypt: what crypt(3) makes.
_HASH = r'\$(?:5|6|y|2[aby])\$[A-Za-z0-9./$=,]{10,240}'
_KEY = (
    r'(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]{1,60} '
    r'[A-Za-z0-9+/]{20,2000}={0,3}(?: [\x20-\x7e]{0,200})?'
)


def _text(pattern: str, what: str) -> dict[str, Any]:
    return {
        'type': 'string',
        'pattern': rf'^{pattern}$(?!\n)',
        'x-message': f'is not {what}',
    }


def _texts(items: Mapping[str, Any], what: str) -> dict[str, Any]:
    return {
        'type': 'array',
        'maxItems': _MOST,
        'items': items,
        'x-message': f'is not a list of at most {_MOST} {what}',
    }


_HASH_SCHEMA = {
    **_text(
        _HASH,
        'the hash of a password as crypt(3) makes it ("openssl passwd -6"), '
        'never the password',
    ),
    'writeOnly': True,
}
_USER = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['name'],
    'properties': {
        'name': _text(_NAME, 'the name of a user'),
        'password_hash': _HASH_SCHEMA,
        'ssh_keys': _texts(_text(_KEY, 'a public key of SSH'), 'keys'),
        'sudo': option_schema.BOOLEAN,
    },
}


@dataclasses.dataclass(frozen=True)
class User:
    """Somebody who can log in.

    :ivar password_hash: '' for nobody who can do so by a password.
    :ivar sudo: whether it may become root, which takes no password where it
        has none.
    """

    name: str
    password_hash: str = ''
    ssh_keys: tuple[str, ...] = ()
    sudo: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstallerOptions(from_scratch.Options):
    """What to install.

    :ivar installer: which of the operator's.
    :ivar swap: MiB of a partition for swap; 0 for none.
    :ivar root_password_hash: '' locks root.
    :ivar users: as requests have them; see :attr:`people`.
    :ivar late_commands: run at the end, in the new system.
    """

    installer: str = dataclasses.field(
        metadata=option_schema.described(
            "Name of one of the operator's installers.",
            _text(
                r'[A-Za-z0-9][A-Za-z0-9_.-]{0,62}', 'the name of an installer'
            ),
        )
    )
    size: int = dataclasses.field(
        default=_DEFAULT_SIZE,
        metadata=option_schema.described(
            'GiB of the disk.',
            option_schema.integer(
                _LEAST_SIZE, disk_options.LARGEST_SIZE, 'GiB'
            ),
        ),
    )
    swap: int = dataclasses.field(
        default=0,
        metadata=option_schema.described(
            'MiB of a partition for swap; without it there is none.',
            option_schema.integer(0, _MOST_SWAP, 'MiB'),
        ),
    )
    locale: str = dataclasses.field(
        default='en_US.UTF-8',
        metadata=option_schema.described(
            'Language of the system.',
            _text(
                r'[a-z]{2,3}_[A-Z]{2}\.UTF-8(?:@[a-z]{1,20})?',
                'a locale such as en_US.UTF-8',
            ),
        ),
    )
    keyboard: str = dataclasses.field(
        default='us',
        metadata=option_schema.described(
            'Layout of the keyboard.',
            _text(r'[a-z]{2,10}', 'a layout such as us'),
        ),
    )
    timezone: str = dataclasses.field(
        default='Etc/UTC',
        metadata=option_schema.described(
            'Time zone.',
            _text(
                r'[A-Za-z0-9_+][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}',
                'a time zone such as Europe/Berlin',
            ),
        ),
    )
    hostname: str = dataclasses.field(
        default='image',
        metadata=option_schema.described(
            'Name of the machine.',
            _text(
                r'[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?', 'the name of a host'
            ),
        ),
    )
    root_password_hash: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            "Hash of root's password; without it root has none and cannot "
            'log in by one.',
            _HASH_SCHEMA,
        ),
    )
    users: Sequence[Mapping[str, Any]] = dataclasses.field(
        default=(),
        metadata=option_schema.described(
            'Users that are made.', _texts(_USER, 'users')
        ),
    )
    packages: Sequence[str] = dataclasses.field(
        default=(),
        metadata=option_schema.described(
            'Packages that the installer installs besides its own.',
            {
                **_texts(
                    _text(
                        r'[A-Za-z0-9][A-Za-z0-9.+:_~=-]{0,127}',
                        'the name of a package',
                    ),
                    'different names',
                ),
                'uniqueItems': True,
            },
        ),
    )
    late_commands: Sequence[str] = dataclasses.field(
        default=(),
        metadata=option_schema.described(
            'Commands for the shell of the new system, run as root at the end '
            'of the installation; one that fails ends the build.',
            _texts(
                {
                    'type': 'string',
                    'minLength': 1,
                    'maxLength': 4096,
                    'pattern': r'^[^\x00-\x08\x0b-\x1f\x7f]*$(?!\n)',
                    'x-message': 'is not a command of at most 4096 characters',
                },
                'commands',
            ),
        ),
    )
    conditions: ClassVar[Mapping[str, Any]] = {
        **from_scratch.Options.conditions
    }

    @property
    def people(self) -> tuple[User, ...]:
        """The users."""
        return tuple(
            User(**{**each, 'ssh_keys': tuple(each.get('ssh_keys', ()))})
            for each in self.users
        )

    def facts(self) -> dict[str, Any]:
        """See :meth:`from_scratch.Options.facts`."""
        plain = {
            name: getattr(self, name)
            for name in (
                'installer',
                'size',
                'swap',
                'locale',
                'keyboard',
                'timezone',
                'hostname',
                'root_password_hash',
            )
        }
        return {
            **plain,
            'users': [dataclasses.asdict(each) for each in self.people],
            'packages': sorted(self.packages),
            'late_commands': list(self.late_commands),
            **super().facts(),
        }
