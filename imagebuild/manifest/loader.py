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
"""From text to a :class:`Manifest`, or to every reason why not."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import element_names
from imagebuild.common import json_schema
from imagebuild.common import strict_yaml
from imagebuild.manifest import arguments
from imagebuild.manifest import document
from imagebuild.manifest import manifests
from imagebuild.manifest import resource_files
from imagebuild.manifest import validators
from imagebuild.manifest.validators import base

_ROOT: Mapping[str, Any] = {
    'type': 'object',
    'required': ['validators'],
    'additionalProperties': False,
    'properties': {
        'validators': {'maxItems': json_schema.MANY},
        'arguments': {},
        'description': {'type': ['string', 'null']},
        'os': {
            'type': 'array',
            'maxItems': json_schema.MANY,
            'minItems': 1,
            'items': {'type': 'string', 'minLength': 1},
        },
        'min_disk': {
            'type': 'integer',
            'minimum': 0,
            'x-message': 'is not an integer (GiB)',
        },
        'elements': element_names.SCHEMA,
    },
}


def load(
    source: str | bytes | os.PathLike[str] | Mapping[str, Any],
    resource_roots: Sequence[str | os.PathLike[str]] | None = None,
    *,
    resources: (
        Mapping[str, str | bytes] | resource_files.Resources | None
    ) = None,
    path: str = '',
) -> manifests.Manifest:
    """Load a manifest and check everything that can be checked without a
    system.

    :param source: a path; or the text (anything with a newline, or bytes);
        or a mapping that has been read already.
    :param resource_roots: directories in which scripts are looked up; the
        manifest's own directory by default, none for a text.
    :param resources: name to content of scripts that came along; looked up
        before the directories. Or the one place to look them up in: no
        directory is searched then.
    :param path: where the manifest stands in a larger document; every path
        in problems, steps and reports begins with it.
    :returns: a manifest that can be run.
    :raises InvalidManifest: with every problem in ``.errors``; nothing was
        opened but the manifest and its resources.
    """
    content, directory = _read(source)
    roots = [directory] if directory is not None else []
    if resource_roots is not None:
        roots = [pathlib.Path(root) for root in resource_roots]
    problems: list[exception.Problem] = []
    for root in roots:
        if not root.is_dir():
            problems.append(
                exception.Problem(
                    '', f'the resource root {root} is not a directory'
                )
            )
    try:
        data = (
            document.parse(content)
            if isinstance(content, str | bytes)
            else document.plain(content)
        )
    except exception.InvalidManifest as error:
        raise exception.InvalidManifest(
            exception.Problem(path, problem.message)
            for problem in error.errors
        ) from None
    if not isinstance(resources, resource_files.Resources):
        resources = resource_files.Resources(roots, resources)
    return _build(data, resources, problems, path)


def _read(
    source: str | bytes | os.PathLike[str] | Mapping[str, Any],
) -> tuple[str | bytes | Mapping[str, Any], pathlib.Path | None]:
    if isinstance(source, bytes | Mapping):
        return source, None
    if isinstance(source, str) and '\n' in source:
        return source, None
    path = pathlib.Path(source)
    try:
        size = path.stat().st_size
        if size > strict_yaml.MAX_BYTES:
            raise exception.InvalidManifest(
                [exception.Problem('', f'{path} is larger than 4 MiB')]
            )
        return path.read_bytes(), path.parent
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or str(error)
        raise exception.InvalidManifest(
            [exception.Problem('', f'{path} cannot be read: {reason}')]
        ) from None


def _build(
    data: Any,
    resources: resource_files.Resources,
    problems: list[exception.Problem],
    path: str,
) -> manifests.Manifest:
    problems += json_schema.check(data, _ROOT, path)
    if not isinstance(data, dict):
        raise exception.InvalidManifest(
            [exception.Problem(path, 'it is not a mapping')]
        )
    declared = arguments.from_spec(
        data.get('arguments'), problems, json_schema.join(path, 'arguments')
    )
    builder = base.Builder(
        json_schema.join(path, 'validators'),
        resources=resources,
        arguments={argument.name: argument for argument in declared},
        types=validators.types(),
        problems=problems,
        outputs=set(),
    )
    steps = (
        builder.validators(data['validators']) if 'validators' in data else []
    )
    # Files that were included may have declared more.
    declared = tuple(builder.arguments.values())
    if builder.included:
        problems += arguments.check(
            declared, json_schema.join(path, 'arguments')
        )
    names = base.Names.of(declared, builder.outputs)
    for step in base.walk(steps):
        problems.extend(step.check_names(names))
    if problems:
        raise exception.InvalidManifest(dict.fromkeys(problems))
    return manifests.Manifest(
        steps,
        declared,
        description=data.get('description') or '',
        os=data.get('os') or (),
        min_disk=data.get('min_disk') or 0,
        elements=data.get('elements') or (),
    )
