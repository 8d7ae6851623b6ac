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
"""``repository``: further package repositories are known."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import distros
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import target_files

_WORD: Mapping[str, Any] = {
    'title': 'a word',
    'type': 'string',
    # It becomes a part of a line in the package manager's files.
    'pattern': r'^[A-Za-z0-9./][A-Za-z0-9./_+~:-]*$(?!\n)',
    'x-message': 'is not of the accepted form',
}
_WORDS: Mapping[str, Any] = {
    'anyOf': [
        _WORD,
        {
            'title': 'a list of words',
            'type': 'array',
            'items': _WORD,
            'minItems': 1,
        },
    ]
}
_ONE: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['url'],
    'properties': {
        'url': {
            'type': 'string',
            'pattern': r'^(?:https?|ftp|file)://?[!-~]+$(?!\n)',
            'x-message': 'is not a URL of a repository',
        },
        'suites': _WORDS,
        'components': _WORDS,
        'key': {'type': 'string', 'minLength': 1},
        'key_source': {'type': 'string', 'minLength': 1},
        'trusted': {'type': 'boolean'},
        'priority': {'type': 'integer', 'minimum': -32768, 'maximum': 32767},
    },
}
_BEGIN = '-----BEGIN PGP PUBLIC KEY BLOCK-----'
_END = '-----END PGP PUBLIC KEY BLOCK-----'


class RepositoryValidator(target_files.TargetFilesValidator):
    """The package manager knows repositories.

    The distribution's family decides which files that takes; they are
    compared and written here. The next installation fetches the index.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'repository'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'minProperties': 1,
        'propertyNames': {
            'type': 'string',
            'pattern': r'^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)',
            'x-message': 'is not a name (letters, digits, "_" and "-")',
        },
        'additionalProperties': _ONE,
    }

    def __init__(
        self, path: str, repositories: Sequence[distros.Repository]
    ) -> None:
        super().__init__(path)
        self.repositories = tuple(repositories)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        return cls(
            builder.path,
            [
                _repository(name, properties, builder.at(name))
                for name, properties in spec.items()
            ],
        )

    def describe(self) -> str:
        return 'repository ' + state.listed(
            [repository.name for repository in self.repositories]
        )

    def files(self, context: base.Context) -> list[target_files.TargetFile]:
        return [
            target_files.TargetFile(file.path, file.content, file.mode)
            for repository in self.repositories
            for file in context.distro.repository_files(repository)
        ]

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        message = super().change(context, record, parts)
        context.packages.index_is_stale()
        return message

    def commands(self, context: base.Context) -> Sequence[str]:
        return [f'write {file.path}' for file in self.files(context)]

    def argument_names(self) -> Sequence[str]:
        return ()

    def key(self) -> Any:
        return {
            'repository': [
                [
                    item.name,
                    item.url,
                    list(item.suites),
                    list(item.components),
                    item.key,
                    item.trusted,
                    item.priority,
                ]
                for item in self.repositories
            ]
        }


def _repository(
    name: str, spec: Mapping[str, Any], builder: base.Builder
) -> distros.Repository:
    return distros.Repository(
        name=name,
        url=spec['url'],
        suites=_as_tuple(spec.get('suites', ())),
        components=_as_tuple(spec.get('components', ())),
        key=_key(spec, builder),
        trusted=spec.get('trusted', False),
        priority=spec.get('priority'),
    )


def _as_tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _key(spec: Mapping[str, Any], builder: base.Builder) -> str:
    if 'key' in spec and 'key_source' in spec:
        builder.problem('"key" and "key_source" exclude each other')
        return ''
    if 'key' in spec:
        return _armoured(spec['key'], builder, 'key')
    if 'key_source' not in spec:
        return ''
    content = builder.resource(spec['key_source'], 'key_source')
    if not content:
        return ''
    return _armoured(content.decode('latin-1'), builder, 'key_source')


def _armoured(text: str, builder: base.Builder, part: str) -> str:
    text = text.strip().replace('\r\n', '\n')
    # The private half has the same armour around it, and may be pasted here
    # by mistake: it would end up in every image.
    plain = text.isascii() and 'PRIVATE KEY' not in text
    if not (plain and _BEGIN in text and text.endswith(_END)):
        builder.problem('it is not an armoured OpenPGP public key', part)
        return ''
    return text + '\n'
