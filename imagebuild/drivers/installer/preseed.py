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
"""Answers for the installer of Debian: a preseed in its initrd.

See appendix B of Debian's installation guide.
"""

from __future__ import annotations

from collections.abc import Iterator

from imagebuild.boot import installation
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import late_script

_FILE = 'preseed.cfg'
_SCRIPT = 'imagebuild-late'
#: MiB.
_LEAST_ROOT = 1500

#: Root's password is that of the script at the end. Debian 13's installer
#: takes "!" for none and asks for one; nobody's password has this hash. An
#: image has no microcode for the CPU of the machine that it was made in.
_FIXED = """\
d-i debconf/priority select critical
d-i netcfg/choose_interface select auto
d-i netcfg/get_domain string localdomain
d-i hw-detect/load_firmware boolean false
d-i hw-detect/firmware-lookup string never
d-i passwd/root-login boolean true
d-i passwd/root-password-crypted password *
d-i passwd/make-user boolean false
d-i clock-setup/utc boolean true
d-i clock-setup/ntp boolean false
d-i partman-auto/method string regular
d-i partman-auto/choose_recipe select imagebuild
d-i partman-basicfilesystems/no_swap boolean false
d-i partman-basicfilesystems/choose_label string gpt
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i base-installer/install-recommends boolean false
d-i apt-setup/cdrom/set-first boolean false
d-i apt-setup/cdrom/set-next boolean false
d-i apt-setup/cdrom/set-failed boolean false
d-i apt-setup/non-free-firmware boolean false
d-i apt-setup/enable-source-repositories boolean false
popularity-contest popularity-contest/participate boolean false
tasksel tasksel/first multiselect
d-i pkgsel/update-policy select none
d-i pkgsel/upgrade select none
d-i grub-installer/only_debian boolean true
d-i grub-installer/with_other_os boolean false
d-i cdrom-detect/eject boolean false
d-i finish-install/reboot_in_progress note
d-i debian-installer/exit/poweroff boolean true
"""


def answer(request: answers.Request) -> answers.Answers:
    """Make them."""
    options = request.options
    return answers.Answers(
        arguments=(
            'auto=true',
            'priority=critical',
            # Lines, in place of a screen that is painted.
            'DEBIAN_FRONTEND=text',
            'TERM=dumb',
            answers.CONSOLE,
            *request.installer.kernel_arguments,
            # What follows is of the installed system, too.
            '---',
            answers.CONSOLE,
        ),
        in_initrd={
            _FILE: preseed(request).encode(),
            _SCRIPT: late_script.script(options, request.word).encode(),
        },
    )


def preseed(request: answers.Request) -> str:
    """The file; one question in each line."""
    lines = [
        f'{owner} {question} {kind} {answers.one_line(value)}'
        for owner, question, kind, value in _questions(request)
    ]
    return _FIXED + '\n'.join([*lines, ''])


def _questions(
    request: answers.Request,
) -> Iterator[tuple[str, str, str, str]]:
    options, owner = request.options, 'd-i'
    yield owner, 'debian-installer/locale', 'string', options.locale
    keymap = 'keyboard-configuration/xkb-keymap'
    yield owner, keymap, 'select', options.keyboard
    for name in ('netcfg/get_hostname', 'netcfg/hostname'):
        yield owner, name, 'string', options.hostname
    yield owner, 'time/zone', 'string', options.timezone
    for name in ('partman-auto/disk', 'grub-installer/bootdev'):
        yield owner, name, 'string', installation.DEVICE
    label = 'gpt' if options.partition_table == 'gpt' else 'msdos'
    yield owner, 'partman-partitioning/default_label', 'string', label
    recipe = 'partman-auto/expert_recipe'
    yield owner, recipe, 'string', _recipe(request)
    packages = ' '.join(options.packages)
    yield owner, 'pkgsel/include', 'string', packages
    command = (
        f'cp /{_SCRIPT} /target{late_script.PATH} && '
        f'in-target sh {late_script.PATH}'
    )
    yield owner, 'preseed/late_command', 'string', command
    yield from _mirror(request)


def _mirror(
    request: answers.Request,
) -> Iterator[tuple[str, str, str, str]]:
    mirror, owner = request.mirror, 'd-i'
    if not request.installer.mirror:
        yield owner, 'apt-setup/use_mirror', 'boolean', 'false'
        yield owner, 'apt-setup/no_mirror', 'boolean', 'true'
        yield owner, 'apt-setup/services-select', 'multiselect', ''
        yield owner, 'netcfg/enable', 'boolean', 'false'
        return
    yield owner, 'mirror/country', 'string', 'manual'
    yield owner, 'mirror/protocol', 'string', mirror.scheme
    prefix = f'mirror/{mirror.scheme}'
    yield owner, f'{prefix}/hostname', 'string', mirror.netloc
    yield owner, f'{prefix}/directory', 'string', mirror.path or '/'
    yield owner, f'{prefix}/proxy', 'string', request.proxy
    yield owner, 'apt-setup/services-select', 'multiselect', 'updates'


def _recipe(request: answers.Request) -> str:
    """How the disk is divided; the root comes last, so that it can grow."""
    options, parts = request.options, []
    if options.partition_table == 'gpt':
        parts.append('1 1 1 free method{ biosgrub } .')
    if options.swap:
        size = options.swap
        parts.append(
            f'{size} {size} {size} linux-swap method{{ swap }} format{{ }} .'
        )
    kind = options.file_system
    parts.append(
        f'{_LEAST_ROOT} 10000 -1 {kind} $primary{{ }} method{{ format }} '
        f'format{{ }} use_filesystem{{ }} filesystem{{ {kind} }} '
        'mountpoint{ / } .'
    )
    return ' '.join(['imagebuild ::', *parts])
