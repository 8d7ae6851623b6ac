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
"""Answers for the installer of Ubuntu's servers: autoinstall.

They are user data of cloud-init, which the installer's own system takes from
a disk of NoCloud.
"""

from __future__ import annotations

import json
from typing import Any

from imagebuild.boot import installation
from imagebuild.boot import seed
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import late_script

_TABLES = {'gpt': 'gpt', 'mbr': 'msdos'}
_MIB = 1024 * 1024
#: Zones that its schema calls otherwise.
_ZONES = {'Etc/UTC': 'UTC'}


def answer(request: answers.Request) -> answers.Answers:
    """Make them."""
    # JSON is YAML, and quotes by itself.
    text = json.dumps({'autoinstall': autoinstall(request)})
    return answers.Answers(
        arguments=(
            'autoinstall',
            'ds=nocloud',
            answers.CONSOLE,
            *request.installer.kernel_arguments,
            '---',
            answers.CONSOLE,
        ),
        on_disk={
            'user-data': f'#cloud-config\n{text}\n'.encode(),
            'meta-data': f'instance-id: {request.word}\n'.encode(),
        },
        label=seed.LABEL,
    )


def autoinstall(request: answers.Request) -> dict[str, Any]:
    """The section ``autoinstall``."""
    options, installer = request.options, request.installer
    script = late_script.script(options, request.word)
    found: dict[str, Any] = {
        'version': 1,
        'interactive-sections': [],
        'refresh-installer': {'update': False},
        'locale': options.locale,
        'keyboard': {'layout': options.keyboard},
        'timezone': _ZONES.get(options.timezone, options.timezone),
        'source': {'search_drivers': False},
        # In place of an identity, which would need a password.
        'user-data': {'hostname': options.hostname},
        'ssh': {'install-server': False},
        'storage': {'swap': {'size': 0}, 'config': _storage(request)},
        'packages': list(options.packages),
        'late-commands': [
            ['curtin', 'in-target', '--', 'sh', '-c', each]
            for each in late_script.commands(script)
        ],
        'shutdown': 'poweroff',
    }
    if installer.mirror:
        found['proxy'] = request.proxy
        found['apt'] = {
            'geoip': False,
            'fallback': 'abort',
            'primary': [{'arches': ['default'], 'uri': installer.mirror}],
        }
    else:
        found['apt'] = {'geoip': False, 'fallback': 'offline-install'}
    return found


def _storage(request: answers.Request) -> list[dict[str, Any]]:
    """What curtin makes of the disk; the root comes last."""
    options = request.options
    table = _TABLES[options.partition_table]
    made: list[dict[str, Any]] = [
        {
            'type': 'disk', 'id': 'disk', 'path': installation.DEVICE,
            'ptable': table, 'wipe': 'superblock-recursive',
            'grub_device': True, 'preserve': False,
        },
    ]  # fmt: skip
    if table == 'gpt':
        made.append(_partition('bios', _MIB, flag='bios_grub'))
    if options.swap:
        made.append(_partition('swap', options.swap * _MIB, flag='swap'))
        made.append(_formatted('swap', 'swap'))
    made.append(_partition('root', -1))
    made.append(_formatted('root', options.file_system))
    made.append(
        {
            'type': 'mount', 'id': 'mount-root', 'device': 'format-root',
            'path': '/',
        },
    )  # fmt: skip
    if options.swap:
        made.append(
            {
                'type': 'mount', 'id': 'mount-swap', 'device': 'format-swap',
                'path': '',
            },
        )  # fmt: skip
    return made


def _partition(name: str, size: int, flag: str = '') -> dict[str, Any]:
    return {
        'type': 'partition', 'id': name, 'device': 'disk', 'size': size,
        'preserve': False, **({'flag': flag} if flag else {}),
    }  # fmt: skip


def _formatted(name: str, kind: str) -> dict[str, Any]:
    return {
        'type': 'format', 'id': f'format-{name}', 'volume': name,
        'fstype': kind, 'preserve': False,
    }  # fmt: skip
