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
"""``copy_script``: a resource is there for later scripts to source."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild.common import guest_program
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base


class CopyScriptValidator(base.Validator):
    """A resource stands at ``/tmp/<basename>`` until the run ends.

    Nothing is run. Test-only writes nothing: the scripts that would source
    it know by ``test_only=1``.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'copy_script'
    schema: ClassVar[Mapping[str, Any]] = {
        'anyOf': [
            {
                'title': 'the path of a script',
                'type': 'string',
                'minLength': 1,
            },
            {
                'title': 'a mapping of one path to nothing',
                'type': 'object',
                'minProperties': 1,
                'maxProperties': 1,
                'additionalProperties': {
                    'type': ['null', 'object'],
                    'maxProperties': 0,
                },
            },
        ]
    }

    def __init__(self, path: str, name: str, content: bytes) -> None:
        super().__init__(path)
        self.name = name
        self.content = content
        self.target = f'/tmp/{pathlib.PurePosixPath(name).name}'  # noqa: S108

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        name = spec if isinstance(spec, str) else next(iter(spec))
        return cls(builder.path, name, builder.resource(name))

    def describe(self) -> str:
        return f'copy {self.name} to {self.target}'

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        record.message = 'nothing is copied in test-only'

    def apply(self, context: base.Context, record: base.StepRecord) -> None:
        context.remote.write_file(self.target, self.content, mode=0o755)
        context.temporary.append(self.target)
        record.message = 'removed again when the run ends'

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        writing = shell_compiler.writing(self.target, self.content, 0o755)
        yield compiler.step(
            self,
            f'{writing}'
            f'printf "%s\\n" {shell_compiler.quoted(self.target)} '
            '>> "$imagebuild_temporary"\n',
        )

    def argument_names(self) -> Sequence[str]:
        return ()

    def key(self) -> Any:
        return {
            'copy_script': {
                'target': self.target,
                # Latin-1 has a character for every byte, and JSON no bytes.
                'content': self.content.decode('latin-1'),
            }
        }
