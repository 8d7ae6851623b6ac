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
"""``service``: systemd units are enabled, disabled or masked."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import template

_SUFFIXES = (
    '.automount', '.mount', '.path', '.scope', '.service', '.slice',
    '.socket', '.swap', '.target', '.timer',
)  # fmt: skip

#: Prints "unit state" for each argument; nothing is running in an image, so
#: systemctl works on the files.
_LOOK = r"""
SYSTEMD_OFFLINE=1
export SYSTEMD_OFFLINE
if ! command -v systemctl > /dev/null; then
    echo 'systemd is not installed' >&2
    exit 1
fi
look() {
    for unit do
        state=$(systemctl --root=/ is-enabled "$unit" 2> /dev/null) || :
        printf '%s %s\n' "$unit" "${state:-not-found}"
    done
}
"""
LOOK = shell.Script('systemctl is-enabled', _LOOK + 'look "$@"\n')
#: Arguments: verb, unit, verb, unit, ...
CHANGE = shell.Script(
    'systemctl enable, disable, mask',
    _LOOK
    + r"""
while [ "$#" -ge 2 ]; do
    systemctl --root=/ "$1" "$2" >&2 || exit 1
    shift 2
done
""",
)

#: What ``systemctl is-enabled`` may print where a state holds.
#:
#: ``static``, ``alias``, ``indirect`` and ``generated`` units have nothing
#: of their own to enable: they are started by what refers to them, and
#: systemctl itself counts them as enabled. The ``-runtime`` states are kept
#: below /run and are gone after a boot, so they never hold. A masked unit is
#: not merely disabled.
_HOLDS: Mapping[str, frozenset[str]] = {
    'enabled': frozenset(
        {'enabled', 'static', 'alias', 'indirect', 'generated'}
    ),
    'disabled': frozenset({'disabled', 'indirect'}),
    'masked': frozenset({'masked'}),
}
_VERBS: Mapping[str, str] = {
    'enabled': 'enable',
    'disabled': 'disable',
    'masked': 'mask',
}
_STATES = ', '.join(_VERBS)
#: Cannot be disabled: something else starts them.
_FIXED = frozenset({'static', 'generated', 'transient'})


class ServiceValidator(state.StateValidator):
    """Units are started at boot, or not, or cannot be."""

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'service'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'minProperties': 1,
        'propertyNames': {
            'type': 'string',
            'pattern': r'^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*$(?!\n)',
            'maxLength': 255,
            'x-message': 'is not the name of a unit',
        },
        'additionalProperties': {
            'type': 'string',
            'pattern': (
                r'^(?:enabled|disabled|masked|'
                r'\{\{ *[A-Za-z_][A-Za-z0-9_.-]* *\}\})$(?!\n)'
            ),
            'x-message': 'is not one of: enabled, disabled, masked',
        },
    }

    def __init__(self, path: str, wanted: Mapping[str, str]) -> None:
        super().__init__(path)
        self.wanted = dict(wanted)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        wanted: dict[str, str] = {}
        for name, value in spec.items():
            unit = name if name.endswith(_SUFFIXES) else f'{name}.service'
            if unit in wanted:
                builder.problem(f'duplicate key: the unit {unit}', name)
            wanted[unit] = value
            template.check(value, builder, name)
            _check_choices(value, builder.at(name))
        return cls(builder.path, wanted)

    def describe(self) -> str:
        return 'service ' + state.listed(
            [f'{unit} {value}' for unit, value in self.wanted.items()]
        )

    def _states(self, context: base.Context) -> dict[str, str]:
        """One look; a unit that is not there is an end to it."""
        lines = LOOK.run(context, *self.wanted).splitlines()
        found = dict(line.split(' ', 1) for line in lines if ' ' in line)
        missing = [
            unit
            for unit in self.wanted
            if found.get(unit, 'not-found') == 'not-found'
        ]
        if missing:
            raise exception.StepFailed(
                f'there is no such unit: {", ".join(missing)}'
            )
        return found

    def differences(self, context: base.Context) -> state.Differences:
        wanted = self._rendered(context)
        found = self._states(context)
        return {
            unit: [_clause(unit, found[unit], value)]
            for unit, value in wanted.items()
            if found[unit] not in _HOLDS[value]
        }

    def _rendered(self, context: base.Context) -> dict[str, str]:
        wanted = {
            unit: template.render(value, context)
            for unit, value in self.wanted.items()
        }
        for unit, value in wanted.items():
            if value not in _HOLDS:
                raise exception.StepFailed(
                    f'the state of {unit} is not one of: {_STATES}'
                )
        return wanted

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        pairs: list[str] = []
        wanted = self._rendered(context)
        for unit in parts:
            if wanted[unit] != 'masked':
                # Nothing happens to a unit that is not masked.
                pairs += ['unmask', unit]
            pairs += [_VERBS[wanted[unit]], unit]
        CHANGE.run(context, *pairs, record=record)
        return ', '.join(f'{unit} {wanted[unit]}' for unit in parts)

    def commands(self, context: base.Context) -> Sequence[str]:
        return [
            f'systemctl --root=/ {_VERBS[value]} {unit}'
            for unit, value in self._rendered(context).items()
        ]

    def argument_names(self) -> Sequence[str]:
        return [
            name
            for value in self.wanted.values()
            for name in template.argument_names(value)
        ]

    def key(self) -> Any:
        return {'service': self.wanted}


def _check_choices(value: str, builder: base.Builder) -> None:
    """A state that an argument names should be one: said by its choices."""
    for name in template.argument_names(value):
        argument = builder.arguments.get(name)
        if argument and not set(argument.choices) <= _HOLDS.keys():
            builder.problem(
                f'the argument "{name}" has other choices than: {_STATES}'
            )


def _clause(unit: str, found: str, wanted: str) -> str:
    if wanted == 'disabled' and found in _FIXED:
        return (
            f'{unit} is {found} and cannot be disabled, since other units '
            'start it; mask it instead'
        )
    return f'{unit} is {found}, not {wanted}'
