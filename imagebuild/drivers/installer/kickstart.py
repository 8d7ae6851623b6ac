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
"""Answers for Anaconda, the installer of the Red Hat family: a kickstart.

It is on a disk with the label OEMDRV, where Anaconda looks for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from imagebuild.boot import installation
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import late_script

_LABEL = 'OEMDRV'
_FILE = 'ks.cfg'
_DISK = installation.DEVICE.removeprefix('/dev/')
_TABLES = {'gpt': 'gpt', 'mbr': 'msdos'}


def answer(request: answers.Request) -> answers.Answers:
    """Make them."""
    return answers.Answers(
        arguments=(
            f'inst.ks=hd:LABEL={_LABEL}:/{_FILE}',
            'inst.text',
            'inst.cmdline',
            *(
                ['inst.gpt']
                if request.options.partition_table == 'gpt'
                else []
            ),
            *_source(request),
            answers.CONSOLE,
            *request.installer.kernel_arguments,
        ),
        on_disk={_FILE: kickstart(request).encode()},
        label=_LABEL,
    )


def _source(request: answers.Request) -> list[str]:
    """Where Anaconda itself comes from."""
    if request.installer.medium:
        return ['inst.repo=cdrom']
    return [
        f'inst.repo={request.installer.mirror}',
        f'inst.proxy={request.proxy}',
        'ip=dhcp',
    ]


def kickstart(request: answers.Request) -> str:
    """The file."""
    lines = [
        ' '.join([name, *(shlex.quote(answers.one_line(each)) for each in of)])
        for name, *of in _commands(request)
    ]
    packages = map(answers.one_line, request.options.packages)
    return '\n'.join(
        [
            *lines,
            '',
            '%packages',
            '@core',
            *packages,
            '%end',
            '',
            '%post --erroronfail',
            'set -e',
            *late_script.commands(
                late_script.script(request.options, request.word)
            ),
            '%end',
            '',
        ]
    )


def _commands(request: answers.Request) -> Iterator[tuple[str, ...]]:
    options, installer = request.options, request.installer
    yield ('cmdline',)
    yield ('eula', '--agreed')
    yield ('poweroff',)
    yield ('firstboot', '--disable')
    yield 'lang', options.locale
    yield 'keyboard', f'--xlayouts={options.keyboard}'
    yield 'timezone', options.timezone, '--utc'
    yield 'rootpw', '--lock'
    if installer.mirror:
        proxy = f'--proxy={request.proxy}'
        yield 'url', f'--url={installer.mirror}', proxy
        for number, each in enumerate(installer.more_mirrors, 1):
            yield 'repo', f'--name=more{number}', f'--baseurl={each}', proxy
        yield (
            'network', '--bootproto=dhcp', '--device=link', '--activate',
            f'--hostname={options.hostname}',
        )  # fmt: skip
    else:
        yield ('cdrom',)
        yield 'network', f'--hostname={options.hostname}'
    yield from _disk(request)


def _disk(request: answers.Request) -> Iterator[tuple[str, ...]]:
    options = request.options
    yield 'ignoredisk', f'--only-use={_DISK}'
    yield ('zerombr',)
    table = _TABLES[options.partition_table]
    yield 'clearpart', '--all', '--initlabel', f'--disklabel={table}'
    yield (
        'bootloader', '--location=mbr', f'--boot-drive={_DISK}',
        f'--append={answers.CONSOLE}',
    )  # fmt: skip
    yield ('reqpart',)
    on = f'--ondisk={_DISK}'
    if options.swap:
        size = f'--size={options.swap}'
        yield 'part', 'swap', '--fstype=swap', size, on
    kind = f'--fstype={options.file_system}'
    yield 'part', '/', kind, '--size=2048', '--grow', on
