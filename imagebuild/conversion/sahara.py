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
"""Image manifests of OpenStack Sahara.

They run as they are. What is written is the same manifest in the words of
today's language: arguments as a mapping, properties of scripts as a mapping,
and no YAML that is read in two ways.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.common import strict_yaml
from imagebuild.conversion import draft
from imagebuild.conversion import values

_MAX_BYTES = 2 * 1024 * 1024
#: What plugins call theirs.
_PLUGINS = 'image.yaml'
_ROOT = frozenset({'validators', 'arguments', 'description', 'os', 'min_disk'})


def looks_like(text: str) -> bool:
    """Whether a text is a manifest."""
    try:
        data = strict_yaml.parse(text)
    except strict_yaml.InvalidYaml:
        return False
    return isinstance(data, dict) and 'validators' in data


def convert(
    content: bytes, directory: pathlib.Path, made: draft.Draft
) -> None:
    """Convert a manifest.

    :param content: of the file.
    :param directory: where its scripts are.
    :param made: is given steps, arguments and scripts.
    :raises InvalidInput: it is no YAML, or no manifest.
    """
    try:
        data = strict_yaml.parse(content)
    except strict_yaml.InvalidYaml as error:
        raise exception.InvalidInput(
            f'{made.name} is not YAML: {error}.'
        ) from None
    if not isinstance(data, dict) or not isinstance(
        data.get('validators'), list
    ):
        raise exception.InvalidInput(
            f'{made.name} has no list "validators" and is no manifest.'
        )
    for key in data.keys() - _ROOT:
        made.lose(key, 'a manifest has no such key')
    made.description = values.text(data.get('description') or '')
    made.root = {
        key: written(data[key]) for key in ('os', 'min_disk') if key in data
    }
    _arguments(data.get('arguments'), made)
    if made.arguments and made.name == _PLUGINS:
        # Their get_image_arguments() and pack_image(); not looked for, since
        # nothing outside of the directory of the file is read.
        made.remark(
            'arguments',
            'a plugin of Sahara can set other defaults, choices and values in '
            'Python; this has those of the file',
        )
    for where, item in values.each('validators', data['validators']):
        if not isinstance(item, dict) or len(item) != 1:
            made.lose(where, 'it is not one validator')
            continue
        made.add(_validator(item))
    for name in sorted(set(_resources(data['validators']))):
        _take(name, directory, made)


def written(value: Any) -> Any:
    """Numbers as they were written: 1.10 is the text "1.10"."""
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [written(item) for item in value]
    if isinstance(value, strict_yaml.WrittenInt):
        return int(value) if str(int(value)) == value.text else value.text
    if isinstance(value, strict_yaml.WrittenFloat):
        return value.text
    return value


def _arguments(value: Any, made: draft.Draft) -> None:
    if value is None:
        return
    for where, item in values.each(
        'arguments', [value] if isinstance(value, dict) else value
    ):
        if not isinstance(item, dict):
            made.lose(where, 'it is not a mapping')
            continue
        # The older form has properties beside the name.
        if len(item) > 1 and isinstance(value, list):
            [name, *_] = item
            item = {
                name: item[name]
                or {key: one for key, one in item.items() if key != name}
            }
        for name, properties in item.items():
            made.arguments[name] = written(properties or {})


def _validator(item: Mapping[str, Any]) -> dict[str, Any]:
    [(kind, value)] = item.items()
    if kind in ('any', 'all') and isinstance(value, list):
        value = [_inner(one) for one in value]
    elif kind == 'os_case' and isinstance(value, list):
        value = [_branches(one) for one in value]
    elif kind == 'argument_case' and isinstance(value, dict):
        value = {**value, 'cases': _branches(value.get('cases'))}
    elif kind == 'script' and isinstance(value, dict):
        value = {name: _merged(one) for name, one in value.items()}
    return {kind: written(value)}


def _inner(item: Any) -> Any:
    if isinstance(item, dict) and len(item) == 1:
        return _validator(item)
    return written(item)


def _branches(value: Any) -> Any:
    if not isinstance(value, dict):
        return written(value)
    return {
        key: [_inner(one) for one in branch]
        if isinstance(branch, list)
        else written(branch)
        for key, branch in value.items()
    }


def _merged(value: Any) -> Any:
    """The documented form of properties, a list, as a mapping."""
    if not isinstance(value, list):
        return value
    merged: dict[str, Any] = {}
    for one in value:
        if not isinstance(one, dict) or merged.keys() & one.keys():
            return value
        merged |= one
    return merged


def _resources(value: Any) -> Iterator[str]:
    """The names of all files that are referred to."""
    if isinstance(value, list):
        for item in value:
            yield from _resources(item)
    elif isinstance(value, dict):
        for kind, item in value.items():
            if kind in ('script', 'copy_script'):
                yield from _scripts(item)
            else:
                yield from _resources(item)


def _scripts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, properties in value.items():
            found = _merged(properties) or {}
            if not (isinstance(found, dict) and 'inline' in found):
                yield name


def _take(name: str, directory: pathlib.Path, made: draft.Draft) -> None:
    try:
        made.resources[name] = read_below(directory, name)
    except draft.Malformed as error:
        made.lose(name, str(error))


def read_below(
    directory: pathlib.Path, name: str, limit: int = _MAX_BYTES
) -> bytes:
    """Read a file that a file of somebody else's names.

    :raises Malformed: it is not below the directory, also not by a link, or
        cannot be read.
    """
    try:
        root = directory.resolve()
        path = (directory / name).resolve()
        if not path.is_relative_to(root):
            raise draft.Malformed(f'it is not below {directory}')
        if not path.is_file():
            raise draft.Malformed('there is no such file')
        if path.stat().st_size > limit:
            raise draft.Malformed(f'it has more than {limit} bytes')
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, draft.Malformed):
            raise
        reason = getattr(error, 'strerror', None) or str(error)
        raise draft.Malformed(f'it cannot be read: {reason}') from None


def files_below(
    directory: pathlib.Path, name: str
) -> Iterator[tuple[str, os.stat_result]]:
    """Names and states of the files of a tree, sorted; links not followed."""
    for path in sorted((directory / name).rglob('*')):
        yield str(path.relative_to(directory)), path.lstat()
