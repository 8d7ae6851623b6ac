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
"""``os_case`` and ``argument_case``: one branch of several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import json_schema
from imagebuild.manifest import arguments
from imagebuild.manifest import document
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base

_BRANCH: Mapping[str, Any] = {
    'title': 'a list of validators',
    'type': 'array',
    'maxItems': json_schema.MANY,
}


class OsCaseValidator(base.Validator):
    """The first branch that names this system, its release or its family.

    A list, since it is tried in the order written; no match is success.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'os_case'
    schema: ClassVar[Mapping[str, Any]] = {
        'title': 'a list of one-key mappings',
        'type': 'array',
        'maxItems': json_schema.MANY,
        'minItems': 1,
        'items': {
            'type': 'object',
            'minProperties': 1,
            'maxProperties': 1,
            'additionalProperties': _BRANCH,
        },
    }

    def __init__(
        self,
        path: str,
        branches: Sequence[tuple[str, Sequence[base.Validator]]],
    ) -> None:
        super().__init__(path)
        self.branches = tuple(branches)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        branches: list[tuple[str, Sequence[base.Validator]]] = []
        known: set[str] = set()
        for index, item in enumerate(spec):
            [(name, validators)] = item.items()
            if name in known:
                builder.problem('duplicate key', index, name)
            known.add(name)
            branches.append(
                (name, builder.at(index, name).validators(validators))
            )
        return cls(builder.path, branches)

    def describe(self) -> str:
        return 'os_case ' + ', '.join(name for name, _ in self.branches)

    def expand(self, context: base.Context) -> Sequence[base.Validator]:
        names = context.distro.names()
        for name, validators in self.branches:
            if name.lower() in names:
                return validators
        return ()

    def children(self) -> Sequence[base.Validator]:
        return [
            validator
            for _, validators in self.branches
            for validator in validators
        ]

    def argument_names(self) -> Sequence[str]:
        return ()

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        with contextlib.ExitStack() as tried:
            for name, validators in self.branches:
                condition = shell_compiler.is_named(name)
                with compiler.where(condition):
                    for validator in validators:
                        yield from compiler.compiled(validator)
                tried.enter_context(compiler.where(f'! {condition}'))

    def key(self) -> Any:
        return {
            'os_case': [
                [name, [validator.key() for validator in validators]]
                for name, validators in self.branches
            ]
        }


class ArgumentCaseValidator(base.Validator):
    """The branch of an argument's value, or ``default``.

    Values are compared as text; no match is success.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'argument_case'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'additionalProperties': False,
        'required': ['argument_name', 'cases'],
        'properties': {
            'argument_name': json_schema.VARIABLE,
            'cases': {
                'title': 'a mapping of value to validators',
                'type': 'object',
                'minProperties': 1,
                'additionalProperties': _BRANCH,
            },
            'default': _BRANCH,
        },
    }

    def __init__(
        self,
        path: str,
        name: str,
        cases: Mapping[str, Sequence[base.Validator]],
        default: Sequence[base.Validator] = (),
    ) -> None:
        super().__init__(path)
        self.name = name
        self.cases = dict(cases)
        self.default = tuple(default)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        name = spec['argument_name']
        cases = {
            document.as_text(value): builder.at('cases', value).validators(
                validators
            )
            for value, validators in spec['cases'].items()
        }
        default = builder.at('default').validators(spec.get('default') or [])
        return cls(builder.path, name, cases, default)

    def describe(self) -> str:
        return f'argument_case {self.name}'

    def expand(self, context: base.Context) -> Sequence[base.Validator]:
        value = context.value(self.name)
        if value is None:
            return self.default
        return self.cases.get(value, self.default)

    def children(self) -> Sequence[base.Validator]:
        return [
            validator
            for validators in (*self.cases.values(), self.default)
            for validator in validators
        ]

    def check_names(self, names: base.Names) -> Iterator[exception.Problem]:
        if self.name not in names.of_steps:
            # What a script prints may be anything: only an argument that no
            # step sets is bound to its choices.
            yield from self._impossible(names.declared)
        if self.name not in names.of_arguments | names.of_steps:
            yield exception.Problem(
                json_schema.join(self.path, 'argument_name'),
                f'the argument "{self.name}" is neither declared nor '
                'set by a step',
            )

    def _impossible(
        self, declared: Sequence[arguments.Argument]
    ) -> Iterator[exception.Problem]:
        """Cases that the choices of an argument rule out."""
        for argument in declared:
            names = arguments.variables(argument.name, argument)
            if self.name not in names or not argument.choices:
                continue
            for value in self.cases:
                if value not in argument.choices:
                    yield exception.Problem(
                        json_schema.join(self.path, 'cases', value),
                        f'the argument "{self.name}" can never have this '
                        'value',
                    )

    def argument_names(self) -> Sequence[str]:
        return (self.name,)

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        value = compiler.value(self.name)
        chosen: Sequence[base.Validator] = self.default
        if value is not None:
            chosen = self.cases.get(value, self.default)
        for validator in chosen:
            yield from compiler.compiled(validator)

    def key(self) -> Any:
        return {
            'argument_case': {
                'name': self.name,
                'cases': {
                    value: [validator.key() for validator in validators]
                    for value, validators in self.cases.items()
                },
                'default': [child.key() for child in self.default],
            }
        }
