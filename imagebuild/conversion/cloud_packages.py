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
"""Packages and repositories in cloud-init's user data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import draft
from imagebuild.conversion import values

_SOURCE = re.compile(
    r'deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<url>\S+)\s+(?P<suite>\S+)'
    r'(?P<components>(?:\s+\S+)*)'
)
_CONF = '/etc/apt/apt.conf.d/94cloud-init-config'
_PROXY = '/etc/apt/apt.conf.d/90cloud-init-aptproxy'
_PROXIES: Mapping[str, str] = {
    'proxy': 'Acquire::http::Proxy',
    'http_proxy': 'Acquire::http::Proxy',
    'ftp_proxy': 'Acquire::ftp::Proxy',
    'https_proxy': 'Acquire::https::Proxy',
}
_UNSAFE = re.compile(r'[^A-Za-z0-9_-]+')
_UPGRADE = """#!/bin/sh
set -eu
[ "$test_only" -eq 0 ] || exit 0
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get -y -o Dpkg::Options::=--force-confold dist-upgrade
elif command -v dnf >/dev/null; then
    dnf -y upgrade
elif command -v zypper >/dev/null; then
    zypper --non-interactive update
else
    yum -y upgrade
fi
"""


def packages(made: draft.Draft, where: str, value: Any) -> None:
    """Packages, with versions where they have some."""
    wanted: list[Any] = []
    if isinstance(value, str):
        value = value.split()
    for place, item in values.each(where, value):
        if isinstance(item, dict):
            _by_manager(made, place, item, wanted)
        else:
            _package(made, place, item, wanted)
    if wanted:
        made.add({'package': wanted}, where)


def _by_manager(
    made: draft.Draft, place: str, item: Mapping[Any, Any], wanted: list[Any]
) -> None:
    """``{apt: [...]}`` of newer releases of cloud-init."""
    for manager, names in item.items():
        if manager != 'apt':
            made.lose(place, f'packages of {manager} cannot be installed')
            continue
        for inner, name in values.each(f'{place}.apt', names):
            _package(made, inner, name, wanted)


def _package(
    made: draft.Draft, place: str, item: Any, wanted: list[Any]
) -> None:
    if isinstance(item, list) and len(item) == 2:
        name, version = values.text(item[0]), values.text(item[1])
    elif isinstance(item, list) and len(item) == 1:
        name, version = values.text(item[0]), ''
    elif isinstance(item, list):
        made.lose(place, 'it is not a package, or a package with a version')
        return
    else:
        name, _, version = values.text(item).strip().partition('=')
    if '/' in name:
        made.lose(
            place, f'"{name}" names a release; name a version or a repository'
        )
    elif name.endswith(('-', '+')) and not name.endswith('++'):
        made.lose(place, f'"{name}" removes or keeps a package')
    else:
        wanted.append({name: {'version': version}} if version else name)


def upgrade(made: draft.Draft, where: str, value: Any) -> None:
    """Newer versions of what is installed."""
    if values.is_true(value):
        made.remark(
            where, 'what is in the image then depends on the day it is made'
        )
        made.script('upgrade', _UPGRADE, guard=False, comment=where)


def apt(made: draft.Draft, where: str, value: Any) -> None:
    """Repositories and settings of apt."""
    steps: list[draft.Validator] = []
    entry = values.mapping(value)
    for key, item in entry.items():
        place = f'{where}.{key}'
        if key == 'sources':
            for name, source in values.mapping(item).items():
                _source(made, f'{place}.{name}', name, source, steps)
        elif key == 'conf':
            steps.append(_file(_CONF, values.text(item)))
        elif key == 'sources_list' and '$' not in values.text(item):
            steps.append(_file('/etc/apt/sources.list', values.text(item)))
        elif key == 'debconf_selections':
            _selections(made, place, item)
        elif key not in (*_PROXIES, 'preserve_sources_list'):
            made.lose(place, "the image's own sources of apt stay as they are")
    proxies = ''.join(
        f'{_PROXIES[key]} "{values.text(item)}";\n'
        for key, item in entry.items()
        if key in _PROXIES
    )
    if proxies:
        steps.append(_file(_PROXY, proxies))
    if steps:
        made.add({'os_case': [{'debian': steps}]}, where)


def _file(path: str, content: str) -> draft.Validator:
    return {'file': {path: {'content': content}}}


def _source(
    made: draft.Draft,
    place: str,
    name: str,
    value: Any,
    steps: list[draft.Validator],
) -> None:
    entry = values.mapping(value)
    line = values.text(entry.get('source') or '').strip()
    match = _SOURCE.fullmatch(line)
    if not match:
        made.lose(
            place,
            'a personal package archive is set up by the machine'
            if line.startswith('ppa:')
            else 'it is not a line "deb URL SUITE COMPONENT..."',
        )
        return
    if 'keyid' in entry and 'key' not in entry:
        made.lose(
            place, 'its key would be fetched from a key server; write it as '
            '"key", or as "key" of the step "repository"'
        )  # fmt: skip
        return
    spec = _repository(made, place, match)
    if spec is None:
        return
    if 'key' in entry:
        spec['key'] = values.text(entry['key'])
    title = _UNSAFE.sub('-', name.removesuffix('.list')).strip('-')
    steps.append({'repository': {title or 'repository': spec}})


def _repository(
    made: draft.Draft, place: str, match: re.Match[str]
) -> dict[str, Any] | None:
    spec: dict[str, Any] = {'url': match['url']}
    components = match['components'].split()
    # Without a suite, components mean those of the image's own release.
    if match['suite'] != '$RELEASE':
        spec['suites'] = match['suite']
    if components:
        spec['components'] = components
    for option in (match['options'] or '').split():
        name, _, value = option.partition('=')
        if name == 'trusted' and value == 'yes':
            spec['trusted'] = True
        elif name != 'signed-by' or value != '$KEY_FILE':
            made.remark(place, f'the option {option} is left out')
    if '$' in str(spec):
        made.lose(place, 'it names what only the machine knows')
        return None
    return spec


def _selections(made: draft.Draft, place: str, value: Any) -> None:
    if not isinstance(value, dict):
        value = {'selections': value}
    lines = [values.text(item).strip() for item in value.values()]
    text = '\n'.join(lines)
    if 'END_OF_SELECTIONS' in text:
        made.lose(place, 'it holds the line END_OF_SELECTIONS')
        return
    made.script(
        'answers for debconf',
        "#!/bin/sh\ndebconf-set-selections <<'END_OF_SELECTIONS'\n"
        f'{text}\nEND_OF_SELECTIONS\n',
        comment=place,
    )


def yum_repositories(made: draft.Draft, where: str, value: Any) -> None:
    """Repositories of the Red Hat family, as files."""
    steps: list[draft.Validator] = []
    for name, item in values.mapping(value).items():
        place = f'{where}.{name}'
        title = _UNSAFE.sub('-', name).strip('-')
        settings = values.mapping(item)
        if not title or not {'baseurl', 'metalink', 'mirrorlist'} & set(
            settings
        ):
            made.lose(place, 'it has no "baseurl"')
            continue
        lines = [f'[{title}]']
        for key, setting in settings.items():
            if isinstance(setting, bool):
                setting = int(setting)
            joined = '\n    '.join(map(values.text, values.items(setting)))
            lines.append(f'{key} = {joined}')
        path = f'/etc/yum.repos.d/{title}.repo'
        steps.append(_file(path, '\n'.join(lines) + '\n'))
    if steps:
        made.add({'os_case': [{'redhat': steps}]}, where)
