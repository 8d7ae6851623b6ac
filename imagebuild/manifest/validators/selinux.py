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
"""``selinux``: mode, policy and labels."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import state

CONFIG = '/etc/selinux/config'
RELABEL = '/.autorelabel'
_MODE: Mapping[str, Any] = {
    'title': 'enforcing, permissive or disabled',
    'type': 'string',
    'pattern': r'^(?:enforcing|permissive|disabled)$(?!\n)',
    'x-message': 'is not one of: enforcing, permissive, disabled',
}


class SelinuxValidator(state.StateValidator):
    """SELinux starts in a mode, with a policy.

    ``relabel`` asks the system to label all files when it starts. Files
    written while SELinux was disabled have no labels, so leaving that mode
    asks for it too, unless ``relabel`` is false.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'selinux'
    schema: ClassVar[Mapping[str, Any]] = {
        'anyOf': [
            _MODE,
            {
                'title': 'a mapping',
                'type': 'object',
                'additionalProperties': False,
                'minProperties': 1,
                'properties': {
                    'mode': _MODE,
                    'policy': {
                        'type': 'string',
                        'pattern': r'^[a-z][a-z0-9_-]*$(?!\n)',
                        'x-message': 'is not the name of a policy',
                    },
                    'relabel': {'type': 'boolean'},
                },
            },
        ]
    }

    def __init__(
        self,
        path: str,
        mode: str | None = None,
        policy: str | None = None,
        relabel: bool | None = None,
    ) -> None:
        super().__init__(path)
        self.mode = mode
        self.policy = policy
        self.relabel = relabel

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        if isinstance(spec, str):
            return cls(builder.path, spec)
        return cls(
            builder.path,
            spec.get('mode'),
            spec.get('policy'),
            spec.get('relabel'),
        )

    def describe(self) -> str:
        words = [self.mode or '', self.policy or '']
        words.append('relabel' if self.relabel else '')
        return ' '.join(filter(None, ['selinux', *words]))

    def _settings(self) -> dict[str, str]:
        """Name to value, for what the configuration must hold."""
        pairs = {'SELINUX': self.mode, 'SELINUXTYPE': self.policy}
        return {name: value for name, value in pairs.items() if value}

    def differences(self, context: base.Context) -> state.Differences:
        text = _config(context)
        wrong = {}
        for name, value in self._settings().items():
            found = _setting(text, name)
            if found != value:
                wrong[name] = [
                    f'{CONFIG} has {name}={found or ""}, not {value}'
                ]
        self._check_policy(context)
        if self.relabel and not _exists(context, RELABEL):
            wrong[RELABEL] = ['no relabelling is asked for']
        return wrong

    def _check_policy(self, context: base.Context) -> None:
        contexts = f'/etc/selinux/{self.policy}/contexts/files/file_contexts'
        if self.policy and self.mode != 'disabled':
            if not _exists(context, contexts):
                raise exception.StepFailed(
                    f'the SELinux policy "{self.policy}" is not installed'
                )

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        text = _config(context)
        waking = 'SELINUX' in parts and _setting(text, 'SELINUX') == 'disabled'
        if RELABEL in parts or (waking and self.relabel is None):
            context.remote.write_file(RELABEL, b'')
        for name, value in self._settings().items():
            text = _with_setting(text, name, value)
        # Only to relabel, the configuration is not written.
        if set(parts) - {RELABEL}:
            context.remote.write_file(
                CONFIG, text.encode('utf-8', 'surrogateescape')
            )
        return 'updated ' + ', '.join(parts)

    def commands(self, context: base.Context) -> Sequence[str]:
        return [
            f'set {name}={value} in {CONFIG}'
            for name, value in self._settings().items()
        ] + ([f'touch {RELABEL}'] if self.relabel else [])

    def argument_names(self) -> Sequence[str]:
        return ()

    def key(self) -> Any:
        return {'selinux': [self.mode, self.policy, self.relabel]}


def _config(context: base.Context) -> str:
    try:
        content = context.remote.read_file(CONFIG)
    except exception.RemoteFileNotFound:
        raise exception.StepFailed(
            f'SELinux is not installed: there is no {CONFIG}'
        ) from None
    # Lines that are not touched are written back byte for byte.
    return content.decode('utf-8', 'surrogateescape')


def _exists(context: base.Context, path: str) -> bool:
    try:
        context.remote.read_file(path)
    except exception.RemoteFileNotFound:
        return False
    return True


def _line(name: str) -> re.Pattern[str]:
    return re.compile(rf'^[ \t]*{name}[ \t]*=[ \t]*(.*?)[ \t]*$', re.M)


def _setting(text: str, name: str) -> str | None:
    found = _line(name).findall(text)
    return str(found[-1]) if found else None


def _with_setting(text: str, name: str, value: str) -> str:
    line = f'{name}={value}'
    text, count = _line(name).subn(line, text)
    if count:
        return text
    gap = '' if text.endswith('\n') or not text else '\n'
    return f'{text}{gap}{line}\n'
