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
"""``include``: steps and arguments that stand in a file of their own."""

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

#: A file inside a file inside ... that many.
MAX_DEPTH = 8
#: Files that one manifest may include, each time counted.
MAX_INCLUDES = 100

_FILE: Mapping[str, Any] = {
    'title': 'a mapping',
    'type': 'object',
    'required': ['validators'],
    'additionalProperties': False,
    'properties': {
        'description': {'type': ['string', 'null']},
        'arguments': {},
        'validators': {'maxItems': json_schema.MANY},
    },
}


class IncludeValidator(base.Validator):
    """The validators of a file in the resource roots take its place.

    The arguments that the file declares become the manifest's, but for those
    that it has already: so a manifest can give an argument of the file
    another default.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'include'
    schema: ClassVar[Mapping[str, Any]] = {
        'title': 'the name of a file',
        'type': 'string',
        'minLength': 1,
    }

    def __init__(
        self, path: str, name: str, validators: Sequence[base.Validator]
    ) -> None:
        super().__init__(path)
        self.name = name
        self.validators = tuple(validators)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        wrong = _refusal(spec, builder)
        if wrong:
            builder.problem(wrong)
            return cls(builder.path, spec, ())
        inner = builder.inside(spec)
        content = _read(spec, builder, inner)
        if content is None:
            return cls(builder.path, spec, ())
        _declare(content.get('arguments'), inner)
        return cls(
            builder.path,
            spec,
            inner.at('validators').validators(content['validators']),
        )

    def describe(self) -> str:
        return f'include {self.name}'

    def expand(self, context: base.Context) -> Sequence[base.Validator]:
        return self.validators

    def children(self) -> Sequence[base.Validator]:
        return self.validators

    def argument_names(self) -> Sequence[str]:
        return ()

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        for validator in self.validators:
            yield from compiler.compiled(validator)

    def key(self) -> Any:
        return {'include': [child.key() for child in self.validators]}


def _refusal(name: str, builder: base.Builder) -> str | None:
    if name in builder.chain:
        return f'"{name}" includes itself'
    if len(builder.chain) >= MAX_DEPTH:
        return f'more than {MAX_DEPTH} files include each other'
    if len(builder.included) >= MAX_INCLUDES:
        return f'more than {MAX_INCLUDES} files are included'
    return None


def _read(
    name: str, builder: base.Builder, inner: base.Builder
) -> dict[str, Any] | None:
    """The file as a mapping; None after a problem has been noted."""
    before = len(builder.problems)
    content = builder.resource(name)
    if len(builder.problems) > before:
        return None
    try:
        data = document.parse(content)
    except exception.InvalidManifest as error:
        for problem in error.errors:
            inner.problem(problem.message)
        return None
    wrong = json_schema.check(data, _FILE, inner.path)
    builder.problems.extend(wrong)
    return None if wrong else data


def _declare(spec: Any, builder: base.Builder) -> None:
    """Add the arguments of a file to those of the manifest."""
    place = json_schema.join(builder.path, 'arguments')
    for argument in arguments.from_spec(spec, builder.problems, place):
        known = builder.arguments.setdefault(argument.name, argument)
        if argument.hidden and not known.hidden:
            builder.problem(
                'it is hidden here, so it must be hidden where it is '
                'declared first',
                'arguments',
                argument.name,
            )
