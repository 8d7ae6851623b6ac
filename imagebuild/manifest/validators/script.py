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
"""``script``: a script is content."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild.common import guest_program
from imagebuild.common import json_schema
from imagebuild.manifest import arguments
from imagebuild.manifest import plans
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base

_NAMES: Mapping[str, Any] = {
    'type': 'array',
    'maxItems': json_schema.MANY,
    'items': json_schema.VARIABLE,
    'title': 'a list of argument names',
}
_PROPERTIES: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'properties': {
        'inline': {'type': 'string', 'minLength': 1},
        'env_vars': _NAMES,
        'arguments': _NAMES,
        'output': json_schema.VARIABLE,
        'timeout': {
            'type': 'number',
            'exclusiveMinimum': 0,
            'maximum': 86400,
        },
    },
}


class ScriptValidator(base.Validator):
    """A script runs and exits with 0."""

    type_name: ClassVar[str] = 'script'
    schema: ClassVar[Mapping[str, Any]] = {
        'anyOf': [
            {
                'title': 'the path of a script',
                'type': 'string',
                'minLength': 1,
            },
            {
                'title': 'a mapping of path or label to properties',
                'type': 'object',
                'minProperties': 1,
                'maxProperties': 1,
                'additionalProperties': {
                    'anyOf': [
                        {'type': 'null'},
                        _PROPERTIES,
                        {
                            'title': 'a list of properties',
                            'type': 'array',
                            'maxItems': json_schema.MANY,
                            'items': _PROPERTIES,
                        },
                    ]
                },
            },
        ]
    }

    def __init__(
        self,
        path: str,
        name: str,
        content: bytes,
        names: Sequence[str] = (),
        output: str | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(path)
        self.name = name
        self.content = content
        self.names = tuple(names)
        self.output = output
        self.timeout = timeout

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        if isinstance(spec, str):
            return cls(builder.path, spec, _content(spec, builder))
        [(name, value)] = spec.items()
        inner = builder.at(name)
        properties = _merged(value, inner)
        if properties.get('env_vars') and properties.get('arguments'):
            inner.problem('"env_vars" and "arguments" mean the same; use one')
        output = properties.get('output')
        if output:
            wrong = arguments.variable_error(output)
            if wrong:
                inner.problem(wrong, 'output')
            builder.outputs.add(output)
        return cls(
            builder.path,
            name,
            _content(name, inner, properties.get('inline')),
            properties.get('env_vars') or properties.get('arguments') or (),
            output,
            properties.get('timeout'),
        )

    def describe(self) -> str:
        return f'script {self.name}'

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        self._run(context, record)

    def apply(self, context: base.Context, record: base.StepRecord) -> None:
        # Before it runs: what it changed is not known, even if it fails.
        record.result = base.Result.RAN
        self._run(context, record)

    def _run(self, context: base.Context, record: base.StepRecord) -> None:
        try:
            result = context.remote.run_script(
                self.content,
                name=self.name,
                env=context.environment(self.names),
                timeout=self.timeout,
                on_output=record.on_output,
            )
        finally:
            # It may have installed something, also when it only had to look
            # or failed.
            context.packages.forget()
        # As $(...) of a shell does, but only one newline: others may be meant.
        if self.output:
            context.set_value(self.output, result.stdout.removesuffix('\n'))

    def plan(self, context: base.Context) -> Iterator[plans.PlannedStep]:
        env = context.environment(self.names)
        shown = [
            f'{name}={context.mask(value)}' for name, value in env.items()
        ]
        yield plans.PlannedStep(
            self.path,
            self.type_name,
            context.describe(self),
            commands=(' '.join([*shown, self.name]),),
        )

    def argument_names(self) -> Sequence[str]:
        return self.names

    def outputs(self) -> Sequence[str]:
        return (self.output,) if self.output else ()

    def seen_name(self) -> str:
        # Of its path the last part: $0.
        return self.name.rpartition('/')[2]

    def foresee(self, context: base.Context) -> bool:
        return not self.output

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        if self.output:
            raise shell_compiler.NotInShell(
                'keeps what it prints for later steps'
            )
        yield compiler.step(
            self,
            shell_compiler.running(
                self.content,
                self.name.rpartition('/')[2],
                compiler.environment(self.names),
            ),
            seconds=self.timeout,
        )

    def key(self) -> Any:
        return {
            'script': {
                # Latin-1 has a character for every byte, and JSON no bytes.
                'content': self.content.decode('latin-1'),
                'names': list(self.names),
                'output': self.output,
            }
        }


def _content(
    name: str, builder: base.Builder, inline: str | None = None
) -> bytes:
    """A script that the kernel can run, as far as is known now."""
    content = builder.resource(name) if inline is None else inline.encode()
    first = content.partition(b'\n')[0]
    if first.endswith(b'\r'):
        reason = (
            'what its first line names'
            if first.startswith(b'#!')
            else 'its lines'
        )
        builder.problem(
            f'the script "{name}" has Windows line ends (CRLF): {reason} '
            'cannot be run; save it with Unix line ends'
        )
    return content


def _merged(value: Any, builder: base.Builder) -> dict[str, Any]:
    """Properties as one mapping; a list of them is the documented form."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    merged: dict[str, Any] = {}
    for index, item in enumerate(value):
        for key, setting in item.items():
            if key in merged:
                builder.problem('duplicate key', index, key)
            merged[key] = setting
    return merged
