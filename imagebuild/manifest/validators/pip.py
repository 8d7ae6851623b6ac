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
"""``pip``: Python distributions are installed."""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from packaging import requirements

from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import json_schema
from imagebuild.manifest import placeholders
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import file
from imagebuild.manifest.validators import pip_state
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import template

_REQUIREMENTS: Mapping[str, Any] = {
    'title': 'a list of requirements',
    'type': 'array',
    'maxItems': json_schema.MANY,
    'minItems': 1,
    'items': {'type': 'string', 'minLength': 1},
}
_URLS = ('http://', 'https://', 'file:///')


class PipValidator(state.StateValidator):
    """Requirements are met, by the system's Python or in a virtualenv.

    Extras decide what is installed; only the distribution itself is looked
    for. Without a virtualenv pip may write into a system that asks it not
    to (PEP 668): the image is ours. ``index_url`` may name arguments, and
    is shown nowhere.
    """

    type_name: ClassVar[str] = 'pip'
    schema: ClassVar[Mapping[str, Any]] = {
        'anyOf': [
            _REQUIREMENTS,
            {
                'title': 'a mapping with "requirements"',
                'type': 'object',
                'additionalProperties': False,
                'required': ['requirements'],
                'properties': {
                    'requirements': _REQUIREMENTS,
                    'virtualenv': {'type': 'string'},
                    'index_url': {'type': 'string'},
                },
            },
        ]
    }

    def __init__(
        self,
        path: str,
        wanted: Sequence[requirements.Requirement],
        virtualenv: str = '',
        index_url: str = '',
    ) -> None:
        super().__init__(path)
        self.wanted = tuple(wanted)
        self.virtualenv = virtualenv
        self.index_url = index_url

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        short = isinstance(spec, list)
        properties = {'requirements': spec} if short else spec
        inner = builder if short else builder.at('requirements')
        virtualenv = properties.get('virtualenv', '')
        if 'virtualenv' in properties:
            file.check_path(virtualenv, builder.at('virtualenv'))
        index_url = properties.get('index_url', '')
        if 'index_url' in properties:
            _check_url(index_url, builder)
        return cls(
            builder.path,
            _requirements(properties['requirements'], inner),
            virtualenv,
            index_url,
        )

    def describe(self) -> str:
        # Not the requirements themselves: a URL may hold a password.
        names = [f'{item.name}{item.specifier}' for item in self.wanted]
        where = f' in {self.virtualenv}' if self.virtualenv else ''
        return f'pip {state.listed(names)}{where}'

    def differences(self, context: base.Context) -> state.Differences:
        return self._unmet(pip_state.look(context, self.virtualenv))

    def _unmet(self, found: pip_state.PipState) -> dict[str, list[str]]:
        wrong: dict[str, list[str]] = {}
        for item in self.wanted:
            clause = found.unmet(item)
            if clause:
                wrong[str(item)] = [clause]
        return wrong

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        if not pip_state.look(context, self.virtualenv).pip:
            lacking = context.packages.missing(context.distro.pip_packages)
            if lacking:
                context.packages.install(lacking, record.on_output)
        url = template.render(self.index_url, context)
        if url and not url.startswith(_URLS):
            raise exception.StepFailed('"index_url" is not a URL')
        pip_state.install(context, record, self.virtualenv, url, sorted(parts))
        names = [item.name for item in self.wanted if str(item) in parts]
        return 'installed ' + state.listed(names)

    def commands(self, context: base.Context) -> Sequence[str]:
        python = pip_state.python(self.virtualenv)
        names = ' '.join(item.name for item in self.wanted)
        return [f'{python} -m pip install {names}']

    def argument_names(self) -> Sequence[str]:
        return template.argument_names(self.index_url)

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        url = compiler.rendered(self.index_url)
        texts = sorted(str(item) for item in self.wanted)
        if pip_state.secrets([url, *texts]):
            raise shell_compiler.NotInShell(
                'names an index or a URL with a login, which servers and '
                'their consoles show'
            )
        cases = [
            f'{shell_compiler.quoted(family)})\n'
            f'{compiler.installing(packages)}\n;;'
            for family, packages in shell_compiler.pip_packages().items()
        ]
        python = shell_compiler.quoted(pip_state.python(self.virtualenv))
        env = pip_state.environment(self.virtualenv, url)
        command = shell_compiler.quoted(
            *('env', *[f'{name}={value}' for name, value in env.items()]),
            *('/bin/sh', '-c', pip_state.INSTALL.text, 'imagebuild'),
            *(self.virtualenv, *texts),
        )
        joined = '\n'.join(cases)
        yield compiler.step(
            self,
            f"{python} -I -c 'import pip' > /dev/null 2>&1 || "
            f'case "$distro_family" in\n{joined}\nesac\n'
            f'imagebuild_network\n{command}\n',
        )

    def key(self) -> Any:
        return {
            'pip': {
                'requirements': [_key(item) for item in self.wanted],
                'virtualenv': self.virtualenv,
                'index_url': _digest(self.index_url),
            }
        }


def _key(item: requirements.Requirement) -> str:
    return _digest(str(item)) if item.url else str(item)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ''


def _requirements(
    texts: Sequence[str], builder: base.Builder
) -> list[requirements.Requirement]:
    found = []
    for index, text in enumerate(texts):
        try:
            found.append(requirements.Requirement(text))
        except requirements.InvalidRequirement:
            builder.problem(
                'it is not a requirement, such as "name>=1.0"', index
            )
    return found


def _check_url(url: str, builder: base.Builder) -> None:
    if placeholders.names(url):
        template.check(url, builder, 'index_url')
        return
    try:
        host = urllib.parse.urlsplit(url).hostname
    except ValueError:
        host = None
    fine = url.startswith(_URLS) and url.isprintable() and ' ' not in url
    if not fine or not (host or url.startswith('file:')):
        # Not repeated: it may hold a password.
        builder.problem('it is not an http, https or file URL', 'index_url')
