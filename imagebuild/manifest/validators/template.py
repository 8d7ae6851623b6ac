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
"""``{{ name }}`` in texts: the value of an argument.

``{{ name|sha256 }}`` is its digest: a configuration that takes the hash of a
password need not hold the password.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from imagebuild import exception
from imagebuild.manifest import arguments
from imagebuild.manifest.validators import base

_PLACE = re.compile(
    r'\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:(\|)\s*sha256\s*)?\}\}'
)
#: Known to every run.
_BUILT_IN = frozenset(
    {'distro', 'distro_codename', 'distro_family', 'distro_release'}
)


def names(text: str) -> list[str]:
    """The names a text refers to, each once."""
    return list(dict.fromkeys(name for name, _ in _PLACE.findall(text)))


def argument_names(text: str) -> list[str]:
    """The arguments a text refers to, each once."""
    return [name for name in names(text) if name not in _BUILT_IN]


def check(text: str, builder: base.Builder, *parts: str | int) -> None:
    """Note a problem for every name that can have no value.

    Known are declared arguments and what the steps above set.
    """
    known = set(_BUILT_IN)
    for name, argument in builder.arguments.items():
        known.update(arguments.variables(name, argument))
    for name in builder.outputs:
        known.update(arguments.variables(name, None))
    for name in names(text):
        if name not in known:
            builder.problem(
                f'"{{{{ {name} }}}}": the argument "{name}" is neither '
                'declared nor set by a step before',
                *parts,
            )


def render(text: str, context: base.Context) -> str:
    """Put values in the place of names.

    :raises StepFailed: an argument has no value.
    """
    values = {name: _value(name, context) for name in names(text)}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise exception.StepFailed(f'no value is set for: {_comma(missing)}')
    return _PLACE.sub(
        lambda match: _filtered(values[match[1]] or '', match[2]), text
    )


def _filtered(value: str, sha256: str | None) -> str:
    return hashlib.sha256(value.encode()).hexdigest() if sha256 else value


def _value(name: str, context: base.Context) -> str | None:
    # As a script would see them: they are no arguments.
    if name == 'distro_codename':
        return context.distro.os_release.codename
    if name in _BUILT_IN:
        return context.environment(())[name]
    return context.value(name)


def _comma(found: Iterable[str]) -> str:
    return ', '.join(found)
