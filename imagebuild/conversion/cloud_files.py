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
"""Files, commands and scripts of cloud-init's user data."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
import zlib
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import draft
from imagebuild.conversion import user_data
from imagebuild.conversion import values

_BASE64 = frozenset({'b64', 'base64'})
_GZIP = frozenset({'gz', 'gzip'})
_BOTH = frozenset({'gz+base64', 'gzip+base64', 'gz+b64', 'gzip+b64'})
_MODE = 0o644
#: Accounts of every distribution; others are made by a step or a package.
_ALWAYS_THERE = frozenset(
    {'root', 'bin', 'daemon', 'games', 'lp', 'mail', 'nobody', 'sync'}
)
#: What has no meaning while nothing is booted.
_RUNNING = re.compile(
    r'\b(?:systemctl\s+(?:(?:daemon-)?re(?:start|load)|start|stop|try-restart)'
    r'|service\s+\S+\s+(?:re)?start|reboot|shutdown|poweroff)\b'
)
#: A second time it appends nothing. The text comes base64 encoded.
_APPEND = """#!/bin/sh
set -eu
path={path}
end=$(mktemp)
trap 'rm -f "$end"' EXIT
base64 -d > "$end" <<'END'
{content}
END
if [ -f "$path" ]; then
    case $(cat "$path") in *"$(cat "$end")"*) exit 0 ;; esac
fi
if [ "$test_only" -ne 0 ]; then
    echo "$path lacks what is to be appended" >&2
    exit 1
fi
mkdir -p "$(dirname "$path")"
cat "$end" >> "$path"
chmod {mode} "$path"
chown {owner} "$path"
"""


def commands(made: draft.Draft, where: str, value: Any) -> str:
    """The script that cloud-init makes of a list of commands.

    :raises Malformed: it is no list of texts and lists.
    """
    lines = ['#!/bin/sh']
    for place, item in values.each(where, value):
        if item is None:
            continue
        if isinstance(item, bool | dict):
            made.lose(place, 'it is not a command; is it in quotation marks?')
            continue
        if isinstance(item, list):
            words = [values.quoted(values.text(word)) for word in item]
            line = ' '.join(words)
            shown = ' '.join(values.text(word) for word in item)
        else:
            line = shown = values.text(item)
        if match := _RUNNING.search(shown):
            made.remark(
                place, f'nothing runs in an image, so "{match[0]}" does '
                'nothing or fails'
            )  # fmt: skip
        lines.append(line)
    return '\n'.join(lines) + '\n'


def bootcmd(made: draft.Draft, where: str, value: Any) -> None:
    """Commands that cloud-init runs at every boot."""
    text = commands(made, where, value)
    made.remark(
        where,
        'cloud-init runs it at every boot; here it is run once, when the '
        'image is made',
    )
    made.script(where, text, comment=where)


def part(
    made: draft.Draft, found: user_data.Part, scripts: dict[str, str]
) -> None:
    """A part of user data that is no cloud-config.

    :param scripts: is given those that cloud-init runs last, by name.
    """
    kind, name = found.kind, found.name
    unknown = user_data.expressions_in(found.text, found)
    if unknown:
        made.lose(name, f'it needs what only the machine knows: {unknown[0]}')
    elif kind == 'script':
        scripts[name] = found.text
    elif kind == 'boothook':
        text = found.text.partition('\n')[2]
        if not text.startswith('#!'):
            text = f'#!/bin/sh\n{text}'
        made.remark(
            name,
            'cloud-init runs it at every boot; here it is run once, when '
            'the image is made',
        )
        made.script(name, text, comment=name)
    elif kind.startswith('per-'):
        path = f'/var/lib/cloud/scripts/{kind}/{name}'
        content = {'content': found.text, 'mode': '0700'}
        made.add({'file': {path: content}}, name)
    else:
        made.lose(name, _REASONS.get(kind, 'cloud-init does not know it'))


_REASONS: Mapping[str, str] = {
    'include': 'what it includes is fetched by the machine',
    'part-handler': 'handlers of parts run on the machine alone',
    'jsonp': 'patches of a cloud-config are not applied',
    'upstart-job': 'there is no upstart any more',
}


def early_files(made: draft.Draft, where: str, value: Any) -> None:
    """Files that are written before there are users and packages."""
    _files(made, where, value, late=False)


def late_files(made: draft.Draft, where: str, value: Any) -> None:
    """Files with ``defer``, and those of users that are made."""
    _files(made, where, value, late=True)


def _files(made: draft.Draft, where: str, value: Any, *, late: bool) -> None:
    together: dict[str, Any] = {}
    for place, item in values.each(where, value):
        try:
            entry = values.mapping(item)
            if _is_late(made, place, entry) is not late:
                continue
            together = _one(made, place, entry, together)
        except draft.Malformed as error:
            if not late:
                made.lose(place, f'{error}, as cloud-init wants it')
    _flush(made, together, where)


def _is_late(made: draft.Draft, place: str, entry: Mapping[str, Any]) -> bool:
    if values.is_true(entry.get('defer')):
        return True
    owner, _ = _owner(entry)
    if owner in _ALWAYS_THERE or owner.isdecimal():
        return False
    made.remark(
        place,
        f'it belongs to {owner}, so it is written after users and packages; '
        'cloud-init writes it before',
    )
    return True


def _one(
    made: draft.Draft,
    place: str,
    entry: Mapping[str, Any],
    together: dict[str, Any],
) -> dict[str, Any]:
    """Add a file to those of one step, or make steps of both."""
    path = values.text(entry.get('path') or '')
    if not path:
        raise draft.Malformed('it has no path')
    path = posixpath.normpath(posixpath.join('/', path))
    path = '/' + path.lstrip('/')
    if 'source' in entry and 'content' not in entry:
        made.lose(place, f'the machine would fetch the content of {path}')
        return together
    content = _content(entry)
    owner, group = _owner(entry)
    mode = _mode(made, place, entry.get('permissions'))
    for key in sorted(entry.keys() - _KNOWN):
        made.lose(place, f'"{key}" is not known')
    if values.is_true(entry.get('append')):
        _flush(made, together, 'write_files')
        encoded = base64.encodebytes(content).decode().strip()
        text = _APPEND.format(
            path=values.quoted(path),
            content=encoded,
            mode=mode,
            owner=values.quoted(f'{owner}:{group}'),
        )
        made.script(f'append to {path}', text, guard=False, comment=place)
        return {}
    if path in together:
        _flush(made, together, 'write_files')
        together = {}
    wanted = {**text_or_base64(content), 'mode': mode}
    if owner != 'root':
        wanted['owner'] = owner
    if group != 'root':
        wanted['group'] = group
    return {**together, path: wanted}


_KNOWN = frozenset(
    {'path', 'content', 'encoding', 'owner', 'permissions', 'append',
     'defer', 'source'}
)  # fmt: skip


def _flush(
    made: draft.Draft, together: Mapping[str, Any], comment: str
) -> None:
    if together:
        made.add({'file': dict(together)}, comment)


def text_or_base64(content: bytes) -> dict[str, str]:
    """A file's content as the ``file`` validator takes it."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = '\0'
    if _BINARY.search(text):
        return {'content_base64': base64.b64encode(content).decode()}
    return {'content': text}


#: What YAML cannot hold as it is, and a lone return is read as a newline.
_BINARY = re.compile(
    '[\0-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff\u2028\u2029]'
)


def _content(entry: Mapping[str, Any]) -> bytes:
    raw = entry.get('content', '')
    content = (
        raw
        if isinstance(raw, bytes)
        else values.text('' if raw is None else raw).encode()
    )
    encoding = str(entry.get('encoding') or '').lower().strip()
    if encoding in _BASE64 | _BOTH:
        try:
            content = base64.b64decode(content)
        except (binascii.Error, ValueError):
            raise draft.Malformed('its content is not base64') from None
    if encoding in _GZIP | _BOTH:
        content = _gunzip(content)
    return content


def _gunzip(content: bytes) -> bytes:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = inflater.decompress(content, user_data.MAX_BYTES + 1)
    except zlib.error:
        raise draft.Malformed('its content is not gzip') from None
    if len(found) > user_data.MAX_BYTES:
        raise draft.Malformed('its content is too large when unpacked')
    return found


def _owner(entry: Mapping[str, Any]) -> tuple[str, str]:
    """User and group; cloud-init takes one name for both."""
    given = entry.get('owner')
    if given is None:
        return 'root', 'root'
    owner, _, group = values.text(given).partition(':')
    names = (_nobody_meant(owner.strip()), _nobody_meant(group.strip()))
    return names[0] or 'root', names[1] or 'root'


def _nobody_meant(name: str) -> str:
    return '' if name.lower() in ('', '-1', 'none') else name


def _mode(made: draft.Draft, place: str, given: Any) -> str:
    if given is None:
        mode = _MODE
    elif isinstance(given, int | float) and not isinstance(given, bool):
        mode = int(given)
        if str(given).startswith(('4', '6', '7')) and mode > 0o777:
            made.remark(
                place,
                f'cloud-init takes the permissions {given}, which are not '
                f'in quotation marks, as a decimal number: {mode:o}',
            )
    else:
        try:
            mode = int(values.text(given), 8)
        except ValueError:
            made.remark(
                place, 'its permissions are not octal; cloud-init takes 0644'
            )
            mode = _MODE
    return f'{mode & 0o7777:04o}'
