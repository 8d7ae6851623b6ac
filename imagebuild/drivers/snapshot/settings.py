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
    """

    flavor: str = ''
    allowed_flavors: Sequence[str] = ()
    networks: Sequence[str] = ()
    allowed_networks: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    availability_zone: str = ''
    config_drive: bool = False
    ssh_port: int = 22
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
    options = [*_of_servers(cfg), *_of_networks(cfg)]
    return [(group, [*options, *_of_limits(cfg), *_of_compute(cfg)])]


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
    ]


def _of_limits(cfg: Any) -> list[Any]:
    limits = {
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
        'image_timeout': (3600, 'until the image of a server is active'),
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


def _of_compute(cfg: Any) -> list[Any]:
    return [
        cfg.StrOpt(
            'region_name',
            help="""
Region of the compute service; that of the image service's must be the same.
""",
        ),
        cfg.ListOpt(
            'valid_interfaces',
            default=['internal', 'public'],
            help='Endpoints of the compute service, the preferred one first.',
        ),
        cfg.StrOpt(
            'endpoint_override',
            help="""
URL of the compute service, in place of the one in Keystone's catalogue.
""",
        ),
    ]
