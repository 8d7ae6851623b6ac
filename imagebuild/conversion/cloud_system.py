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
"""Names, time, language and certificates in cloud-init's user data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import draft
from imagebuild.conversion import values

_ZONE = re.compile(r'[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*')
_LOCALE = re.compile(r'[A-Za-z0-9_.@-]+')
_HOST = re.compile(r'[A-Za-z0-9_.:-]+')
_TIMEZONE = """#!/bin/sh
set -eu
zone=/usr/share/zoneinfo/{zone}
if [ "$(readlink /etc/localtime || :)" = "$zone" ] && {{
    [ ! -e /etc/debian_version ] || [ "$(cat /etc/timezone)" = '{zone}' ]
}}; then
    exit 0
fi
if [ "$test_only" -ne 0 ]; then
    echo 'the time zone is not {zone}' >&2
    exit 1
fi
if [ ! -e "$zone" ]; then
    echo 'there is no {zone} in /usr/share/zoneinfo; install tzdata' >&2
    exit 1
fi
ln -sfn "$zone" /etc/localtime
[ ! -e /etc/debian_version ] || echo '{zone}' > /etc/timezone
"""
_LANGUAGE = """#!/bin/sh
set -eu
file=/etc/locale.conf
[ ! -e /etc/debian_version ] || file=/etc/default/locale
if grep -qxF 'LANG={locale}' "$file" 2>/dev/null; then
    exit 0
fi
if [ "$test_only" -ne 0 ]; then
    echo 'the locale is not {locale}' >&2
    exit 1
fi
if [ -e /etc/locale.gen ] && command -v locale-gen >/dev/null; then
    codeset='{codeset}'
    grep -qxF "{locale} $codeset" /etc/locale.gen \\
        || echo "{locale} $codeset" >> /etc/locale.gen
    locale-gen
fi
mkdir -p "${{file%/*}}"
[ ! -e "$file" ] || sed -i '/^LANG=/d' "$file"
echo 'LANG={locale}' >> "$file"
"""
_CHRONY = """#!/bin/sh
set -eu
file=/etc/chrony.conf
[ ! -e /etc/chrony ] || file=/etc/chrony/chrony.conf
wanted=$(cat <<'END'
{lines}
END
)
if [ "$(grep -E '^(server|pool) ' "$file")" = "$wanted" ]; then
    exit 0
fi
if [ "$test_only" -ne 0 ]; then
    echo "$file has other servers" >&2
    exit 1
fi
sed -i -E '/^(server|pool) /d' "$file"
printf '%s\\n' "$wanted" >> "$file"
"""
_CERTIFICATES: tuple[tuple[str, str, str], ...] = (
    ('debian', '/usr/local/share/ca-certificates', 'update-ca-certificates'),
    ('redhat', '/etc/pki/ca-trust/source/anchors', 'update-ca-trust'),
    ('suse', '/etc/pki/trust/anchors', 'update-ca-certificates'),
)


def hostname(made: draft.Draft, where: str, value: Any) -> None:
    """The name in the image, until a machine gets one from its cloud."""
    name = values.text(value)
    if not _HOST.fullmatch(name):
        made.lose(where, 'it is not a name')
        return
    made.add({'file': {'/etc/hostname': {'content': f'{name}\n'}}}, where)
    made.remark(where, 'a machine gets its name from its cloud when it boots')


def timezone(made: draft.Draft, where: str, value: Any) -> None:
    """The time zone."""
    zone = values.text(value)
    if not _ZONE.fullmatch(zone):
        made.lose(where, 'it is not a time zone')
        return
    made.add({'package': 'tzdata'}, where)
    made.script(
        f'time zone {zone.replace("/", " ")}',
        _TIMEZONE.format(zone=zone),
        guard=False,
        comment=where,
    )


def locale(made: draft.Draft, where: str, value: Any) -> None:
    """The language of the system."""
    if value is False:
        return
    name = values.text(value)
    if not _LOCALE.fullmatch(name):
        made.lose(where, 'it is not a locale')
        return
    codeset = name.partition('.')[2].partition('@')[0] or 'UTF-8'
    made.script(
        f'locale {name}',
        _LANGUAGE.format(locale=name, codeset=codeset),
        guard=False,
        comment=where,
    )


def ntp(made: draft.Draft, where: str, value: Any) -> None:
    """The servers that the clock is set by, and the client."""
    entry = values.mapping(value) if value is not None else {}
    if str(entry.get('enabled', 'true')).lower() in ('false', 'no', 'off'):
        return
    if 'config' in entry:
        made.lose(f'{where}.config', 'settings of a client of your own')
    client = values.text(entry.get('ntp_client') or 'auto')
    servers = _hosts(made, where, entry, 'servers')
    pools = _hosts(made, where, entry, 'pools')
    if client == 'systemd-timesyncd':
        made.add({'package': 'systemd-timesyncd'}, where)
        names = ' '.join([*servers, *pools])
        path = '/etc/systemd/timesyncd.conf.d/cloud-init.conf'
        content = (
            '# cloud-init generated file\n'
            '# See timesyncd.conf(5) for details.\n\n'
            f'[Time]\nNTP={names} \n'
        )
        made.add({'file': {path: {'content': content}}}, where)
        return
    if client not in ('auto', 'chrony'):
        made.lose(where, f'the client {client}; chrony takes its place')
    elif client == 'auto':
        made.remark(where, 'chrony is taken; cloud-init takes what is there')
    made.add({'package': 'chrony'}, where)
    lines = [f'pool {name} iburst' for name in pools]
    lines += [f'server {name} iburst' for name in servers]
    if lines:
        text = _CHRONY.format(lines='\n'.join(lines))
        made.script('servers of chrony', text, guard=False, comment=where)


def _hosts(
    made: draft.Draft, where: str, entry: Mapping[str, Any], key: str
) -> list[str]:
    found = []
    for place, item in values.each(f'{where}.{key}', entry.get(key)):
        name = values.text(item)
        if _HOST.fullmatch(name):
            found.append(name)
        else:
            made.lose(place, 'it is not the name of a host')
    return found


def ca_certs(made: draft.Draft, where: str, value: Any) -> None:
    """Certificates that the system trusts."""
    entry = values.mapping(value)
    if values.is_true(
        entry.get('remove_defaults', entry.get('remove-defaults'))
    ):
        made.lose(
            f'{where}.remove_defaults',
            'the certificates of the distribution stay',
        )
    found = [values.text(item) for item in values.items(entry.get('trusted'))]
    if not found:
        return
    content = '\n'.join(item.strip() for item in found) + '\n'
    made.add({'package': 'ca-certificates'}, where)
    branches = []
    for family, directory, command in _CERTIFICATES:
        path = f'{directory}/cloud-init-ca-certs.crt'
        branches.append(
            {
                family: [
                    {'file': {path: {'content': content}}},
                    {'script': {command: {'inline': _update(command)}}},
                ]
            }
        )
    made.add({'os_case': branches}, where)


def _update(command: str) -> str:
    return f'#!/bin/sh\n{draft.GUARD}\n{command}\n'


def rsyslog(made: draft.Draft, where: str, value: Any) -> None:
    """Pieces of configuration of rsyslog."""
    entry = {'configs': value} if isinstance(value, list) else value
    entry = values.mapping(entry)
    for key in sorted(entry.keys() - {'configs', 'config_dir',
                                      'config_filename'}):  # fmt: skip
        made.lose(f'{where}.{key}', 'only "configs" is carried over')
    directory = values.text(entry.get('config_dir', '/etc/rsyslog.d'))
    usual = values.text(entry.get('config_filename', '20-cloud-config.conf'))
    files: dict[str, str] = {}
    for _, item in values.each(where, entry.get('configs')):
        one = item if isinstance(item, dict) else {'content': item}
        name = values.text(one.get('filename', usual))
        path = name if name.startswith('/') else f'{directory}/{name}'
        content = values.text(one.get('content', ''))
        files[path] = files.get(path, '') + content.rstrip('\n') + '\n'
    if files:
        wanted = {path: {'content': text} for path, text in files.items()}
        made.add({'package': 'rsyslog'}, where)
        made.add({'file': wanted}, where)
