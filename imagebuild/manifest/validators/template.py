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
"""Texts of a manifest in which ``{{ name }}`` is the value of an argument."""

from __future__ import annotations

from collections.abc import Iterable

from imagebuild import exception
from imagebuild.manifest import arguments
from imagebuild.manifest import contexts
from imagebuild.manifest import placeholders
from imagebuild.manifest.validators import base


def argument_names(text: str) -> list[str]:
    """The arguments a text refers to, each once."""
    return [
        name
        for name in placeholders.names(text)
        if name not in contexts.BUILT_IN
    ]


def check(text: str, builder: base.Builder, *parts: str | int) -> None:
    """Note a problem for every name that can have no value.

    Known are declared arguments and what the steps above set.
    """
    known = set(contexts.BUILT_IN)
    for name, argument in builder.arguments.items():
        known.update(arguments.variables(name, argument))
    for name in builder.outputs:
        known.update(arguments.variables(name, None))
    for name in placeholders.names(text):
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
    values = {
        name: context.text_value(name) for name in placeholders.names(text)
    }
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise exception.StepFailed(f'no value is set for: {_comma(missing)}')
    return placeholders.fill(text, lambda name: values[name] or '')


def _comma(found: Iterable[str]) -> str:
    return ', '.join(found)
