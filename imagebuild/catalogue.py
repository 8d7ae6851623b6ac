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
"""The operating systems that an operator offers: operating-systems.yaml.

::

    debian-12:
      description: Debian 12
      image: {name: debian-12-base}
    debian-12-minimal:
      driver: bootstrap
      driver_options: {os: debian-12, minimal: true}

Only the API reads the file. The entry that a request names goes to the
conductor that checks the request, and what came of it is stored with the
build. The file is read whole or not at all: a caller that reloads it keeps
what it has when this raises.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.common import release
from imagebuild.common import urls
from imagebuild.exception import Problem
from imagebuild.manifest import document

DEFAULT_ARCHITECTURE = 'x86_64'
DEFAULT_DRIVER = 'guestfs'

_SHIPPED = pathlib.PurePath('etc', 'imagebuild', 'operating-systems.yaml')

#: How an image may be named; exactly one of them.
IMAGE_KINDS = ('id', 'name', 'tag', 'url', 'path')

_NAME: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z0-9][A-Za-z0-9._+-]*$(?!\n)',
    'maxLength': 255,
    'x-message': 'is not a name (letters, digits, ".", "_", "+" and "-")',
}
_TEXT: Mapping[str, Any] = {'type': 'string', 'minLength': 1}
_CHECKSUM: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$(?!\n)',
    'x-message': 'is not a checksum, such as sha256:<64 digits of 0-9a-f>',
}
#: A URL, or what it is relative to the one before.
_REFERENCE: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^(?:https?://[^\s/]+/\S+|[A-Za-z0-9][^\s:]*)$(?!\n)',
    'x-message': 'is not an http or https URL, nor relative to one',
}
_PATH: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^/.',
    'x-message': 'is not an absolute path',
}
_IMAGE: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'properties': {
        'id': _TEXT,
        'name': _TEXT,
        'tag': _TEXT,
        'url': {
            'type': 'string',
            'pattern': r'^https?://[^\s/]+/\S+$(?!\n)',
            'x-message': 'is not an http or https URL of a file',
        },
        'path': _PATH,
        'checksum': _CHECKSUM,
        'checksum_file': _REFERENCE,
        'signature': _REFERENCE,
        'keyring': {
            'anyOf': [
                _PATH,
                {
                    'type': 'array',
                    'items': _PATH,
                    'minItems': 1,
                    'maxItems': 16,
                },
            ],
            'x-message': 'is not an absolute path, nor a list of those',
        },
    },
}
_ENTRY: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'properties': {
        'description': {'type': 'string'},
        'architecture': _NAME,
        'driver': _NAME,
        'driver_options': {'type': 'object'},
        'image': _IMAGE,
        'min_disk': {
            'type': 'integer',
            'minimum': 0,
            'x-message': 'is not an integer (GiB)',
        },
    },
}
_FILE: Mapping[str, Any] = {
    'type': ['object', 'null'],
    'propertyNames': _NAME,
    'additionalProperties': {'anyOf': [{'type': 'null'}, _ENTRY]},
}


class InvalidCatalogue(exception.InvalidManifest):
    """operating-systems.yaml breaks its rules; with every problem."""

    subject = 'The catalogue of operating systems is not valid'


@dataclasses.dataclass(frozen=True)
class OperatingSystem:
    """One operating system that can be asked for.

    :ivar name: what requests call it.
    :ivar description: a short text for people, '' if none was written.
    :ivar architecture: of the machines that it runs on.
    :ivar driver: name of the driver that makes or opens its disk.
    :ivar driver_options: what is handed to the driver; a request's own
        options are laid over them.
    :ivar image: the base image: one of ``id``, ``name`` and ``tag`` (of
        the image service), ``url`` and ``path``, with ``checksum``
        (``sha256:...``) for the last two, or for a ``url`` the
        ``checksum_file`` that has it, with ``signature`` and ``keyring``
        (a path or a list of those); empty for drivers that start from
        nothing.
    :ivar min_disk: GiB that the disk has at least, 0 for no matter.
    """

    name: str
    description: str = ''
    architecture: str = DEFAULT_ARCHITECTURE
    driver: str = DEFAULT_DRIVER
    driver_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    min_disk: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingSystem:
        """Read what :meth:`to_dict` of any release made.

        What a newer one adds is left out.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{name: value for name, value in values.items() if name in names}
        )

    def to_dict(self) -> dict[str, Any]:
        """The form that is sent: plain JSON."""
        return dataclasses.asdict(self)


class Catalogue:
    """Every operating system of one file, in the order written."""

    def __init__(self, entries: Mapping[str, OperatingSystem]) -> None:
        self._entries = dict(entries)

    def get(self, name: str) -> OperatingSystem | None:
        """Return one, None when there is none of that name."""
        return self._entries.get(name)

    def names(self) -> list[str]:
        """Return the names, in the order written."""
        return list(self._entries)

    def __iter__(self) -> Iterator[OperatingSystem]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


def shipped() -> pathlib.Path | None:
    """The catalogue that comes with imagebuild.

    :returns: where it is, of a checkout or of what was installed; None if it
        was left out.
    """
    found = pathlib.Path(__file__).parents[1] / _SHIPPED
    if found.is_file():
        return found
    try:
        files = metadata.files(release.DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.parts[-len(_SHIPPED.parts) :] == _SHIPPED.parts:
            found = pathlib.Path(os.path.normpath(file.locate()))
            return found if found.is_file() else None
    return None


def load(path: str | os.PathLike[str]) -> Catalogue:
    """Read a catalogue.

    :param path: the file.
    :raises InvalidManifest: every problem at once, each with its path in
        the file (:class:`InvalidCatalogue`).
    """
    try:
        data = document.parse(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise InvalidCatalogue(
            [Problem('', f'{path} cannot be read: {error.strerror}')]
        ) from error
    except exception.InvalidManifest as error:
        raise InvalidCatalogue(error.errors) from error
    problems = json_schema.check(data, _FILE, '')
    if not problems:
        for name, entry in (data or {}).items():
            problems.extend(_check_image(name, entry or {}))
    if problems:
        raise InvalidCatalogue(problems)
    return Catalogue(
        {
            name: OperatingSystem(name, **(entry or {}))
            for name, entry in (data or {}).items()
        }
    )


def _check_image(name: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    if 'image' not in entry:
        return
    image = entry['image']
    path = json_schema.join('', name, 'image')
    if sum(kind in image for kind in IMAGE_KINDS) != 1:
        yield Problem(
            path, f'exactly one of {", ".join(IMAGE_KINDS)} is needed'
        )
    if 'url' in image and not {'checksum', 'checksum_file'} & set(image):
        yield Problem(
            path,
            'a "url" needs a "checksum", such as sha256:..., or a '
            '"checksum_file"',
        )
    for key in ('url', 'checksum_file', 'signature'):
        value = image.get(key, '')
        if '://' in value and (problem := urls.problem_of(value)):
            yield Problem(json_schema.join(path, key), problem)
    yield from _check_list(path, image)
    if 'checksum' in image and not {'url', 'path'} & set(image):
        yield Problem(
            json_schema.join(path, 'checksum'),
            'only a "url" or a "path" has one; the image service knows '
            'those of its own images',
        )


def _check_list(path: str, image: Mapping[str, Any]) -> Iterator[Problem]:
    if 'checksum_file' in image and 'url' not in image:
        yield Problem(
            json_schema.join(path, 'checksum_file'), 'only a "url" has one'
        )
    if {'checksum', 'checksum_file'} <= set(image):
        yield Problem(
            json_schema.join(path, 'checksum_file'),
            'the image has a "checksum" already',
        )
    if 'keyring' in image and 'checksum_file' not in image:
        yield Problem(
            json_schema.join(path, 'keyring'),
            'only a "checksum_file" is signed',
        )
    if 'signature' in image and 'keyring' not in image:
        yield Problem(
            json_schema.join(path, 'signature'),
            'a "keyring" is needed to look at it',
        )
    name = image.get('url', '').rpartition('/')[2]
    if '*' in name and 'checksum_file' not in image:
        yield Problem(
            json_schema.join(path, 'url'), 'only with a "checksum_file" it '
            'can hold "*"'
        )  # fmt: skip
