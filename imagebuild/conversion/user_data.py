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
"""The parts of cloud-init user data: MIME, archives, templates, gzip."""

from __future__ import annotations

import dataclasses
import email
import email.message
import re
import zlib
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import yaml

from imagebuild import exception
from imagebuild.common import strict_yaml
from imagebuild.conversion import draft
from imagebuild.conversion import values

#: Bytes of user data once it is unpacked. Clouds take 16 to 64 KiB.
MAX_BYTES = 16 * 1024 * 1024
_MAX_LEVELS = 5
_MAX_PARTS = 200
_JINJA = '## template: jinja'
_ARCHIVE = '#cloud-config-archive'
#: The first line of a part, and what it is; the longest first.
_STARTS: Mapping[str, str] = {
    _ARCHIVE: 'archive',
    '#cloud-config-jsonp': 'jsonp',
    '#cloud-config': 'cloud-config',
    '#cloud-boothook': 'boothook',
    '#part-handler': 'part-handler',
    '#include-once': 'include',
    '#include': 'include',
    '#upstart-job': 'upstart-job',
    '#!': 'script',
}
_TYPES: Mapping[str, str] = {
    'text/cloud-config': 'cloud-config',
    'text/cloud-config-archive': 'archive',
    'text/cloud-config-jsonp': 'jsonp',
    'text/cloud-boothook': 'boothook',
    'text/part-handler': 'part-handler',
    'text/x-include-url': 'include',
    'text/x-include-once-url': 'include',
    'text/upstart-job': 'upstart-job',
    'text/x-shellscript': 'script',
    'text/x-shellscript-per-boot': 'per-boot',
    'text/x-shellscript-per-instance': 'per-instance',
    'text/x-shellscript-per-once': 'per-once',
}
#: cloud-init believes the first line of these, not the type.
_TO_BE_READ = frozenset(
    {'text/plain', 'text/x-not-multipart', 'application/octet-stream',
     'text/jinja2'}
)  # fmt: skip
_EXPRESSION = re.compile(r'\{\{.*?\}\}', re.DOTALL)
_COMMENT = re.compile(r'\{#.*?#\}', re.DOTALL)
_PLACEHOLDER = re.compile('IMAGEBUILD_EXPRESSION_([0-9]+)_')


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    :ivar kind: a value of the tables above, or ``unknown``.
    :ivar name: its file name, or ``part-001``.
    :ivar text: without what says that it is a template.
    :ivar expressions: of the template, by number.
    """

    kind: str
    name: str
    text: str
    expressions: tuple[str, ...] = ()


def looks_like(content: bytes) -> bool:
    """Whether cloud-init would know what a file is."""
    if content.startswith(b'\x1f\x8b'):
        return True
    start = content[:4096].decode('utf-8-sig', 'replace').lstrip()
    return (
        _is_mime(start)
        or start.lower().startswith(_JINJA)
        or any(start.startswith(mark) for mark in _STARTS)
    )


def read(content: bytes, made: draft.Draft) -> list[Part]:
    """Take user data apart.

    :param made: is told of parts that cannot be taken.
    :returns: its parts in order.
    :raises InvalidInput: it is too large, is damaged, or is a template
        whose structure only the machine decides.
    """
    found: list[Part] = []
    for part in _parts(content, '', '', made, 0):
        found.append(part)
        if len(found) > _MAX_PARTS:
            raise exception.InvalidInput(
                f'{made.name} has more than {_MAX_PARTS} parts.'
            )
    return [
        dataclasses.replace(part, name=part.name or f'part-{number:03}')
        for number, part in enumerate(found, 1)
    ]


def _parts(
    content: bytes, kind: str, name: str, made: draft.Draft, level: int
) -> Iterator[Part]:
    if level > _MAX_LEVELS:
        raise exception.InvalidInput(
            f'The parts of {made.name} are nested too deeply.'
        )
    content = _unpacked(content, made)
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise exception.InvalidInput(
            f'{name or made.name} is not UTF-8 text (byte {error.start}).'
        ) from None
    text = text.replace('\r\n', '\n')
    if not kind and _is_mime(text):
        yield from _of_mime(content, made, level)
        return
    text, expressions = _template(text, name or made.name)
    kind = kind or _kind(text)
    if kind == 'archive':
        yield from _of_archive(text, made, level)
    else:
        yield Part(kind, name, text, expressions)


def _unpacked(content: bytes, made: draft.Draft) -> bytes:
    if not content.startswith(b'\x1f\x8b'):
        return content
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = inflater.decompress(content, MAX_BYTES + 1)
    except zlib.error as error:
        raise exception.InvalidInput(
            f'{made.name} is damaged: {error}.'
        ) from None
    if len(unpacked) > MAX_BYTES:
        raise exception.InvalidInput(
            f'{made.name} unpacks to more than {MAX_BYTES // 1024**2} MiB.'
        )
    return unpacked


def _is_mime(text: str) -> bool:
    head = text[:4096].lower().lstrip()
    return head.startswith(('mime-version:', 'content-type: multipart/'))


def _of_mime(content: bytes, made: draft.Draft, level: int) -> Iterator[Part]:
    message = email.message_from_bytes(content.lstrip())
    for part in message.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            continue
        declared = part.get_content_type()
        kind = '' if declared in _TO_BE_READ else _TYPES.get(declared, '')
        name = (part.get_filename() or '').rpartition('/')[2]
        if not kind and declared not in _TO_BE_READ:
            made.lose(
                name or 'a part', f'parts of type {declared} are not known'
            )
            continue
        yield from _parts(payload, kind, name, made, level + 1)


def _of_archive(text: str, made: draft.Draft, level: int) -> Iterator[Part]:
    for where, item in values.each('archive', load_yaml(text, 'the archive')):
        if isinstance(item, str):
            item = {'content': item}
        try:
            entry = values.mapping(item)
            content = values.text(entry.get('content', ''))
            declared = values.text(entry.get('type', 'text/plain'))
            name = values.text(entry.get('filename', '')).rpartition('/')[2]
        except draft.Malformed as error:
            made.lose(where, str(error))
            continue
        kind = _TYPES.get(declared, '')
        yield from _parts(content.encode(), kind, name, made, level + 1)


def _kind(text: str) -> str:
    for start, kind in _STARTS.items():
        if text.startswith(start):
            return kind
    return 'unknown'


def _template(text: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Replace what only a machine knows by placeholders."""
    first, _, rest = text.partition('\n')
    if not first.strip().lower().startswith(_JINJA):
        return text, ()
    rest = _COMMENT.sub('', rest)
    if '{%' in rest:
        raise exception.InvalidInput(
            f'{name} is a template with statements ("{{%"), which only the '
            'machine can decide; render it first ("cloud-init devel render").'
        )
    found: list[str] = []

    def replace(match: re.Match[str]) -> str:
        found.append(' '.join(match[0].split()))
        return f'IMAGEBUILD_EXPRESSION_{len(found) - 1}_'

    return _EXPRESSION.sub(replace, rest), tuple(found)


def expressions_in(text: str, part: Part) -> list[str]:
    """What of a text only the machine knows, as it was written."""
    return [
        part.expressions[int(match[1])]
        for match in _PLACEHOLDER.finditer(text)
        if int(match[1]) < len(part.expressions)
    ]


def config(part: Part, made: draft.Draft) -> dict[str, Any]:
    """The mapping of a cloud-config, without what only the machine knows.

    :raises InvalidInput: it is not YAML, or not a mapping.
    """
    data = load_yaml(part.text, part.name)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise exception.InvalidInput(
            f'The cloud-config of {made.name} is not a mapping.'
        )
    found = {str(key): value for key, value in data.items()}
    if part.expressions:
        found = _without_expressions(found, part, made)
    return found


def _without_expressions(
    data: Mapping[str, Any], part: Part, made: draft.Draft
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, list):
            value = [
                item
                for where, item in values.each(key, value)
                if not _note_expressions(where, item, part, made)
            ]
        elif _note_expressions(key, value, part, made):
            continue
        kept[key] = value
    return kept


def _note_expressions(
    where: str, value: Any, part: Part, made: draft.Draft
) -> bool:
    found = expressions_in(repr(value), part)
    if found:
        shown = ', '.join(dict.fromkeys(found))
        made.lose(where, f'it needs what only the machine knows: {shown}')
    return bool(found)


def load_yaml(text: str, name: str) -> Any:
    """YAML as cloud-init reads it: version 1.1, the last of two keys counts.

    :raises InvalidInput: it is not YAML, or too large.
    """
    try:
        strict_yaml.check_limits(text)
        return yaml.safe_load(text)
    except strict_yaml.InvalidYaml as error:
        raise exception.InvalidInput(f'{name} is not YAML: {error}.') from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = ' '.join(str(error).split())
        raise exception.InvalidInput(
            f'{name} is not YAML: {reason}.'
        ) from None
