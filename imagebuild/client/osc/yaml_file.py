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
"""YAML files of the user, read so that nothing is lost on the way as JSON.

The service reads a manifest strictly and remembers how a number was written.
What is sent as JSON must mean the same: ``1.10`` and ``0644`` are sent as
text, ``yes`` and dates too; a duplicate key is an error here, since the
service could not see it any more.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml
from osc_lib import exceptions as osc_exceptions

#: Bytes, as in the service.
MAX_BYTES = 4 * 1024 * 1024
#: Values after every alias has been expanded, as in the service.
MAX_NODES = 100_000

_MAP = 'tag:yaml.org,2002:map'
_BOOL = 'tag:yaml.org,2002:bool'
_KEPT = frozenset({'null', 'int', 'float', 'merge'})


class _Loader(yaml.SafeLoader):
    # Our own table: the class attribute is shared with yaml.SafeLoader.
    yaml_implicit_resolvers = {
        first: [
            (tag, regexp)
            for tag, regexp in resolvers
            if tag.rpartition(':')[2] in _KEPT
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def mapping(self, node: yaml.MappingNode) -> Iterator[dict[str, Any]]:
        result: dict[str, Any] = {}
        yield result
        own = {id(key) for key, _ in node.value}
        self.flatten_mapping(node)
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _wrong('a key must be plain text', key_node)
            key = str(key_node.value)
            if key in seen:
                raise _wrong(f'duplicate key "{key}"', key_node)
            if id(key_node) in own:
                seen.add(key)
            result[key] = self.construct_object(value_node, deep=True)

    def number(self, node: yaml.ScalarNode) -> int | float | str:
        """A number, if JSON writes it as the file does."""
        text = str(node.value)
        kind = int if node.tag.endswith(':int') else float
        try:
            number: int | float = kind(text)
        except ValueError:
            return text
        return number if str(number) == text else text

    def truth(self, node: yaml.ScalarNode) -> bool:
        return str(node.value).lower() == 'true'


def _wrong(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(
        None, None, problem, node.start_mark
    )


_Loader.add_implicit_resolver(
    _BOOL,
    re.compile('^(?:true|True|TRUE|false|False|FALSE)$'),
    list('tTfF'),
)
_Loader.add_constructor(_MAP, _Loader.mapping)
_Loader.add_constructor(_BOOL, _Loader.truth)
_Loader.add_constructor('tag:yaml.org,2002:int', _Loader.number)
_Loader.add_constructor('tag:yaml.org,2002:float', _Loader.number)


def parse(text: str) -> Any:
    """Read one YAML (or JSON) document.

    :raises ValueError: it is not one; the message has the line.
    """
    try:
        return _parsed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f'line {mark.line + 1}: ' if mark else ''
        raise ValueError(f'{where}{error.problem}') from None
    except yaml.YAMLError as error:
        raise ValueError(' '.join(str(error).split())) from None
    except RecursionError:
        raise ValueError('it is nested too deep') from None


def _parsed(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, set(), {}) > MAX_NODES:
            raise ValueError(f'it has more than {MAX_NODES} values')
        return loader.construct_document(node)
    finally:
        loader.dispose()


def load_mapping(path: pathlib.Path, what: str) -> dict[str, Any]:
    """Read a file that holds one mapping.

    :param what: what the file is, for the error.
    :raises CommandError: it cannot be read or is something else.
    """
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise ValueError(f'it is larger than {MAX_BYTES >> 20} MiB')
        found = parse(content.decode('utf-8-sig'))
        if not isinstance(found, dict):
            raise ValueError('it does not hold a mapping')
    except OSError as error:
        raise osc_exceptions.CommandError(
            f'The {what} {path} cannot be read: {error.strerror}.'
        ) from None
    except UnicodeDecodeError:
        raise osc_exceptions.CommandError(
            f'The {what} {path} is not UTF-8 text.'
        ) from None
    except ValueError as error:
        raise osc_exceptions.CommandError(
            f'The {what} {path} cannot be used: {error}.'
        ) from None
    return found


def _size(node: yaml.Node, above: set[int], known: dict[int, int]) -> int:
    """Count the values with every alias expanded."""
    if id(node) in above:
        raise _wrong('it contains itself', node)
    if id(node) not in known:
        total = 1
        if isinstance(node, yaml.CollectionNode):
            above.add(id(node))
            for child in node.value:
                for part in child if isinstance(child, tuple) else (child,):
                    total += _size(part, above, known)
            above.discard(id(node))
        known[id(node)] = total
    return known[id(node)]
