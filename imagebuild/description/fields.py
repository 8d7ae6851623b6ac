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
"""``packages``, ``pip_packages`` and ``files`` of a request, as steps."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.exception import Problem
from imagebuild.manifest import resource_files
from imagebuild.manifest import validators
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import file
from imagebuild.manifest.validators import package
from imagebuild.manifest.validators import pip
from imagebuild.manifest.validators import target_files

#: Entries of one list.
MAX_ITEMS = 1000
#: Bytes of one file; it travels to the guest in one message.
MAX_FILE = resource_files.MAX_BYTES
#: Bytes of all files of a request.
MAX_FILES = 16 * 1024 * 1024

_MIB = 1024 * 1024
_CONTENTS = ('content', 'content_base64')

_PACKAGES: Mapping[str, Any] = {
    'title': 'a list of packages',
    'type': 'array',
    'items': package.ONE,
}
_PIP_PACKAGES: Mapping[str, Any] = {
    'title': 'a list of requirements',
    'type': 'array',
    'items': {'type': 'string', 'minLength': 1},
}
_FILES: Mapping[str, Any] = {
    'title': 'a list of files',
    'type': 'array',
    'items': {
        'title': 'a file',
        'type': 'object',
        'additionalProperties': False,
        'required': ['path'],
        'properties': {
            'path': {'type': 'string', 'minLength': 1, 'maxLength': 4096},
            'content': {'type': 'string'},
            **{
                name: file.PROPERTIES['properties'][name]
                for name in ('content_base64', 'mode', 'owner', 'group')
            },
        },
    },
}


class FilesValidator(file.FileValidator):
    """The files of a request: one step, so that they are looked at once.

    A file that cannot be written is named by its place in the request.

    :ivar places: path of a file to its place.
    """

    places: Mapping[str, str]

    def put(
        self, context: base.Context, file: target_files.TargetFile
    ) -> None:
        try:
            super().put(context, file)
        except exception.StepError as error:
            raise exception.StepFailed(
                str(error), path=self.places[file.path]
            ) from error


def steps(
    request: Mapping[str, Any], problems: list[Problem]
) -> list[base.Validator]:
    """Read the three lists.

    :param request: plain values.
    :param problems: what is wrong is added here.
    :returns: the steps, those without a mistake.
    """
    builder = base.Builder(
        '',
        resources=resource_files.Resources(),
        arguments={},
        types=validators.types(),
        problems=problems,
        outputs=set(),
    )
    readers: Mapping[
        str, tuple[Mapping[str, Any], Callable[..., base.Validator]]
    ] = {
        'packages': (_PACKAGES, _packages),
        'pip_packages': (_PIP_PACKAGES, pip.PipValidator.from_spec),
        'files': (_FILES, _files),
    }
    found = []
    for name, (form, read) in readers.items():
        given = request.get(name)
        if given is None or given == []:
            continue
        wrong = _check_length(given, name) or json_schema.check(
            given, form, name
        )
        problems.extend(wrong)
        if not wrong:
            step = read(given, builder.at(name))
            step.boundary = True
            found.append(step)
    return found


def _check_length(given: Any, name: str) -> list[Problem]:
    if isinstance(given, list) and len(given) > MAX_ITEMS:
        return [Problem(name, f'it has more than {MAX_ITEMS} entries')]
    return []


def _packages(
    spec: Sequence[Any], builder: base.Builder
) -> package.PackageValidator:
    made = package.PackageValidator.from_spec(spec, builder)
    # One transaction: their order means nothing, so the key is not to
    # depend on it.
    return package.PackageValidator(made.path, sorted(made.wanted, key=str))


def _files(
    spec: Sequence[Mapping[str, Any]], builder: base.Builder
) -> FilesValidator:
    places: dict[str, str] = {}
    wanted = []
    for index, properties in enumerate(spec):
        inner = builder.at(index)
        path = properties['path']
        file.check_path(path, inner.at('path'))
        if path in places:
            inner.problem(f'duplicate of {places[path]}', 'path')
        places.setdefault(path, inner.path)
        wanted.append(_file(path, properties, inner))
    if sum(len(item.file.content or b'') for item in wanted) > MAX_FILES:
        builder.problem(
            f'together they are larger than {MAX_FILES // _MIB} MiB'
        )
    made = FilesValidator(
        builder.path, sorted(wanted, key=lambda item: item.file.path)
    )
    made.places = places
    return made


def _file(
    path: str, properties: Mapping[str, Any], builder: base.Builder
) -> file.Wanted:
    rest = {key: item for key, item in properties.items() if key != 'path'}
    given = [key for key in _CONTENTS if key in rest]
    if len(given) != 1:
        builder.problem(
            'exactly one of "content" and "content_base64" is needed'
        )
        for key in given:
            del rest[key]
        rest['content'] = ''
    wanted = file.read(path, rest, builder)
    if len(wanted.file.content or b'') > MAX_FILE:
        builder.problem(f'it is larger than {MAX_FILE // _MIB} MiB', *given)
    return wanted
