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

import base64
import binascii
import dataclasses
import re
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.common import openpgp
from imagebuild.manifest import placeholders
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import target_files
from imagebuild.manifest.validators import template

#: An argument, whose value is put in its place.
_NAME = r'\{\{ *[A-Za-z_][A-Za-z0-9_.-]* *\}\}'
_WORD: Mapping[str, Any] = {
    'title': 'a word',
    'type': 'string',
    # It becomes a part of a line in the package manager's files.
    'pattern': (
        rf'^(?:{_NAME}|[A-Za-z0-9./])'
        rf'(?:{_NAME}|[A-Za-z0-9./_+~:-])*$(?!\n)'
    ),
    'x-message': 'is not of the accepted form',
}
_WORDS: Mapping[str, Any] = {
    'anyOf': [
        _WORD,
        {
            'title': 'a list of words',
            'type': 'array',
            'maxItems': json_schema.MANY,
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
            'pattern': (
                rf'^(?:(?:https?|ftp|file)://?|{_NAME})'
                # Without "{", which begins a name.
                rf'(?:{_NAME}|[!-z|}}~])*$(?!\n)'
            ),
            'x-message': 'is not a URL of a repository',
        },
        'suites': _WORDS,
        'components': _WORDS,
        'key': {'type': 'string', 'minLength': 1},
        'key_source': {'type': 'string', 'minLength': 1},
        'key_url': {'type': 'string', 'minLength': 1},
        'fingerprints': {'type': 'string', 'minLength': 1},
        'trusted': {'type': 'boolean'},
        'priority': {'type': 'integer', 'minimum': -32768, 'maximum': 32767},
    },
}
_BEGIN = '-----BEGIN PGP PUBLIC KEY BLOCK-----'
_END = '-----END PGP PUBLIC KEY BLOCK-----'
#: As values of arguments make them.
_RENDERED_URL = re.compile(r'(?:https?|ftp|file)://?[!-~]+')
_RENDERED_WORD = re.compile(r'[A-Za-z0-9./][A-Za-z0-9./_+~:-]*')
_KEY_URL = re.compile(r'(?:https?|file)://[!-~]+')
_FINGERPRINT = re.compile(r'[0-9A-F]{40}|[0-9A-F]{64}')
#: Bytes of a file of keys; projects with many release managers have large
#: ones.
_LARGEST = 4 * 1024 * 1024

#: Arguments: a URL, the most bytes. Prints the file in base64.
FETCH = shell.Script(
    'fetch a signing key',
    r"""
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
trap 'exit 143' HUP INT TERM
secure='=http,https'
case $1 in
    https://*) secure='=https' ;;
esac
if [ "${1#file://}" != "$1" ]; then
    cat -- "${1#file://}" > "$file"
elif command -v curl > /dev/null; then
    curl -fsSL --proto "$secure" --proto-redir "$secure" --retry 2 \
        --max-time 60 --max-filesize "$2" -o "$file" -- "$1"
elif [ -x /usr/lib/apt/apt-helper ]; then
    /usr/lib/apt/apt-helper -q -o Acquire::Retries=2 download-file \
        "$1" "$file" > /dev/null
elif command -v python3 > /dev/null; then
    python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as answer:
    if sys.argv[1][:6] == "https:" != answer.url[:6]:
        sys.exit("The server leads away from https.")
    with open(sys.argv[2], "wb") as file:
        file.write(answer.read(int(sys.argv[3]) + 1))' "$1" "$file" "$2"
elif command -v wget > /dev/null; then
    wget -q --timeout=60 --tries=3 --max-redirect=0 -O "$file" -- "$1"
else
    echo 'there is no curl, apt-helper, python3 or wget' >&2
    exit 1
fi || exit 1
head -c "$(($2 + 1))" "$file" | base64 | tr -d '\n'
""",
)


# As curl, apt and urllib say that a server has answered.
_NOT_THERE = re.compile(r'\b[Ee]rror:? 4[0-9]{2}\b|\b4[0-9]{2} +[A-Z][a-z]')


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A repository as the manifest describes it; texts may name arguments.

    :ivar repository: its name, addresses and settings.
    :ivar key_url: where its key is fetched, '' if it is given.
    :ivar fingerprints: of the keys that are accepted, separated by spaces;
        '' for any.
    """

    repository: distros.Repository
    key_url: str = ''
    fingerprints: str = ''

    def texts(self) -> list[str]:
        """What may name arguments."""
        item = self.repository
        return [
            *(item.url, *item.suites, *item.components, item.key),
            *(self.key_url, self.fingerprints),
        ]


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

    def __init__(self, path: str, repositories: Sequence[Wanted]) -> None:
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
            [wanted.repository.name for wanted in self.repositories]
        )

    def files(self, context: base.Context) -> list[target_files.TargetFile]:
        return [
            target_files.TargetFile(file.path, file.content, file.mode)
            for wanted in self.repositories
            for file in self._files(wanted, context)
        ]

    def _files(
        self, wanted: Wanted, context: base.Context
    ) -> Sequence[distros.ConfigFile]:
        repository = _rendered(wanted.repository, context)
        context.packages.name_repository(
            repository.url, template.argument_names(wanted.repository.url)
        )
        if not wanted.key_url:
            return context.distro.repository_files(repository)
        # What the file of its key must hold is what it holds, if that is
        # accepted; else it is fetched by a change.
        return [
            file
            for file in _files_with_key(repository, context)
            if file.content != _NO_KEY
        ]

    def differences(self, context: base.Context) -> state.Differences:
        wrong = dict(super().differences(context))
        for wanted in self.repositories:
            if wanted.key_url:
                path, reason = _look_at_key(wanted, context)
                if reason:
                    wrong[path] = [f'{path} {reason}']
        return wrong

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        # First: nothing is written when one cannot be had.
        for wanted in self.repositories:
            if wanted.key_url and _key_path(wanted, context) in parts:
                _put_key(wanted, context)
        message = super().change(context, record, parts)
        context.packages.index_is_stale()
        return message

    def commands(self, context: base.Context) -> Sequence[str]:
        return [f'write {file.path}' for file in self.files(context)]

    def argument_names(self) -> Sequence[str]:
        return [
            name
            for wanted in self.repositories
            for text in wanted.texts()
            for name in template.argument_names(text)
        ]

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
                    *filter(None, [wanted.key_url, wanted.fingerprints]),
                ]
                for wanted in self.repositories
                for item in [wanted.repository]
            ]
        }


def _repository(
    name: str, spec: Mapping[str, Any], builder: base.Builder
) -> Wanted:
    repository = distros.Repository(
        name=name,
        url=spec['url'],
        suites=_as_tuple(spec.get('suites', ())),
        components=_as_tuple(spec.get('components', ())),
        key=_key(spec, builder),
        trusted=spec.get('trusted', False),
        priority=spec.get('priority'),
    )
    wanted = Wanted(
        repository, spec.get('key_url', ''), spec.get('fingerprints', '')
    )
    if 'fingerprints' in spec and 'key_url' not in spec:
        builder.problem('it is nothing without "key_url"', 'fingerprints')
    for text in wanted.texts():
        template.check(text, builder)
    return wanted


def _as_tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _key(spec: Mapping[str, Any], builder: base.Builder) -> str:
    if len({'key', 'key_source', 'key_url'} & spec.keys()) > 1:
        builder.problem('"key", "key_source" and "key_url" exclude each other')
        return ''
    if 'key' in spec:
        if placeholders.names(spec['key']):
            return str(spec['key'])
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


# -- with the values of arguments ---------------------------------------------


def _rendered(
    repository: distros.Repository, context: base.Context
) -> distros.Repository:
    url = template.render(repository.url, context)
    if not _RENDERED_URL.fullmatch(url):
        raise exception.StepFailed(
            f'the URL of the repository "{repository.name}" is not one'
        )
    words: dict[str, Any] = {}
    for field, texts in (
        ('suites', repository.suites),
        ('components', repository.components),
    ):
        words[field] = tuple(
            word
            for text in texts
            for word in template.render(text, context).split()
        )
        if not all(map(_RENDERED_WORD.fullmatch, words[field])):
            raise exception.StepFailed(
                f'{field} of the repository "{repository.name}" are not of '
                'the accepted form'
            )
    key = template.render(repository.key, context)
    if key and key != repository.key:
        key = _checked(key.encode(), '', 'key').strip() + '\n'
    return dataclasses.replace(repository, url=url, key=key, **words)


#: Stands for a key that is not there yet.
_NO_KEY = b'\n'


def _files_with_key(
    repository: distros.Repository, context: base.Context
) -> Sequence[distros.ConfigFile]:
    named = dataclasses.replace(repository, key='\n')
    return context.distro.repository_files(named)


def _key_path(wanted: Wanted, context: base.Context) -> str:
    [path] = [
        file.path
        for file in _files_with_key(wanted.repository, context)
        if file.content == _NO_KEY
    ]
    return path


def _look_at_key(wanted: Wanted, context: base.Context) -> tuple[str, str]:
    """The file of a repository's key, and what is wrong with it."""
    path = _key_path(wanted, context)
    try:
        content = context.remote.read_file(path)
    except exception.RemoteFileNotFound:
        return path, 'is missing'
    accepted = template.render(wanted.fingerprints, context)
    try:
        found = openpgp.read(content)
    except openpgp.InvalidKeys as error:
        return path, f'is no signing key: {error}'
    if accepted and {key.fingerprint for key in found} - _words(accepted):
        return path, 'holds a key that is not accepted'
    return path, ''


def _put_key(wanted: Wanted, context: base.Context) -> None:
    """Fetch a repository's key, look at it, and write it.

    :raises StepFailed: it cannot be had, or it is another one.
    """
    name = wanted.repository.name
    url = template.render(wanted.key_url, context)
    accepted = template.render(wanted.fingerprints, context)
    if not _KEY_URL.fullmatch(url):
        raise exception.StepFailed(
            f'the address of the signing key of "{name}" is not a URL'
        )
    if url.startswith('http://') and not accepted:
        raise exception.StepFailed(
            f'a signing key from {url} needs fingerprints: anybody on the '
            'way could have replaced it'
        )
    source = url + _named(wanted.key_url)
    try:
        fetched = FETCH.run(context, url, str(_LARGEST))
    except exception.StepFailed as error:
        raise _not_fetched(source, error) from error
    try:
        content = base64.b64decode(fetched, validate=True)
    except binascii.Error:
        content = b''
    text = _checked(content, accepted, source)
    context.remote.write_file(_key_path(wanted, context), text.encode())


def _named(text: str) -> str:
    """The arguments of a text, as a part of a message."""
    names = template.argument_names(text)
    return f' (from the argument "{", ".join(names)}")' if names else ''


def _not_fetched(
    source: str, error: exception.StepFailed
) -> exception.StepFailed:
    # A file is missing, here or there, or a server does not answer; wget does
    # not say which.
    kind = (
        exception.StepFailed
        if source.startswith('file:')
        or _NOT_THERE.search(f'{error.reason}\n{error.output}')
        else distros.RepositoryUnreachable
    )
    return kind(
        f'the signing key {source} cannot be fetched: {error.reason}',
        command=error.command,
        command_exit_code=error.command_exit_code,
        output=error.output,
    )


def _checked(content: bytes, accepted: str, source: str) -> str:
    """Of a file of keys those that are accepted, armoured.

    :param accepted: fingerprints; '' for all.
    """
    if len(content) > _LARGEST:
        raise exception.StepFailed(f'the signing key {source} is too large')
    try:
        keys = openpgp.read(content)
    except openpgp.InvalidKeys as error:
        raise exception.StepFailed(
            f'{source} is not a signing key: {error}'
        ) from None
    if accepted:
        wanted = _words(accepted)
        found = ', '.join(key.fingerprint for key in keys[:6])
        keys = [key for key in keys if key.fingerprint in wanted]
        if not keys:
            raise exception.StepFailed(
                f'the signing key {source} is another one: its fingerprint '
                f'is {found}'
            )
    return openpgp.armoured(keys)


def _words(accepted: str) -> set[str]:
    words = set(accepted.upper().replace(',', ' ').split())
    if not all(map(_FINGERPRINT.fullmatch, words)):
        raise exception.StepFailed(
            'fingerprints of signing keys are 40 or 64 hexadecimal digits, '
            'separated by spaces'
        )
    return words
