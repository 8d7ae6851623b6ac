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
"""What users and entries of the catalogue say about the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import space
from imagebuild.drivers import base
from imagebuild.drivers import disk_options
from imagebuild.drivers import option_schema
from imagebuild.drivers.snapshot import settings

_NAME: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z0-9_.-][A-Za-z0-9_. :@-]{0,254}$(?!\n)',
    'x-message': 'is not a name or an id',
}
#: Without a colon: "zone:host" names a host, past the scheduler.
_ZONE: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z0-9_.-][A-Za-z0-9_. -]{0,254}$(?!\n)',
    'x-message': 'is not the name of an availability zone',
}
_UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'


@dataclasses.dataclass(frozen=True)
class SnapshotOptions(base.Options):
    """Options of the driver ``snapshot``; each has its description.

    :ivar networks: None for those of the configuration.
    :ivar boot_from: '' for that of the configuration, as the others.
    """

    configure: str = dataclasses.field(
        default='cloud-init',
        metadata=option_schema.described(
            'How the server comes to be as described: cloud-init, by its '
            'user data, so that nothing has to reach it; ssh, by the '
            'conductor, which must reach its first address, or a floating '
            'one that the operator has it given.',
            {'enum': ['cloud-init', 'ssh']},
        ),
    )
    flavor: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Name or id of the flavor of the server; by default what the '
            'operator has set.',
            _NAME,
        ),
    )
    networks: Sequence[str] | None = dataclasses.field(
        default=None,
        metadata=option_schema.described(
            'Ids of the networks of the server; an empty list for a server '
            'without a network; by default what the operator has set.',
            {
                'type': 'array',
                'maxItems': 8,
                'uniqueItems': True,
                'items': {
                    'type': 'string',
                    'pattern': f'^{_UUID}$(?!\\n)',
                    'x-message': 'is not the id of a network',
                },
            },
        ),
    )
    availability_zone: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Availability zone of the server; by default what the operator '
            'has set.',
            _ZONE,
        ),
    )
    config_drive: bool | None = dataclasses.field(
        default=None,
        metadata=option_schema.described(
            'Whether the server is given a config drive, which it always is '
            'without a network.',
            option_schema.BOOLEAN,
        ),
    )

    boot_from: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Where the disk of the server is: image, on its host; volume, in '
            'a volume, for flavors without a disk; by default what the '
            'operator has set.',
            {'enum': ['image', 'volume']},
        ),
    )
    volume_size: int = dataclasses.field(
        default=0,
        metadata=option_schema.described(
            'GiB of the volume; by default what the operator has set, or the '
            'base image needs.',
            option_schema.integer(1, disk_options.LARGEST_SIZE, 'GiB'),
        ),
    )
    volume_type: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Name or id of the type of the volume; by default what the '
            'operator has set.',
            _NAME,
        ),
    )

    def boots_from_volume(self, limits: settings.SnapshotSettings) -> bool:
        """Whether the disk of the server is a volume."""
        return (self.boot_from or limits.boot_from) == 'volume'

    def networks_with(
        self, limits: settings.SnapshotSettings
    ) -> Sequence[str]:
        """The networks of the server, those of the configuration if none."""
        return limits.networks if self.networks is None else self.networks


def way_problems(
    options: Mapping[str, Any], limits: settings.SnapshotSettings
) -> list[exception.Problem]:
    """What is against the way by which the server is to be configured.

    :param options: which have been validated.
    """
    parsed = SnapshotOptions.parse(options)
    if parsed.configure != 'ssh' or parsed.networks_with(limits):
        return []
    return [
        exception.Problem(
            'configure', 'a server without a network is not reached by SSH'
        )
    ]


def volume_problems(
    options: Mapping[str, Any],
    limits: settings.SnapshotSettings,
    largest: int,
) -> list[exception.Problem]:
    """What is against the volume of the server.

    :param options: which have been validated.
    :param largest: bytes that a disk may have, 0 for no limit.
    """
    parsed = SnapshotOptions.parse(options)
    problems = []
    if not parsed.boots_from_volume(limits):
        problems = [
            exception.Problem(name, 'needs "boot_from": "volume"')
            for name in ('volume_size', 'volume_type')
            if options.get(name)
        ]
    if largest and parsed.volume_size * space.GIB > largest:
        problems.append(
            exception.Problem(
                'volume_size',
                f'the operator allows disks of {space.human(largest)}',
            )
        )
    return problems


def asked_problems(
    asked: Mapping[str, Any], allowed: settings.SnapshotSettings
) -> list[exception.Problem]:
    """What users may not ask for.

    :param asked: options of a request, which have been validated.
    """
    problems = []
    flavor = asked.get('flavor')
    if flavor and not _may(flavor, allowed.allowed_flavors, [allowed.flavor]):
        problems.append(
            exception.Problem(
                'flavor', f'the operator allows no flavor "{flavor}"'
            )
        )
    where = asked.get('boot_from')
    if where and where not in (*allowed.allowed_boot_from, allowed.boot_from):
        problems.append(
            exception.Problem(
                'boot_from', f'the operator allows no booting from {where}'
            )
        )
    kind = asked.get('volume_type')
    if kind and not _may(
        kind, allowed.allowed_volume_types, [allowed.volume_type]
    ):
        problems.append(
            exception.Problem(
                'volume_type',
                f'the operator allows no type of volume "{kind}"',
            )
        )
    for number, each in enumerate(asked.get('networks') or ()):
        if not _may(each, allowed.allowed_networks, allowed.networks):
            problems.append(
                exception.Problem(
                    f'networks[{number}]',
                    f'the operator allows no network {each}',
                )
            )
    return problems


def _may(name: str, allowed: Sequence[str], usual: Sequence[str]) -> bool:
    return settings.EVERYTHING in allowed or name in (*allowed, *usual)
