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
"""``--manifest FILE``: a manifest and the files that it names.

The service has none of the user's files, so those that a manifest names are
sent with it, as ``resources``. Only files in the manifest's own directory
are read: a manifest from elsewhere cannot make this program send the user's
keys.
What a manifest may hold is checked by the service; here only names of files
are looked for, in the validators that have some.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from osc_lib import exceptions

from imagebuild.client.osc import yaml_file

#: Bytes of one file, as in the service.
MAX_BYTES = 2 * 1024 * 1024


class IncludedName(str):
    """The name of a file that may name further ones."""

    __slots__ = ()


def load(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a manifest and what it names.

    :returns: the manifest; name to content of the files.
    :raises CommandError: with every file that cannot be read.
    """
    manifest = yaml_file.load_mapping(path, 'manifest')
    texts: dict[str, str] = {}
    problems: list[str] = []
    waiting = [*names(manifest.get('validators'))]
    while waiting:
        name = waiting.pop(0)
        if name in texts:
            continue
        try:
            texts[str(name)] = _read(path.parent, name)
            if isinstance(name, IncludedName):
                waiting.extend(_names_in(texts[name]))
        except ValueError as error:
            problems.append(f'"{name}" {error}')
    if problems:
        title = (
            f'Files that the manifest {path} names; a script without '
            '"inline" is one, beside it:'
        )
        raise exceptions.CommandError('\n  '.join([title, *problems]))
    return manifest, texts


def names(validators: Any) -> Iterator[str]:
    """Find the names of files in a list of validators."""
    for item in validators if isinstance(validators, list) else ():
        for kind, spec in item.items() if isinstance(item, dict) else ():
            yield from _named(kind, spec)


def _names_in(text: str) -> Iterator[str]:
    """The files that an included one names.

    The service says what is wrong with it.
    """
    try:
        content = yaml_file.parse(text)
    except ValueError:
        return
    if isinstance(content, dict):
        yield from names(content.get('validators'))


def _named(kind: str, spec: Any) -> Iterator[str]:
    inner = spec.values() if isinstance(spec, dict) else ()
    match kind:
        case 'script' | 'copy_script':
            yield from _scripts(spec)
        case 'file' | 'repository' | 'configuration':
            key = 'key_source' if kind == 'repository' else 'source'
            for one in inner:
                if isinstance(one, dict) and isinstance(one.get(key), str):
                    yield one[key]
            if kind == 'configuration':
                yield from _listed(inner, 'files')
        case 'ssh_key':
            yield from _listed(inner, 'key_sources')
        case 'include' if isinstance(spec, str):
            yield IncludedName(spec)
        case 'all' | 'any':
            yield from names(spec)
        case 'os_case':
            for branch in spec if isinstance(spec, list) else ():
                if isinstance(branch, dict):
                    for validators in branch.values():
                        yield from names(validators)
        case 'argument_case' if isinstance(spec, dict):
            cases = spec.get('cases')
            for validators in (
                cases.values() if isinstance(cases, dict) else ()
            ):
                yield from names(validators)
            yield from names(spec.get('default'))


def _listed(inner: Iterable[Any], key: str) -> Iterator[str]:
    for one in inner:
        found = one.get(key) if isinstance(one, dict) else ()
        for name in found if isinstance(found, list) else ():
            if isinstance(name, str):
                yield name


def _scripts(spec: Any) -> Iterator[str]:
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, dict):
        for name, properties in spec.items():
            parts = (
                properties if isinstance(properties, list) else [properties]
            )
            if not any(
                isinstance(part, dict) and 'inline' in part for part in parts
            ):
                yield name


def _read(directory: pathlib.Path, name: str) -> str:
    """Return a file's text.

    :raises ValueError: it cannot be read; the message follows the name.
    """
    root = directory.resolve()
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise ValueError("lies outside the manifest's directory")
        if not path.exists():
            raise ValueError('is not there')
        if not path.is_file():
            raise ValueError('is not a regular file')
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f'is larger than {MAX_BYTES >> 20} MiB')
        return path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f'cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise ValueError('is not UTF-8 text') from None
