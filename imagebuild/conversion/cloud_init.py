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
"""User data of cloud-init.

What cloud-init does to a machine when it boots for the first time, in the
order in which it does it (``cloud_init_modules``, ``cloud_config_modules`` and
``cloud_final_modules`` of Debian's cloud.cfg). What makes sense on the machine
alone, such as growing its disk, is left to cloud-init: it is put into the
image's own configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import cloud_accounts
from imagebuild.conversion import cloud_files
from imagebuild.conversion import cloud_packages
from imagebuild.conversion import cloud_system
from imagebuild.conversion import draft
from imagebuild.conversion import user_data
from imagebuild.conversion import values

_Handler = Callable[[draft.Draft, str, Any], None]

#: What is done in the image: key and function, in cloud-init's order. One key
#: can be worked on at two times.
_ORDER: tuple[tuple[str, _Handler], ...] = (
    ('bootcmd', cloud_files.bootcmd),
    ('write_files', cloud_files.early_files),
    ('hostname', cloud_system.hostname),
    ('ca_certs', cloud_system.ca_certs),
    ('rsyslog', cloud_system.rsyslog),
    ('groups', cloud_accounts.groups),
    ('users', cloud_accounts.users),
    ('locale', cloud_system.locale),
    ('chpasswd', cloud_accounts.chpasswd),
    ('ssh_pwauth', cloud_accounts.password_logins),
    ('apt', cloud_packages.apt),
    ('yum_repos', cloud_packages.yum_repositories),
    ('ntp', cloud_system.ntp),
    ('timezone', cloud_system.timezone),
    ('package_upgrade', cloud_packages.upgrade),
    ('packages', cloud_packages.packages),
    ('write_files', cloud_files.late_files),
)
#: Names that a key had earlier.
_ALIASES: Mapping[str, str] = {
    'ca-certs': 'ca_certs',
    'apt_update': 'package_update',
    'apt_upgrade': 'package_upgrade',
    'apt_reboot_if_required': 'package_reboot_if_required',
}
#: What cloud-init does on each machine: it stays cloud-init's.
_BOOT = frozenset(
    {
        'allow_public_ssh_keys', 'device_aliases', 'disable_ec2_metadata',
        'disable_root', 'disable_root_opts', 'disk_setup', 'final_message',
        'fs_setup', 'growpart', 'keyboard', 'manage_etc_hosts',
        'manage_resolv_conf', 'mount_default_fields', 'mounts',
        'no_ssh_fingerprints', 'output', 'phone_home',
        'prefer_fqdn_over_hostname', 'preserve_hostname', 'random_seed',
        'resize_rootfs', 'resolv_conf', 'ssh_authorized_keys',
        'ssh_deletekeys', 'ssh_genkeytypes', 'ssh_import_id',
        'ssh_quiet_keygen', 'swap',
    }
)  # fmt: skip
#: What says nothing about the image.
_NOTHING = frozenset({'package_update', 'cloud_config_modules'})
#: Why a key is not carried over; more than that it is not known.
_REASONS: Mapping[str, str] = {
    'power_state': 'an image is not powered off or rebooted',
    'package_reboot_if_required': 'an image is not rebooted',
    'ssh_keys': "host keys belong to one machine; those of an image would be "
    'the same on all',
    'password': 'the password of the default user is given to each machine',
    'snap': 'snaps cannot be installed into an image',
    'user': 'the default user is made by cloud-init on each machine',
    'merge_how': 'several parts are merged as cloud-init does by default: a '
    'later part replaces a key as a whole',
    'merge_type': 'several parts are merged as cloud-init does by default: a '
    'later part replaces a key as a whole',
    'network': 'cloud-init takes no network configuration from user data',
}


def convert(content: bytes, made: draft.Draft) -> None:
    """Convert user data.

    :param content: of the file.
    :param made: is given steps and notes.
    :raises InvalidInput: it cannot be read at all.
    """
    config: dict[str, Any] = {}
    scripts: dict[str, str] = {}
    for part in user_data.read(content, made):
        if part.kind == 'cloud-config':
            found = user_data.config(part, made)
            config.update(
                {_ALIASES.get(key, key): item for key, item in found.items()}
            )
        else:
            cloud_files.part(made, part, scripts)
    if 'fqdn' in config:
        config.setdefault('hostname', str(config['fqdn']).partition('.')[0])
    if values.is_true(config.get('preserve_hostname')):
        config.pop('hostname', None)
    if 'runcmd' in config:
        _attempt(made, 'runcmd', config['runcmd'], _to(scripts))
    for key, handler in _ORDER:
        if key in config:
            _attempt(made, key, config[key], handler)
    # Of scripts, cloud-init runs that of runcmd and the parts by name.
    for name in sorted(scripts):
        made.script(name, scripts[name], comment=name)
    _others(made, config)
    _boot(made)


def _to(scripts: dict[str, str]) -> _Handler:
    def handler(made: draft.Draft, where: str, value: Any) -> None:
        scripts['runcmd'] = cloud_files.commands(made, where, value)

    return handler


def _attempt(
    made: draft.Draft, where: str, value: Any, handler: _Handler
) -> None:
    try:
        handler(made, where, value)
    except draft.Malformed as error:
        made.lose(where, f'{error}, as cloud-init wants it')


def _others(made: draft.Draft, config: Mapping[str, Any]) -> None:
    done = {key for key, _ in _ORDER} | {'runcmd', 'fqdn'} | _NOTHING
    for key, value in config.items():
        if key in done:
            continue
        if key in _BOOT:
            made.boot[key] = values.plain(value)
        else:
            made.lose(key, _REASONS.get(key, 'imagebuild has no step for it'))


def _boot(made: draft.Draft) -> None:
    """What cloud-init has to do on each machine, into the image."""
    if not made.boot:
        return
    comment = 'For the first boot: ' + ', '.join(sorted(made.boot))
    made.add({'package': 'cloud-init'})
    made.add({'cloud_init': {'config': made.boot}}, comment)
    for key in sorted(made.boot):
        made.remark(key, 'cloud-init does it when a machine boots first')
