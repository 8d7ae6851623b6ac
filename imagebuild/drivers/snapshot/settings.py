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
"""What the operator says about servers that images are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild.common import config_options

SECTION = 'snapshot'
#: Allows everything.
EVERYTHING = '*'
_UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'


@dataclasses.dataclass(frozen=True)
class SnapshotSettings:
    """The section ``[snapshot]``; each option is described there.

    :ivar flavor: name or id, '' where a request must name one.
    :ivar networks: ids; empty for servers without a network.
    :ivar boot_from: ``image`` or ``volume``.
    :ivar volume_size: GiB, 0 for what the base image needs.
    :ivar floating_network: id, '' for no floating addresses.
    """

    flavor: str = ''
    allowed_flavors: Sequence[str] = ()
    networks: Sequence[str] = ()
    allowed_networks: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    availability_zone: str = ''
    config_drive: bool = False
    boot_from: str = 'image'
    allowed_boot_from: Sequence[str] = ()
    volume_size: int = 0
    volume_type: str = ''
    allowed_volume_types: Sequence[str] = ()
    volume_availability_zone: str = ''
    volume_image_format: str = 'qcow2'
    ssh_port: int = 22
    floating_network: str = ''
    volume_timeout: float = 1800.0
    server_timeout: float = 600.0
    boot_timeout: float = 900.0
    silence_timeout: float = 600.0
    stop_timeout: float = 300.0
    image_timeout: float = 3600.0
    poll_interval: float = 5.0

    @classmethod
    def read(cls, sections: Mapping[str, Mapping[str, Any]]) -> Self:
        """Read the section; what is missing is as by default."""
        values = sections.get(SECTION, {})
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{
                name: value
                for name, value in values.items()
                if name in names and value is not None
            }
        )


def list_opts() -> config_options.Pairs:
    """Its options, as oslo.config wants them."""
    from oslo_config import cfg

    group = cfg.OptGroup(
        SECTION,
        title='The driver snapshot',
        help='Images that Nova makes of servers. The servers are in the '
        'project of the service user ([keystone]), which needs quota for '
        'them, and are deleted with the build. The driver is offered where '
        '[conductor] drivers names it.',
    )
    return [
        (
            group,
            [
                *_of_servers(cfg),
                *_of_booting(cfg),
                *_of_volumes(cfg),
                *_of_networks(cfg),
                *_of_limits(cfg),
                *_of_services(cfg),
            ],
        )
    ]


def _of_servers(cfg: Any) -> list[Any]:
    return [
        cfg.StrOpt(
            'flavor',
            default='',
            help="""
Name or id of the flavor of servers for which neither the request nor the
operating system's entry names one.
""",
        ),
        cfg.ListOpt(
            'allowed_flavors',
            default=[],
            help="""
Names or ids of the flavors that users may ask for besides that one; "*" for
all that the service user sees.
""",
        ),
        cfg.StrOpt(
            'availability_zone',
            default='',
            help="""
Where servers are made for which neither the request nor the operating
system's entry says it; empty leaves it to Nova.
""",
        ),
        cfg.BoolOpt(
            'config_drive',
            default=False,
            help="""
Give servers a config drive even if they have a network. Those without a
network always have one: nothing else brings them their user data.
""",
        ),
    ]


def _of_booting(cfg: Any) -> list[Any]:
    return [
        cfg.StrOpt(
            'boot_from',
            default='image',
            choices=[
                ('image', 'the disk of a server is on its host'),
                (
                    'volume',
                    'it is a volume of the block storage service, for '
                    'flavors without a disk',
                ),
            ],
            help="""
Where the disk of a server is, where neither the request nor the operating
system's entry says it.
""",
        ),
        cfg.ListOpt(
            'allowed_boot_from',
            default=[],
            item_type=_choice('image', 'volume'),
            help="""
What users may ask for in "boot_from" besides that.
""",
        ),
    ]


def _of_volumes(cfg: Any) -> list[Any]:
    return [
        cfg.IntOpt(
            'volume_size',
            default=0,
            min=0,
            help="""
GiB of the volumes of servers, where neither the request nor the operating
system's entry says it; they are larger where the base image needs that.
[disks] max_virtual_size is the most that a volume may have.
""",
        ),
        cfg.StrOpt(
            'volume_type',
            default='',
            help="""
Name or id of the type of volumes for which neither the request nor the
operating system's entry names one; empty leaves it to the block storage
service. Of volumes that are encrypted no image can be made.
""",
        ),
        cfg.ListOpt(
            'allowed_volume_types',
            default=[],
            help="""
Names or ids of the types that users may ask for besides that one; "*" for
all that the service user sees.
""",
        ),
        cfg.StrOpt(
            'volume_availability_zone',
            default='',
            help="""
Availability zone of volumes; empty leaves it to the block storage service.
Needed where Nova attaches no volume of another zone (cross_az_attach in its
section [cinder]).
""",
        ),
        cfg.StrOpt(
            'volume_image_format',
            default='qcow2',
            choices=[
                ('qcow2', 'without what is empty'),
                ('raw', 'as large as the volume'),
            ],
            help="""
Format of the images that are made of volumes. With "raw" the block storage
service need not convert them.
""",
        ),
    ]


def _choice(*names: str) -> Any:
    from oslo_config import types

    return types.String(choices=list(names))


def _of_networks(cfg: Any) -> list[Any]:
    from oslo_config import types

    return [
        cfg.ListOpt(
            'networks',
            default=[],
            item_type=types.String(regex=rf'^{_UUID}\Z'),
            help="""
Ids of the networks of servers for which neither the request nor the operating
system's entry names any.

Empty means servers without a network: descriptions that need packages of a
mirror fail in them. What tenants describe runs in these servers as root: give
them a network from which only the mirrors can be reached.
""",
        ),
        cfg.ListOpt(
            'allowed_networks',
            default=[],
            item_type=types.String(regex=rf'^(?:{_UUID}|\*)\Z'),
            help="""
Ids of the networks that users may ask for besides those; "*" for all, which
lets users attach a server to any network that the service user may use.
""",
        ),
        cfg.ListOpt(
            'security_groups',
            default=[],
            help="""
Names or ids of the security groups of servers, in the project of the service
user; empty for its default one.
""",
        ),
        cfg.PortOpt(
            'ssh_port',
            default=22,
            help="""
Port at which servers are reached that are configured over SSH.
""",
        ),
        cfg.StrOpt(
            'floating_network',
            default='',
            regex=rf'^(?:{_UUID})?\Z',
            help="""
Id of the external network of which servers that are configured over SSH are
given a floating address, for conductors that do not reach the networks of
the servers. A router must lead there. Whoever reaches that network reaches
the servers, in which tenants run what they like: have a security group let
in nobody but the conductors.
""",
        ),
    ]


def _of_limits(cfg: Any) -> list[Any]:
    limits = {
        'volume_timeout': (
            1800,
            'until a volume has the base image in it',
        ),
        'server_timeout': (600, 'until Nova has made a server active'),
        'boot_timeout': (
            900,
            'from then on until its cloud-init has begun with the description',
        ),
        'silence_timeout': (
            600,
            'without a heartbeat on the console, which is one line in 15 '
            'seconds',
        ),
        'stop_timeout': (300, 'until a server has stopped, or is deleted'),
        'image_timeout': (
            3600,
            'until the image of a server, or of its volume, is active',
        ),
    }
    return [
        *(
            cfg.FloatOpt(
                name,
                default=float(seconds),
                min=1.0,
                help=f'Seconds {what}, after which the attempt fails.',
            )
            for name, (seconds, what) in limits.items()
        ),
        cfg.FloatOpt(
            'poll_interval',
            default=5.0,
            min=0.05,
            help='Seconds between two looks at a server.',
        ),
    ]


def _of_services(cfg: Any) -> list[Any]:
    return [
        cfg.StrOpt(
            'region_name',
            help="""
Region of the compute service, and of the block storage and network services;
that of the image service's must be the same.
""",
        ),
        cfg.ListOpt(
            'valid_interfaces',
            default=['internal', 'public'],
            help='Endpoints of these services, the preferred one first.',
        ),
        cfg.StrOpt(
            'endpoint_override',
            help="""
URL of the compute service, in place of the one in Keystone's catalogue.
""",
        ),
        cfg.StrOpt(
            'volume_endpoint_override',
            help="""
URL of the block storage service, with its version ("/v3", and the project if
that wants it: "%(project_id)s" stands for it), in place of the one in
Keystone's catalogue.
""",
        ),
        cfg.StrOpt(
            'network_endpoint_override',
            help="""
URL of the network service, with its version ("/v2.0"), in place of the one
in Keystone's catalogue.
""",
        ),
    ]
