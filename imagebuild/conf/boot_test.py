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
"""``[boot_test]``."""

from __future__ import annotations

import os
from typing import Any

from oslo_config import cfg
from oslo_config import types

from imagebuild.common import boot_tests

GROUP = cfg.OptGroup(
    'boot_test',
    title='Boot tests',
    help='Finished images that conductors boot once, in a machine of QEMU '
    'that is thrown away, before they are uploaded. Images that a cloud makes '
    '(driver snapshot) are booted by that cloud, in a server as [snapshot] '
    'says: firmware, memory, cpus, max_running and max_written are not for '
    'those.',
)

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        'enabled',
        default=True,
        help="""
Whether images are booted.

In the file of an API server: whether requests may ask for it. In that of a
conductor: whether it does so; for what no cloud boots it also needs QEMU, and
OVMF for UEFI. A machine runs the kernel of whoever asked for the image. It has
no network, QEMU is nobody on this host and starts nothing.
""",
    ),
    cfg.BoolOpt(
        'required',
        default=False,
        help="""
Whether every image is booted, asked for or not.

Requests that say nothing get the test of the options below. Drivers whose
images are made by a cloud, and that do not have it boot them, can not be used.
Of the drivers that come with imagebuild none is such a one.
""",
    ),
    cfg.StrOpt(
        'firmware',
        default='bios',
        choices=boot_tests.FIRMWARES,
        help="""
What starts the machine, where the request does not say.

UEFI needs OVMF on the conductors (ovmf on Debian, edk2-ovmf on Red Hat).
""",
    ),
    cfg.IntOpt(
        'memory',
        default=1024,
        min=64,
        max=boot_tests.LARGEST_MEMORY,
        help="""
MiB of the machine, where the request does not say.

Raise it where images do not come up in as much. Each machine takes it from
its conductor's host as long as it runs.
""",
    ),
    cfg.IntOpt(
        'cpus',
        default=2,
        min=1,
        max=boot_tests.MOST_CPUS,
        help="""
Processors of the machine, where the request does not say.

Systems of today start twice as fast on two as on one.
""",
    ),
    cfg.IntOpt(
        'timeout',
        default=600,
        min=1,
        max=boot_tests.LONGEST,
        help="""
Seconds that a boot may take, where the request does not say.

They count as part of the build's own time. Machines run on what [guestfs]
accelerator says; emulated ones take ten times as long as those on KVM.
""",
    ),
    cfg.ListOpt(
        'console',
        default=[],
        sample_default='login:',
        help="""
Texts that the serial console must show, where the request does not say.

If nothing at all is expected, a login prompt is.
""",
    ),
    cfg.BoolOpt(
        'cloud_init',
        default=False,
        help="""
Whether cloud-init must end without an error, where the request does not say.

Every image must have cloud-init then, with the data source NoCloud.
""",
    ),
    cfg.BoolOpt(
        'systemd',
        default=False,
        help="""
Whether every unit of systemd must start, where the request does not say.

It is asked by cloud-init, which every image must have then.
""",
    ),
    cfg.ListOpt(
        'ports',
        default=[],
        sample_default='22',
        item_type=types.Integer(1, 65535),
        help="""
TCP ports that something must listen on, where the request does not say.

It is asked by cloud-init, which every image must have then.
""",
    ),
    cfg.IntOpt(
        'max_memory',
        default=4096,
        min=64,
        max=boot_tests.LARGEST_MEMORY,
        help="""
The most memory, in MiB, that a request may ask for.

For each of max_running, a conductor's host needs as much and at most 512 MiB
for QEMU.
""",
    ),
    cfg.IntOpt(
        'max_cpus',
        default=4,
        min=1,
        max=boot_tests.MOST_CPUS,
        help="""
The most processors that a request may ask for.

More than the host has make a machine slower.
""",
    ),
    cfg.IntOpt(
        'max_timeout',
        default=3600,
        min=1,
        max=boot_tests.LONGEST,
        help="""
The most seconds that a request may ask for.

So long an image that never comes up can have a machine of max_running.
""",
    ),
    cfg.IntOpt(
        'max_running',
        default=2,
        min=1,
        help="""
Machines at a time of all conductors that share a state_path.

Other builds wait until one has ended, within their own time.
""",
    ),
    cfg.IntOpt(
        'max_written',
        default=4,
        min=1,
        help="""
GiB of this host's disk that what a machine writes may take.

What it writes is thrown away. More fails in the machine, and so does what
would leave less than [disks] space_reserve.
""",
    ),
]


def rules(conf: cfg.ConfigOpts) -> boot_tests.Rules:
    """What the section says to requests."""
    section = conf[GROUP.name]
    named = (
        *('firmware', 'memory', 'cpus', 'timeout', 'console'),
        *('cloud_init', 'systemd', 'ports'),
    )
    return boot_tests.Rules(
        enabled=section.enabled,
        required=section.required,
        defaults={
            **{name: section[name] for name in named},
            'disk_size': 0,
            'commands': [],
        },
        most={
            name: section[f'max_{name}']
            for name in ('memory', 'cpus', 'timeout')
        },
    )


def problems(conf: cfg.ConfigOpts) -> list[str]:
    """What is wrong with the options together, as sentences."""
    section = conf[GROUP.name]
    found = [
        f'[boot_test] {name} is {section[name]}, which is more than '
        f'max_{name} ({most}) lets requests have.'
        for name, most in rules(conf).most.items()
        if section[name] > most
    ]
    if section.required and not section.enabled:
        found.append(
            '[boot_test] required is true, and enabled is false: no image '
            'could be made.'
        )
    return found


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as build jobs take it.

    :returns: plain values that can be written as JSON.
    """
    section = conf[GROUP.name]
    return {
        'max_running': section.max_running,
        'max_written': section.max_written,
        'directory': os.path.join(conf.state_path, 'boot-tests'),
    }
