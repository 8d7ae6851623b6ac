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
"""YAML as the language of manifests has it: strict and faithful.

The safe loader, with these rules:

* a duplicate key is an error (PyYAML silently keeps the last value);
* keys are text, whatever they look like (``cases: {8: ..., true: ...}``);
* ``yes``, ``no``, ``on``, ``off`` and dates are text, as in YAML 1.2; only
  ``true`` and ``false`` are booleans;
* a number remembers how it was written, so that ``default: 1.10`` is the
  text ``1.10`` and ``mode: 0644`` can be read as octal;
* depth, size and what aliases expand to are bounded, so that a few hundred
  bytes cannot fill the memory.

The engine reads manifests with it, and the client the files that it sends to
the service: both find the same in a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

#: Bytes of a manifest. The largest published one has 9 KB.
MAX_BYTES = 4 * 1024 * 1024
#: Levels of nesting. Published manifests use up to 12.
MAX_DEPTH = 64
#: Values after every alias has been expanded.
MAX_NODES = 100_000


class InvalidYaml(ValueError):
    """It is not YAML or breaks a rule; the text names line and column."""


class WrittenInt(int):
    """An integer that remembers how it was written."""

    text: str


class WrittenFloat(float):
    """A float that remembers how it was written."""

    text: str


class _Loader(yaml.SafeLoader):
    """SafeLoader with the rules of the module's docstring."""

    # Our own table: the class attribute is shared with yaml.SafeLoader.
    yaml_implicit_resolvers = {
        first: [
            (tag, regexp)
            for tag, regexp in resolvers
            if tag
            not in (
                'tag:yaml.org,2002:bool',
                'tag:yaml.org,2002:timestamp',
                # "=" alone: PyYAML knows the type and cannot make one.
                'tag:yaml.org,2002:value',
            )
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    # Nor is a set, a date or bytes anything that a manifest can hold.
    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(':')[2] in ('null', 'str', 'seq')
    }

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, 'a key must be plain text', node.start_mark
            )
        return str(node.value)

    def mapping(self, node: yaml.MappingNode) -> Iterator[dict[str, Any]]:
        # Handed out before it is filled, as PyYAML's own does: what refers to
        # this node by an alias gets this very object.
        result: dict[str, Any] = {}
        yield result
        if not isinstance(node, yaml.MappingNode):  # "!!map [...]"
            raise yaml.constructor.ConstructorError(
                None, None, 'it is not a mapping', node.start_mark
            )
        # What "<<" merges may be written again, and stands first then.
        own = {id(key_node) for key_node, _ in node.value}
        self.flatten_mapping(node)
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = self.key(key_node)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f'duplicate key "{key}"',
                    key_node.start_mark,
                )
            if id(key_node) in own:
                seen.add(key)
            result[key] = self.construct_object(value_node, deep=True)

    def written_int(self, node: yaml.ScalarNode) -> Any:
        try:
            number = WrittenInt(self.construct_yaml_int(node))
        except (ValueError, IndexError):
            # "0o9", "_", or more digits than int() takes
            return str(node.value)
        # Its text may differ: 0644, 0x1f, 1_000.
        number.text = str(node.value)
        return number

    def written_float(self, node: yaml.ScalarNode) -> Any:
        try:
            number = WrittenFloat(self.construct_yaml_float(node))
        except (ValueError, IndexError, OverflowError):
            return str(node.value)
        # .inf and .nan, which JSON does not have.
        if not math.isfinite(number):
            return str(node.value)
        number.text = str(node.value)
        return number

    def truth(self, node: yaml.ScalarNode) -> bool:
        text = self.construct_scalar(node).lower()
        if text not in ('true', 'false'):  # "!!bool maybe"
            raise yaml.constructor.ConstructorError(
                None, None, 'it is neither true nor false', node.start_mark
            )
        return text == 'true'


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:bool',
    re.compile('^(?:true|True|TRUE|false|False|FALSE)$'),
    list('tTfF'),
)
_Loader.add_constructor('tag:yaml.org,2002:map', _Loader.mapping)
_Loader.add_constructor('tag:yaml.org,2002:bool', _Loader.truth)
_Loader.add_constructor('tag:yaml.org,2002:int', _Loader.written_int)
_Loader.add_constructor('tag:yaml.org,2002:float', _Loader.written_float)


def parse(text: str | bytes) -> Any:
    """Read one YAML document.

    :param text: the document; bytes are taken as UTF-8.
    :returns: dict, list, str, :class:`WrittenInt`, :class:`WrittenFloat`,
        bool or None.
    :raises InvalidYaml: it is not YAML, or breaks a rule above.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode('utf-8-sig')
        except UnicodeDecodeError as error:
            raise InvalidYaml(
                f'it is not UTF-8 text (byte {error.start})'
            ) from None
    if len(text) > MAX_BYTES:
        raise InvalidYaml(f'it is larger than {MAX_BYTES // 1024 // 1024} MiB')
    try:
        _check_depth(text)
        return _construct(text)
    except InvalidYaml:
        raise
    except yaml.MarkedYAMLError as error:
        raise InvalidYaml(_message(error)) from None
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:
        # PyYAML's own code raises the latter three for some numbers, tags
        # and depths.
        raise InvalidYaml(_one_line(str(error))) from None


def check_limits(text: str) -> None:
    """Refuse a document that is too large, whoever reads it afterwards.

    For YAML of other programs, which does not follow the rules above but can
    fill the memory as well.

    :raises InvalidYaml: it is no YAML, or larger than the limits above.
    """
    if len(text) > MAX_BYTES:
        raise InvalidYaml(f'it is larger than {MAX_BYTES // 1024 // 1024} MiB')
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _count(root)
    except yaml.MarkedYAMLError as error:
        raise InvalidYaml(_message(error)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidYaml(_one_line(str(error))) from None


def _construct(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    # Before composing: PyYAML's composer recurses and would overflow.
    depth = 0
    nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        if nodes > MAX_NODES:
            raise InvalidYaml(f'it has more than {MAX_NODES} values')
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidYaml(
                    f'line {_line(event.start_mark)}: it is nested '
                    f'more than {MAX_DEPTH} levels deep'
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _count(root: yaml.Node) -> None:
    """Refuse a document that refers to itself or expands too far."""
    measured: dict[int, tuple[int, int]] = {}
    open_nodes: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        """Values and levels, with every alias expanded."""
        if id(node) in open_nodes:
            raise InvalidYaml(
                f'line {_line(node.start_mark)}: it contains itself'
            )
        # Each node is measured once, however often aliases name it: that is
        # what makes a small document with large expansion cheap to refuse.
        if id(node) in measured:
            return measured[id(node)]
        total = 1
        depth = 0
        if isinstance(node, yaml.CollectionNode):
            open_nodes.add(id(node))
            for child in node.value:
                for part in child if isinstance(child, tuple) else (child,):
                    values, levels = measure(part)
                    total += values
                    depth = max(depth, levels)
            open_nodes.discard(id(node))
            depth += 1
        elif not is_text(node.value):
            raise InvalidYaml(
                f'line {_line(node.start_mark)}: it holds invalid Unicode '
                '(a lone surrogate)'
            )
        if total > MAX_NODES:
            raise InvalidYaml(f'it has more than {MAX_NODES} values')
        if depth > MAX_DEPTH:
            raise InvalidYaml(
                f'line {_line(node.start_mark)}: its aliases are nested '
                f'more than {MAX_DEPTH} levels deep'
            )
        measured[id(node)] = total, depth
        return total, depth

    measure(root)


def is_text(text: str) -> bool:
    """Whether it is valid Unicode: a lone surrogate cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line(mark: Any) -> int:
    return int(mark.line) + 1


def _message(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or 'it is not YAML'
    if mark is None:
        return _one_line(what)
    return f'line {mark.line + 1}, column {mark.column + 1}: ' + _one_line(
        what
    )


def _one_line(text: str) -> str:
    return ' '.join(text.split())[:200] or 'it is not YAML'
