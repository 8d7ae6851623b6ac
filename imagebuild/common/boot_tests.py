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
"""What a request says of the boot test of its image.

One schema, which the API, its OpenAPI document and the operator's defaults
share; and one form, in which everything is named: so it is stored, decides the
content key, and is done by the build job.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild.common import control_characters
from imagebuild.exception import Problem

FIELD = 'boot_test'
#: On the console of an image of which nothing else is expected.
LOGIN = 'login:'
FIRMWARES = ('bios', 'uefi')
LARGEST_MEMORY = 1024 * 1024
MOST_CPUS = 64
LARGEST_DISK = 8192
LONGEST = 24 * 3600
MOST_TEXTS = 16
MOST_PORTS = 64
# All commands together travel in one word of a command line (128 KiB), in
# base64 twice.
_LONGEST_TEXT = 1024

_TEXT: Mapping[str, Any] = {
    'type': 'string',
    'minLength': 1,
    'maxLength': _LONGEST_TEXT,
    'pattern': control_characters.PATTERN,
    'x-pattern-message': 'holds a control character',
}


def _integer(least: int, most: int, description: str) -> dict[str, Any]:
    return {
        'type': 'integer',
        'minimum': least,
        'maximum': most,
        'description': description,
    }


def _array(most: int, items: Any, description: str) -> dict[str, Any]:
    return {
        'type': 'array',
        'maxItems': most,
        'items': items,
        'description': description,
    }


#: What may be named of it; what is not named is the operator's default.
FIELDS: Mapping[str, Mapping[str, Any]] = {
    'firmware': {
        'enum': [*FIRMWARES],
        'description': 'What starts the machine. This, memory, cpus and '
        'disk_size are refused for images that their cloud boots.',
    },
    'memory': _integer(64, LARGEST_MEMORY, 'MiB of the machine.'),
    'cpus': _integer(1, MOST_CPUS, 'Processors of the machine.'),
    'disk_size': _integer(
        0,
        LARGEST_DISK,
        'GiB of its disk, where that is to be larger than the image, as with '
        'a flavor; 0: as large as the image.',
    ),
    'timeout': _integer(
        1, LONGEST, 'Seconds until everything that is expected must hold.'
    ),
    'console': _array(
        MOST_TEXTS, _TEXT, 'Texts that the serial console must show.'
    ),
    'cloud_init': {
        'type': 'boolean',
        'description': 'Whether cloud-init must end without an error.',
    },
    'systemd': {
        'type': 'boolean',
        'description': 'Whether every unit of systemd must start.',
    },
    'ports': _array(
        MOST_PORTS,
        {'type': 'integer', 'minimum': 1, 'maximum': 65535},
        'TCP ports that something must listen on.',
    ),
    'commands': _array(
        MOST_TEXTS,
        _TEXT,
        'Shell commands that must succeed in the machine.',
    ),
}
SCHEMA: Mapping[str, Any] = {
    'anyOf': [
        {'title': 'true or false', 'type': 'boolean'},
        {
            'title': 'a boot test',
            'type': 'object',
            'additionalProperties': False,
            'properties': FIELDS,
        },
    ],
}
#: How the machine is. Of no image that a cloud boots.
MACHINE = ('firmware', 'memory', 'cpus', 'disk_size')
_LISTS = ('console', 'ports', 'commands')
_FLAGS = ('cloud_init', 'systemd')
_NUMBERS = ('memory', 'cpus', 'disk_size', 'timeout')


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the operator says of boot tests.

    :ivar enabled: whether there are any.
    :ivar required: whether every image has one.
    :ivar defaults: by the names of :data:`FIELDS`, all of them.
    :ivar most: the largest number of some of them.
    """

    enabled: bool
    required: bool
    defaults: Mapping[str, Any]
    most: Mapping[str, int]

    def normalized(self, asked: Any) -> dict[str, Any] | None:
        """The boot test of a request, with everything named.

        :param asked: what the request says, which has passed the schema;
            None when it says nothing.
        :returns: None for none.
        """
        if not asked and asked != {} and not self.required:
            return None
        given = asked if isinstance(asked, Mapping) else {}
        found = {**self.defaults, **given}
        return {
            name: _plain(name, found[name]) for name in FIELDS if name in found
        }

    def unmet(self, tested: Mapping[str, Any] | None) -> list[str]:
        """Find what the operator expects and a test did not look at.

        :param tested: the boot test of a request, as stored.
        :returns: for people: ``systemd``, ``ports 22``.
        """
        tested = tested or {}
        wanted = dict(self.defaults)
        if not _is_anything_expected(wanted):
            # It has seen something of a system that is up.
            if _is_anything_expected({**tested, 'console': []}):
                return []
            wanted['console'] = [LOGIN]
        found = []
        for name in _LISTS:
            seen = tested.get(name) or []
            if name == 'console' and not _is_anything_expected(tested):
                seen = [LOGIN]
            missing = [str(each) for each in wanted[name] if each not in seen]
            found += [f'{name} {", ".join(missing)}'] if missing else []
        return found + [
            name for name in _FLAGS if wanted[name] and not tested.get(name)
        ]

    def problems(self, asked: Any) -> Iterator[Problem]:
        """Find what is wrong with it besides its form.

        :param asked: as for :meth:`normalized`.
        """
        wanted = self.normalized(asked)
        if asked is False and self.required:
            yield Problem(
                FIELD, 'this service boots every image that it makes'
            )
        elif wanted and not self.enabled:
            yield Problem(FIELD, 'this service boots no images')
        elif wanted:
            for name, most in self.most.items():
                if wanted[name] > most:
                    unit = _UNITS[name]
                    yield Problem(
                        f'{FIELD}.{name}',
                        f'this service boots images with at most {most}{unit}',
                    )


_UNITS = {'memory': ' MiB of memory', 'cpus': ' CPUs', 'timeout': ' seconds'}


def _is_anything_expected(test: Mapping[str, Any]) -> bool:
    return any(test.get(name) for name in (*_LISTS, *_FLAGS))


def _plain(name: str, value: Any) -> Any:
    if name in _LISTS:
        # Each once: JSON schema takes 22.0 for an integer.
        as_is = int if name == 'ports' else str
        return list(dict.fromkeys(as_is(each) for each in value))
    return int(value) if name in _NUMBERS else value


def need(request: Mapping[str, Any], driver: str) -> str:
    """What a build must be booted with.

    :param request: in the form of :meth:`Rules.normalized`, or stored.
    :param driver: its name.
    :returns: a firmware; the driver, where that boots what it makes
        (:func:`left_to_driver`); '' where there is no boot test.
    """
    found = request.get(FIELD)
    if not isinstance(found, Mapping):
        return ''
    return str(found.get('firmware') or driver)


def left_to_driver(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same request, for a driver that boots what it makes.

    Of its boot test there is what is expected, and nothing of the machine.
    """
    wanted = request.get(FIELD)
    if not isinstance(wanted, Mapping):
        return dict(request)
    left = {
        name: value for name, value in wanted.items() if name not in MACHINE
    }
    return {**request, FIELD: left}


def machine_problems(asked: Any, driver: str) -> list[Problem]:
    """Refuse to say how a machine is where the driver boots what it makes.

    :param asked: what the request says of its boot test.
    :param driver: its name.
    """
    given = asked if isinstance(asked, Mapping) else {}
    return [
        Problem(
            f'{FIELD}.{name}',
            f'the driver "{driver}" has this cloud boot the image, in a '
            'machine as its flavor and the image say',
        )
        for name in MACHINE
        if given.get(name)
    ]
