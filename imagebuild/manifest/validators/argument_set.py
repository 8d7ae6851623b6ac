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
"""``argument_set``: an argument has a value from here on."""

from __future__ import annotations

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


class ArgumentSetValidator(base.Validator):
    """Set an argument for the steps that follow; created if undeclared."""

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'argument_set'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'additionalProperties': False,
        'required': ['argument_name', 'value'],
        'properties': {
            'argument_name': json_schema.VARIABLE,
            'value': json_schema.SCALAR,
        },
    }

    def __init__(self, path: str, name: str, value: str) -> None:
        super().__init__(path)
        self.name = name
        self.value = value

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        name = spec['argument_name']
        value = document.as_text(spec['value'])
        argument = builder.arguments.get(name)
        wrong = argument.error(value) if argument else None
        if wrong:
            builder.problem(wrong, 'value')
        wrong = arguments.variable_error(name)
        if wrong:
            builder.problem(wrong, 'argument_name')
        builder.outputs.add(name)
        return cls(builder.path, name, value)

    def describe(self) -> str:
        return f'set argument {self.name}'

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        argument = context.declared.get(self.name)
        wrong = argument.error(self.value) if argument else None
        if wrong:
            raise exception.StepFailed(wrong)
        context.set_value(self.name, self.value)

    def argument_names(self) -> Sequence[str]:
        return ()

    def outputs(self) -> Sequence[str]:
        return (self.name,)

    def foresee(self, context: base.Context) -> bool:
        context.set_value(self.name, self.value)
        return True

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        compiler.set_value(self.name, self.value)
        yield from ()

    def key(self) -> Any:
        return {'argument_set': [self.name, self.value]}
