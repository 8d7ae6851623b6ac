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
"""The options of the driver ``diskimage_builder``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.common import element_names
from imagebuild.drivers import from_scratch
from imagebuild.drivers import option_schema
from imagebuild.drivers.diskimage_builder import systems

_MOST = 100
#: What is more than a word to a shell is in none of these: elements hand
#: some of them to one unquoted.
_RELEASE = r'[A-Za-z0-9][A-Za-z0-9.-]{0,31}'
_PACKAGE = r'[A-Za-z0-9][A-Za-z0-9.+:_~=-]{0,127}'
_VARIABLE = r'[A-Za-z_][A-Za-z0-9_]{0,63}'
#: A value may have spaces where the operator gives it.
_VALUE = r'[^\x00-\x1f\x7f]{0,4096}'
#: What a user may give to a variable.
_WORD = r'(?:[A-Za-z0-9_.,:/@+][A-Za-z0-9_.,:/@+=-]{0,1023})?'
#: Decide how diskimage-builder is run, which is ours.
RESERVED = frozenset(
    {
        'ARCH',
        'BASH_ENV',
        'BASHOPTS',
        'DIB_BLOCK_DEVICE_CONFIG',
        'DIB_IMAGE_CACHE',
        'DIB_LOCKFILES',
        'DIB_NO_TMPFS',
        'DIB_PYTHON_EXEC',
        'DIB_RELEASE',
        'ELEMENTS_PATH',
        'ENV',
        'HOME',
        'IFS',
        'IMAGE_NAME',
        'LOGFILE',
        'LOGNAME',
        'PATH',
        'PS4',
        'SHELLOPTS',
        'TMPDIR',
        'TMP_DIR',
        'USER',
        '_LIB',
        'break',
        'break_cmd',
        'break_outside_target',
    }
)
_RESERVED_START = ('LD_', 'BASH_FUNC', 'PYTHON', 'SUDO_', 'GIT_')


def _texts(pattern: str, what: str) -> dict[str, Any]:
    return {
        'type': 'array',
        'maxItems': _MOST,
        'uniqueItems': True,
        'items': {
            'type': 'string',
            'pattern': rf'^{pattern}$(?!\n)',
            'x-message': f'is not {what}',
        },
        'x-message': f'is not a list of at most {_MOST} different names',
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class DibOptions(from_scratch.Options):
    """What to make a base image of.

    :ivar os: stands for an element and a release; '' when they are given.
    :ivar elements: names, in the order given.
    :ivar base: whether diskimage-builder's element of that name is among
        them.
    :ivar release: of the operating system, '' for the element's own choice.
    :ivar packages: installed by the elements' package manager.
    :ivar environment: variables for the elements.
    :ivar bootable: whether the disk can be started.
    """

    os: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Operating system: stands for its element and release.',
            {
                'enum': list(systems.SYSTEMS),
                'x-message': 'is not known; known are '
                + ', '.join(systems.SYSTEMS)
                + '; others are named by "elements" and "release"',
            },
        ),
    )
    elements: Sequence[str] = dataclasses.field(
        default=(),
        metadata=option_schema.described(
            'Elements of diskimage-builder or of the operator, besides that '
            'of "os".',
            element_names.SCHEMA,
        ),
    )
    base: bool = dataclasses.field(
        default=True,
        metadata=option_schema.described(
            'Whether the element "base" is included, as it is by '
            'diskimage-builder itself.',
            option_schema.BOOLEAN,
        ),
    )
    release: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Release as the element of the operating system calls it '
            '(DIB_RELEASE).',
            {
                'type': 'string',
                'pattern': rf'^{_RELEASE}$(?!\n)',
                'x-message': 'is not the name of a release',
            },
        ),
    )
    packages: Sequence[str] = dataclasses.field(
        default=(),
        metadata=option_schema.described(
            'Packages that the elements install besides their own.',
            _texts(_PACKAGE, 'the name of a package'),
        ),
    )
    environment: Mapping[str, str] | None = dataclasses.field(
        default=None,
        metadata=option_schema.described(
            'Variables for the elements; users may set those that the '
            'operator allows.',
            {
                'type': 'object',
                'maxProperties': _MOST,
                'propertyNames': {
                    'pattern': rf'^{_VARIABLE}$(?!\n)',
                    'x-message': 'is not the name of a variable',
                },
                'additionalProperties': {
                    'type': 'string',
                    'pattern': rf'^{_VALUE}$(?!\n)',
                    'x-message': 'is not a text of one line',
                },
                'x-message': 'is not a mapping of at most '
                f'{_MOST} names to texts',
            },
        ),
    )
    bootable: bool = dataclasses.field(
        default=True,
        metadata=option_schema.described(
            'Whether a boot loader is installed; without one the elements '
            'need not bring a kernel.',
            option_schema.BOOLEAN,
        ),
    )

    def all_elements(self) -> list[str]:
        """What is handed to disk-image-create, each once."""
        system = systems.SYSTEMS.get(self.os)
        first = [system.element] if system else []
        return list(dict.fromkeys([*first, *self.elements]))

    def chosen_release(self) -> str:
        """The release, '' for the element's own choice."""
        system = systems.SYSTEMS.get(self.os)
        return self.release or (system.release if system else '')

    def label(self) -> str:
        """What it is, for people."""
        return self.os or ' '.join(self.all_elements()[:3])


def is_word(value: str) -> bool:
    """Whether a value is one word to every shell, and no option."""
    return re.fullmatch(_WORD, value) is not None


def is_reserved(name: str) -> bool:
    """Whether a variable decides how diskimage-builder is run."""
    return name in RESERVED or name.startswith(_RESERVED_START)
