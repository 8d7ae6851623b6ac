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
"""``[validation]``."""

from __future__ import annotations

from oslo_config import cfg
from oslo_config import types

GROUP = cfg.OptGroup(
    'validation',
    title='Validations',
    help='Running machines that conductors reach over SSH for their users.',
)

OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        'allowed_networks',
        default=[],
        sample_default='203.0.113.0/24,2001:db8:7::/64',
        mutable=True,
        help="""
Networks in which conductors may reach machines, such as 203.0.113.0/24.

Users name the addresses, and conductors connect to them from where they are:
a network here is one that every user can have SSH connections made to, and
about which the errors say what listens there. Without any, which is the
default, nobody can validate machines. Never name the network of the control
plane. Addresses of the conductor's host itself (127.0.0.0/8, ::1) and of its
link (169.254.0.0/16, where metadata services are, and fe80::/10) are allowed
by a network of such addresses only, not by a wider one as 0.0.0.0/0. The API
refuses other addresses, and each conductor checks them again by its own file.
""",
    ),
    cfg.ListOpt(
        'allowed_ports',
        default=[22],
        item_type=types.Integer(1, 65535),
        mutable=True,
        help="""
Ports of machines to which conductors may connect.

Any other one would let users find out what listens where.
""",
    ),
    cfg.BoolOpt(
        'accept_unknown_host_keys',
        default=False,
        mutable=True,
        help="""
Whether a machine may be validated whose key the request does not name.

Whoever is between a conductor and the machine can then play the machine, and
gets to know the values of hidden arguments, passwords for sudo among them.
""",
    ),
    cfg.DictOpt(
        'private_keys',
        default={},
        sample_default='fleet:/etc/imagebuild/fleet_ed25519',
        mutable=True,
        help="""
Private keys of the operator that requests may name: name:path, ...

Files of the conductors. Whoever may create validations can have each of them
used, for machines in allowed_networks.
""",
    ),
    cfg.StrOpt(
        'key_manager_endpoint',
        default='',
        sample_default='https://key-manager.example.org',
        help="""
Where Barbican is, such as https://key-manager.example.org.

Requests name secrets in it, which the API reads with the token of the user
who asks. Without it, requests can name keys of the operator only.
""",
    ),
    cfg.StrOpt(
        'compute_endpoint',
        default='',
        sample_default='https://compute.example.org/v2.1',
        help="""
Where Nova is, such as https://compute.example.org/v2.1.

Requests name servers of their project, whose addresses the API asks for with
the token of the user who asks. Without it, requests can name addresses only.
""",
    ),
    cfg.IntOpt(
        'max_hosts',
        default=50,
        min=1,
        max=1000,
        mutable=True,
        help="""
Machines of one validation.

More are several validations.
""",
    ),
    cfg.IntOpt(
        'max_per_project',
        default=100,
        min=1,
        mutable=True,
        help="""
Validations of one project, those that have ended included.

Users delete those that they do not need. [conductor] retention_days removes
old ones.
""",
    ),
    cfg.IntOpt(
        'timeout',
        default=3600,
        min=10,
        mutable=True,
        help="""
Seconds that a validation may take.

Requests may ask for less.
""",
    ),
    cfg.IntOpt(
        'parallel',
        default=8,
        min=1,
        max=100,
        mutable=True,
        help="""
Machines of one validation that are reached at a time.

Each is a connection and a thread in the process of the validation.
""",
    ),
    cfg.IntOpt(
        'max_running',
        default=4,
        min=0,
        mutable=True,
        help="""
Validations that one conductor runs at a time.

They mostly wait for their machines. 0 leaves them to other conductors, and so
does a conductor where the extra "ssh" is not installed.
""",
    ),
    cfg.IntOpt(
        'max_attempts',
        default=3,
        min=1,
        mutable=True,
        help="""
Attempts at a validation whose conductors died.

What has come out by itself, errors included, is no reason for another.
""",
    ),
]
