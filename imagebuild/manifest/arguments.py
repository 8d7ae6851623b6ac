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
"""The arguments of a manifest: what they may be and what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import control_characters
from imagebuild.common import json_schema
from imagebuild.manifest import argument_types
from imagebuild.manifest import document
from imagebuild.manifest import hiding

#: Names that the language keeps for options of the programs: imagebuild-pack
#: makes an option of each argument. They belong to the language, not to the
#: program, since a manifest has to be valid or not wherever it is read; a
#: test compares them with the programs' parsers.
RESERVED_NAMES = frozenset(
    {
        'accelerator', 'accept-new', 'allow-host-network', 'arguments-file',
        'ask-passphrase', 'ask-password', 'ask-sudo-password', 'backing-file',
        'base',
        'base-checksum', 'base-checksum-file', 'base-keyring',
        'base-signature', 'cache', 'command-timeout', 'config-file',
        'connect-timeout', 'copy-in',
        'cpus', 'debug', 'force', 'generalize', 'h', 'help',
        'host', 'identity', 'image', 'inventory', 'isolation', 'json', 'jump',
        'keep-cache', 'known-hosts', 'manifest', 'memory', 'no-network',
        'no-signature', 'os-cloud', 'output', 'parallel', 'passphrase-file',
        'password-file', 'plan', 'recipe-path', 'reconcile', 'resource-root',
        'root-filesystem', 'sbom', 'sparsify', 'sudo-password-file',
        'test-only', 'timeout', 'verbose', 'version',
    }
)  # fmt: skip

#: Names that every script is given; an argument may not hide them.
RESERVED = frozenset(
    {'distro', 'distro_family', 'distro_release', 'reconcile', 'test_only'}
)

#: Variables that decide what a program loads or how a shell starts.
FORBIDDEN_VARIABLES = frozenset({'PATH', 'IFS', 'ENV', 'BASH_ENV', 'HOME'})

#: Characters of a value that a message repeats.
_SHOWN = 100

# yes and no arrive as text: the language reads YAML as version 1.2 does.
_BOOLEAN: Mapping[str, Any] = {
    'enum': [True, False, 'yes', 'no', 'on', 'off', 'Yes', 'No'],
}

_ONE: Mapping[str, Any] = {
    'type': ['object', 'null'],
    'additionalProperties': False,
    'properties': {
        'description': {'type': ['string', 'null']},
        'default': json_schema.SCALAR,
        'required': _BOOLEAN,
        'choices': {
            'type': 'array',
            'maxItems': json_schema.MANY,
            'items': json_schema.SCALAR,
            'minItems': 1,
        },
        'target_variable': json_schema.VARIABLE,
        'hidden': _BOOLEAN,
        'type': {'enum': list(argument_types.NAMES)},
    },
}


@dataclasses.dataclass(frozen=True)
class Argument:
    """One declared argument.

    :ivar name: as users type it.
    :ivar description: a short text for help, '' if none was written.
    :ivar default: its value when none is given; None when there is none.
    :ivar required: whether a value must be given.
    :ivar choices: the accepted values, empty when any is.
    :ivar target_variable: a second name under which scripts see the value.
    :ivar hidden: its value is a secret and it is left out of help.
    :ivar type: what the text must look like, one of
        :data:`argument_types.NAMES`.
    """

    name: str
    description: str = ''
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    target_variable: str | None = None
    hidden: bool = False
    type: str = 'string'

    def error(self, value: str) -> str | None:
        """Check a value.

        :returns: the end of a message, None when the value is fine. A
            hidden value is not repeated.
        """
        shown = 'the value' if self._is_secret() else _quoted(value)
        if self.choices and value not in self.choices:
            return f'{shown} is not one of: {", ".join(self.choices)}'
        # No path, no URL: where the manifest itself has none.
        if value == '' == self.default:
            return None
        wrong = argument_types.error(value, self.type)
        if wrong:
            return f'{shown} is not of type {self.type} ({wrong})'
        if '\0' in value:
            return 'the value holds a NUL character'
        return None

    def _is_secret(self) -> bool:
        # Who takes the wrong half of a key must not find it in a log.
        return self.hidden or self.type == 'ssh_key'

    def type_schema(self) -> dict[str, Any]:
        """The JSON schema of the text that it takes."""
        return argument_types.schema(self.type, self.default)


def _quoted(value: str) -> str:
    if len(value) > _SHOWN:
        value = f'{value[:_SHOWN]}...'
    return f'"{control_characters.escaped(value)}"'


def from_spec(
    spec: Any, problems: list[exception.Problem], place: str = 'arguments'
) -> tuple[Argument, ...]:
    """Read the ``arguments`` section in either of its shapes.

    :param spec: a mapping of name to properties, or a list of mappings with
        one key each (the properties may stand under that key or, as older
        documentation shows it, beside it).
    :param problems: what is wrong is added here.
    :param place: manifest path of the section.
    :returns: the arguments that could be read, in the order written.
    """
    if spec is None:
        return ()
    found: dict[str, Argument] = {}
    for name, properties, path in _pairs(spec, problems, place):
        wrong = _check_name(name, path) + json_schema.check(
            properties, _ONE, path
        )
        if name in found:
            wrong.append(
                exception.Problem(
                    path, f'the argument "{name}" is a duplicate'
                )
            )
        problems.extend(wrong)
        if wrong:
            continue
        argument = _argument(name, properties or {})
        problems.extend(_check_rules(argument, path))
        found[name] = argument
    problems.extend(_check_variables(found.values(), place))
    return tuple(found.values())


def _pairs(
    spec: Any, problems: list[exception.Problem], place: str
) -> Iterator[tuple[str, Any, str]]:
    if isinstance(spec, dict):
        for name, properties in spec.items():
            yield name, properties, json_schema.join(place, name)
    elif isinstance(spec, list):
        for index, item in enumerate(spec):
            path = json_schema.join(place, index)
            if not isinstance(item, dict) or not item:
                problems.append(
                    exception.Problem(path, 'it is not a mapping of one key')
                )
                continue
            name, properties = next(iter(item.items()))
            rest = {key: item[key] for key in list(item)[1:]}
            if properties is None and rest:
                properties = rest
            elif rest:
                problems.append(
                    exception.Problem(path, 'it must have exactly one key')
                )
            yield name, properties, json_schema.join(path, name)
    else:
        problems.append(
            exception.Problem(place, 'it is neither a mapping nor a list')
        )


def check(
    declared: Sequence[Argument], place: str = 'arguments'
) -> list[exception.Problem]:
    """Check the names of arguments that a program declared.

    Values and defaults are the program's own to check.

    :returns: what is wrong, empty when all is well.
    """
    problems: list[exception.Problem] = []
    names: set[str] = set()
    for argument in declared:
        path = json_schema.join(place, argument.name)
        problems.extend(_check_name(argument.name, path))
        if argument.name in names:
            problems.append(
                exception.Problem(
                    path, f'the argument "{argument.name}" is a duplicate'
                )
            )
        names.add(argument.name)
        wrong = variable_error(argument.target_variable or argument.name)
        if wrong:
            problems.append(exception.Problem(path, wrong))
    problems.extend(_check_variables(declared, place))
    return list(dict.fromkeys(problems))


def _check_name(name: str, path: str) -> list[exception.Problem]:
    wrong = json_schema.check(name, json_schema.VARIABLE, path)
    if name.lower() in RESERVED_NAMES:
        wrong.append(
            exception.Problem(path, f'"{name}" is the name of a global option')
        )
    error = variable_error(name)
    if error:
        wrong.append(exception.Problem(path, error))
    return wrong


def variable_error(name: str) -> str | None:
    """Check that scripts may be given a variable of this name.

    :returns: a message, None when they may.
    """
    for variable in variables(name, None):
        if variable in RESERVED:
            return f'"{name}" is set for every script and cannot be used'
        if variable in FORBIDDEN_VARIABLES or variable.startswith('LD_'):
            return f'"{name}" would change how every program runs'
    return None


def _truth(value: Any) -> bool:
    return value is True or value in ('yes', 'on', 'Yes')


def _argument(name: str, spec: Mapping[str, Any]) -> Argument:
    return Argument(
        name=name,
        description=' '.join((spec.get('description') or '').split()),
        default=(
            document.as_text(spec['default'])
            if spec.get('default') is not None
            else None
        ),
        required=_truth(spec.get('required', False)),
        choices=tuple(map(document.as_text, spec.get('choices', ()))),
        target_variable=spec.get('target_variable'),
        hidden=_truth(spec.get('hidden', False)),
        type=spec.get('type', 'string'),
    )


def _check_rules(argument: Argument, path: str) -> Iterator[exception.Problem]:
    if argument.default is None:
        if not argument.required:
            yield exception.Problem(
                path, 'it is not required, so it must have a default'
            )
    else:
        wrong = argument.error(argument.default)
        if wrong:
            yield exception.Problem(json_schema.join(path, 'default'), wrong)
    wrong = variable_error(argument.target_variable or argument.name)
    if wrong:
        yield exception.Problem(path, wrong)


def _check_variables(
    arguments: Iterable[Argument], place: str
) -> Iterator[exception.Problem]:
    """Two arguments must not be exported under one name."""
    seen: dict[str, str] = {}
    for argument in arguments:
        for name in sorted(set(variables(argument.name, argument))):
            other = seen.setdefault(name, argument.name)
            if other != argument.name:
                yield exception.Problem(
                    json_schema.join(place, argument.name),
                    f'the variable "{name}" is also that of the argument '
                    f'"{other}"',
                )


def variables(name: str, argument: Argument | None) -> Sequence[str]:
    """The names under which scripts see an argument's value.

    :param name: the argument's name, or that of a stored output.
    :param argument: its declaration, if it has one.
    """
    names = [name]
    if '-' in name or '.' in name:
        names.append(name.replace('-', '_').replace('.', '_'))
    if argument and argument.target_variable:
        target = argument.target_variable
        names.append(target)
        names.append(target.replace('-', '_').replace('.', '_'))
    return list(dict.fromkeys(names))


def find(declared: Iterable[Argument], name: str) -> Argument | None:
    """The declared argument that scripts see under a name."""
    for argument in declared:
        if name in variables(argument.name, argument):
            return argument
    return None


def value_of(
    declared: Iterable[Argument], values: Mapping[str, str], name: str
) -> str | None:
    """The value of an argument, by its name or target variable.

    :param values: by the names of arguments, and of stored outputs.
    :returns: None where it has none.
    """
    if name in values:
        return values[name]
    argument = find(declared, name)
    if argument is not None:
        return values.get(argument.name)
    for known, value in values.items():
        if name in variables(known, None):
            return value
    return None


def resolve(
    declared: Sequence[Argument], values: Mapping[str, Any] | None
) -> dict[str, str]:
    """Decide the value of every argument.

    :param declared: the manifest's arguments.
    :param values: what the user gave; scalars are coerced to text.
    :returns: name to value, for every argument that has one.
    :raises InvalidArguments: every problem at once: unknown names, missing
        required ones, values that are not accepted.
    """
    by_name = {argument.name: argument for argument in declared}
    problems: list[exception.Problem] = []
    result: dict[str, str] = {}
    given = dict(values or {})
    for name in given:
        if name not in by_name:
            known = ', '.join(by_name) or 'none'
            problems.append(
                exception.Problem(
                    json_schema.join('arguments', str(name)),
                    f'unknown argument; known are: {known}',
                )
            )
    for argument in declared:
        value = given.get(argument.name)
        path = json_schema.join('arguments', argument.name)
        if value is None:
            if argument.default is not None:
                result[argument.name] = argument.default
            elif argument.required:
                problems.append(exception.Problem(path, 'a value is required'))
            continue
        if not document.is_scalar(value):
            problems.append(
                exception.Problem(path, 'the value is not a text or number')
            )
            continue
        text = document.as_text(value)
        wrong = argument.error(text)
        if wrong:
            problems.append(exception.Problem(path, wrong))
        result[argument.name] = text
    if not problems:
        problems.extend(_check_hidden(declared, result))
    if problems:
        raise exception.InvalidArguments(problems)
    return result


def _check_hidden(
    declared: Iterable[Argument], values: Mapping[str, str]
) -> Iterator[exception.Problem]:
    """Name the argument with which hidden values become too many."""
    hidden: list[str] = []
    for argument in declared:
        value = values.get(argument.name)
        if argument.hidden and value and value != argument.default:
            hidden.append(value)
            if wrong := hiding.excess(hidden):
                path = json_schema.join('arguments', argument.name)
                yield exception.Problem(path, wrong)
                return
