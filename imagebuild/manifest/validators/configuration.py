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
"""Files of Ansible, Puppet, Chef or Salt, applied by their own tool."""

from __future__ import annotations

import pathlib
import secrets
import shlex
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
from imagebuild.manifest import reports
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import configuration_tools as tools

_FILE: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*'
    r'$(?!\n)',
    'maxLength': 255,
    'x-message': 'is not the relative path of a file',
}
_ONE: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['source'],
    'properties': {
        'source': _FILE,
        'files': {
            'type': 'array',
            'maxItems': json_schema.MANY,
            'items': _FILE,
            'uniqueItems': True,
        },
        'variables': {
            'type': 'array',
            'maxItems': json_schema.MANY,
            'items': json_schema.VARIABLE,
            'title': 'a list of argument names',
        },
        'timeout': {
            'type': 'number',
            'exclusiveMinimum': 0,
            'maximum': 86400,
        },
    },
}
#: Where the files are while the tool runs; not to be guessed.
_DIRECTORY = '/var/tmp/imagebuild-configuration-'  # noqa: S108
#: Arguments: the directory of the files, then the command.
RUN = """
cd -- "$1" || exit
shift
command -v "$1" > /dev/null || {
    echo "$1 is not installed; a \\"package\\" step before can install it" >&2
    exit 127
}
umask 022
exec "$@"
"""


class ConfigurationValidator(base.Validator):
    """What files of a configuration tool describe holds."""

    type_name: ClassVar[str] = 'configuration'
    schema: ClassVar[Mapping[str, Any]] = {
        'title': 'a mapping of one tool to its files',
        'type': 'object',
        'minProperties': 1,
        'maxProperties': 1,
        'additionalProperties': False,
        'properties': dict.fromkeys(tools.TOOLS, _ONE),
    }

    def __init__(
        self,
        path: str,
        tool: tools.Tool,
        source: str,
        files: Mapping[str, bytes],
        names: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        super().__init__(path)
        self.tool = tool
        self.source = source
        self.files = dict(files)
        self.names = tuple(names)
        self.timeout = timeout

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        [(name, given)] = spec.items()
        inner = builder.at(name)
        files = {given['source']: inner.resource(given['source'], 'source')}
        for number, each in enumerate(given.get('files', ())):
            files[each] = inner.resource(each, 'files', number)
        _refuse_nested(files, inner)
        return cls(
            builder.path,
            tools.TOOLS[name],
            given['source'],
            files,
            given.get('variables', ()),
            given.get('timeout'),
        )

    def describe(self) -> str:
        return f'{self.tool.name} {self.source}'

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        changes = self._run(context, record, check=True)
        if changes:
            raise exception.StepFailed(
                f'{self.tool.name} would change {changes} '
                f'thing{"s" if changes != 1 else ""}'
            )

    def apply(self, context: base.Context, record: base.StepRecord) -> None:
        # Before it runs: what it changed is not known, even if it fails.
        record.result = base.Result.RAN
        changes = self._run(context, record, check=False)
        record.result = base.Result.CHANGED if changes else base.Result.OK
        record.message = (
            f'{self.tool.name} changed {changes}' if changes else ''
        )

    def _run(
        self, context: base.Context, record: base.StepRecord, *, check: bool
    ) -> int:
        """Run the tool.

        :returns: how many things were changed, or would be.
        :raises StepFailed: it failed.
        """
        directory = _DIRECTORY + secrets.token_hex(8)
        # Tools find out by themselves what system it is.
        values = {
            name: value
            for name, value in context.environment(self.names).items()
            if name not in arguments.RESERVED
        }
        try:
            for name, content in self.files.items():
                context.remote.write_file(
                    f'{directory}/{name}', content, mode=0o600
                )
            context.remote.write_file(
                f'{directory}/{tools.VARIABLES}',
                tools.variables(values),
                mode=0o600,
            )
            command = self.tool.command(tools.Call(self.source, check))
            result = context.remote.run(
                ['/bin/sh', '-c', RUN, 'imagebuild', directory, *command],
                env=self.tool.environment(values, directory),
                timeout=self.timeout,
                check=False,
                on_output=record.on_output,
            )
        finally:
            context.remote.run(['rm', '-rf', '--', directory], check=False)
            # It may have installed something.
            context.packages.forget()
        if result.exit_code and result.exit_code not in self.tool.good:
            raise exception.StepFailed(
                f'{self.tool.name} failed with exit code {result.exit_code}',
                command=shlex.join(command),
                command_exit_code=result.exit_code,
                output=result.output[-reports.TAIL :],
            )
        return self.tool.changed(result.stdout)

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        values = compiler.environment(self.names)
        directory = _DIRECTORY + secrets.token_hex(8)
        quoted = shell_compiler.quoted
        files = {**self.files, tools.VARIABLES: tools.variables(values)}
        writing = ''.join(
            shell_compiler.writing(f'{directory}/{name}', content, 0o600)
            for name, content in files.items()
        )
        environment = self.tool.environment(values, directory)
        command = quoted(
            *('env', *[f'{name}={environment[name]}' for name in environment]),
            *('/bin/sh', '-c', RUN, 'imagebuild', directory),
            *self.tool.command(tools.Call(self.source, check=False)),
        )
        good = '|'.join(map(str, sorted({0, *self.tool.good})))
        yield compiler.step(
            self,
            f'(umask 077; mkdir -- {quoted(directory)}) || exit\n{writing}'
            f'{command}\nimagebuild_code=$?\nrm -rf -- {quoted(directory)}\n'
            f'case "$imagebuild_code" in\n{good}) ;;\n'
            '*) exit "$imagebuild_code" ;;\nesac\n',
            seconds=self.timeout,
        )

    def argument_names(self) -> Sequence[str]:
        return self.names

    def key(self) -> Any:
        return {
            'configuration': {
                'tool': self.tool.name,
                'source': self.source,
                'files': {
                    # Latin-1 has a character for every byte, JSON no bytes.
                    name: content.decode('latin-1')
                    for name, content in sorted(self.files.items())
                },
                'names': list(self.names),
            }
        }


def _refuse_nested(files: Mapping[str, bytes], builder: base.Builder) -> None:
    """Note where a file would have to be a directory as well."""
    for name in files:
        for parent in pathlib.PurePosixPath(name).parents:
            if str(parent) in files:
                builder.problem(f'"{parent}" is a file, and a directory')
