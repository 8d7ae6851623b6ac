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
"""``file``: files have a content, a mode and an owner."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import posixpath
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import strict_yaml
from imagebuild.manifest import document
from imagebuild.manifest import placeholders
from imagebuild.manifest import resource_files
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import target_files
from imagebuild.manifest.validators import template

_OWNER: Mapping[str, Any] = {
    'type': ['string', 'integer'],
    'pattern': r'^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\$?$(?!\n)',
    'minimum': 0,
    'x-message': 'is not a name or number of a user or group',
}
_MODE = re.compile('0?[0-7]{3,4}')
_CONTENTS = ('content', 'content_base64', 'source')
#: JSON schema of one file's properties.
PROPERTIES: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'properties': {
        'content': {'type': ['string', 'number', 'boolean']},
        'content_base64': {'type': 'string'},
        'source': {'type': 'string', 'minLength': 1},
        'mode': {
            'type': ['string', 'integer'],
            'x-message': 'is not a mode, such as 0644',
        },
        'owner': _OWNER,
        'group': _OWNER,
        'template': {'type': 'boolean'},
        'absent': {'type': 'boolean'},
    },
}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A file as the manifest describes it.

    :ivar template: its content still holds names of arguments.
    """

    file: target_files.TargetFile
    template: bool = False


class FileValidator(target_files.TargetFilesValidator):
    """Files are as described, or are not there.

    A symbolic link at a path is followed, as writing to it would do; with
    ``absent`` the link itself goes.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'file'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'minProperties': 1,
        'additionalProperties': PROPERTIES,
    }

    def __init__(self, path: str, wanted: Sequence[Wanted]) -> None:
        super().__init__(path)
        self.wanted = tuple(wanted)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        wanted = []
        for path, properties in spec.items():
            inner = builder.at(path)
            check_path(path, inner)
            wanted.append(read(path, properties, inner))
        return cls(builder.path, wanted)

    def describe(self) -> str:
        return 'file ' + state.listed([item.file.path for item in self.wanted])

    def files(self, context: base.Context) -> list[target_files.TargetFile]:
        return [_rendered(item, context) for item in self.wanted]

    def commands(self, context: base.Context) -> Sequence[str]:
        return [
            f'{"rm" if file.content is None else "write"} {file.path}'
            for file in self.files(context)
        ]

    def argument_names(self) -> Sequence[str]:
        return [
            name
            for item in self.wanted
            for text in _texts(item)
            for name in template.argument_names(text)
        ]

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        parts = []
        for item in self.wanted:
            path = compiler.rendered(item.file.path)
            wrong = path_error(path)
            if wrong:
                raise shell_compiler.NotInShell(
                    f'has the path {path}: {wrong}'
                )
            content = item.file.content
            if content is None:
                parts.append(
                    f'rm -f -- {shell_compiler.quoted(path)} || exit\n'
                )
                continue
            if item.template:
                content = compiler.rendered(content.decode()).encode()
            parts.append(
                shell_compiler.writing(
                    path,
                    content,
                    item.file.mode,
                    item.file.owner,
                    item.file.group,
                )
            )
        yield compiler.step(self, ''.join(parts))

    def key(self) -> Any:
        return {'file': [_key(item) for item in self.wanted]}


def _key(item: Wanted) -> Any:
    file = item.file
    content = file.content
    return [
        file.path,
        None if content is None else _key_of_content(content),
        file.mode,
        file.owner,
        file.group,
        item.template,
    ]


def _key_of_content(content: bytes) -> str | dict[str, str]:
    if len(content) <= resource_files.MAX_BYTES:
        return content.decode('latin-1')
    # As JSON it would take several times its size of memory.
    return {'sha256': hashlib.sha256(content).hexdigest()}


def _texts(item: Wanted) -> Iterator[str]:
    """What of a file may name arguments."""
    yield item.file.path
    if item.template and item.file.content is not None:
        yield item.file.content.decode()


def _rendered(item: Wanted, context: base.Context) -> target_files.TargetFile:
    path = template.render(item.file.path, context)
    wrong = path_error(path)
    if wrong:
        raise exception.StepFailed(f'{item.file.path}: {wrong}')
    file = dataclasses.replace(item.file, path=path)
    if not item.template or file.content is None:
        return file
    text = template.render(file.content.decode(), context)
    return dataclasses.replace(file, content=text.encode())


def read(path: str, spec: Mapping[str, Any], builder: base.Builder) -> Wanted:
    """Read one file; errors are added to the builder.

    :param path: of the file, in the system; see :func:`check_path`.
    :param spec: its properties, of the form of :data:`PROPERTIES`.
    :param builder: where they stand.
    """
    templated = spec.get('template', False)
    absent = spec.get('absent', False)
    content = None if absent else _content(spec, builder)
    if absent and len(spec) > 1:
        builder.problem('"absent" stands alone')
    if templated and content is not None:
        _check_template(content, builder)
    return Wanted(
        target_files.TargetFile(
            path,
            content,
            _mode(spec.get('mode', '0644'), builder),
            document.as_text(spec.get('owner', 'root')),
            document.as_text(spec.get('group', 'root')),
        ),
        templated,
    )


def check_path(path: str, builder: base.Builder) -> None:
    """Note a problem unless a path is absolute and normalized.

    One that names arguments is looked at when they have values.
    """
    if placeholders.names(path):
        template.check(path, builder)
        return
    wrong = path_error(path)
    if wrong:
        builder.problem(wrong)


def path_error(path: str) -> str | None:
    """Say what is wrong with the path of a file, None when nothing is."""
    if not path.startswith('/'):
        return 'it is not an absolute path'
    if (
        path == '/'
        or path.startswith('//')
        or (posixpath.normpath(path) != path)
    ):
        return (
            'it is not a normalized path of a file (no "..", ".", "//" or '
            '"/" at its end)'
        )
    if not path.isprintable():
        return 'the path holds characters that cannot be printed'
    return None


def _content(spec: Mapping[str, Any], builder: base.Builder) -> bytes:
    given = [key for key in _CONTENTS if key in spec]
    if len(given) != 1:
        builder.problem(
            'exactly one of "content", "content_base64" and "source" is '
            'needed (or "absent: true")'
        )
        return b''
    [key] = given
    if key == 'source':
        limit = resource_files.MAX_FILE_BYTES
        return builder.resource(spec[key], key, limit=limit)
    if key == 'content':
        return document.as_text(spec[key]).encode()
    try:
        return base64.b64decode(''.join(spec[key].split()), validate=True)
    except (binascii.Error, ValueError):
        builder.problem('it is not base64', key)
        return b''


def _check_template(content: bytes, builder: base.Builder) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        builder.problem('a template must be UTF-8 text', 'template')
        return
    template.check(text, builder)


def _mode(value: Any, builder: base.Builder) -> int:
    """Read a mode by its text: 0644, '0644' and 644 are the same.

    A number that was not read from a manifest's text (JSON, Python) is
    refused: 0644 may have become 420 on its way, and 420 is a mode too.
    """
    if isinstance(value, int) and not isinstance(
        value, strict_yaml.WrittenInt
    ):
        builder.problem('write it as a text, such as "0644"', 'mode')
        return 0
    text = document.as_text(value).removeprefix('0o')
    if not _MODE.fullmatch(text):
        builder.problem(f'"{text}" is not a mode, such as 0644', 'mode')
        return 0
    return int(text, 8)
