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
"""Keys of the states that a run comes to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from imagebuild.distros import os_releases
from imagebuild.manifest import base_facts
from imagebuild.manifest import content_key
from imagebuild.manifest import contexts
from imagebuild.manifest import validators
from imagebuild.manifest.validators import base

#: Raised when states that were kept by older code must not be used.
GENERATION = 1

Digest = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Trace:
    """The steps up to somewhere.

    :ivar key: a digest of them and of what they started from.
    :ivar operators: nothing of that comes from a user.
    """

    key: str
    operators: bool

    def after(
        self, step: base.Validator, context: contexts.Context, digest: Digest
    ) -> Trace:
        """The same with another step.

        :param context: as it is before that step.
        :param digest: a keyed one: values of hidden arguments are in it.
        """
        names = _names(step, context)
        content = {
            'before': self.key,
            'step': step.key(),
            # Of others the path shows nowhere, so what stands in a group
            # here may stand alone there.
            'path': step.path if step.children() else '',
            'inside': [
                [validators.release_of(type(item)), item.seen_name()]
                for item in base.walk([step])
            ],
            'environment': context.environment(sorted(names)),
        }
        return Trace(
            digest(_canonical(content)),
            self.operators and all(_is_operators(n, context) for n in names),
        )


def root(
    identity: str,
    release: os_releases.OsRelease,
    digest: Digest,
    *,
    operators: bool,
) -> Trace:
    """The trace of no steps.

    :param identity: of the disk before the first step.
    :param release: of the system that is on it.
    """
    content = {
        'generation': GENERATION,
        'language': content_key.LANGUAGE,
        'base': identity,
        'os_release': base_facts.os_release_values(release),
    }
    return Trace(digest(_canonical(content)), operators)


def _names(step: base.Validator, context: contexts.Context) -> set[str]:
    """The arguments that a step, or one inside it, can see."""
    names: set[str] = set()
    for item in base.walk([step]):
        seen = item.argument_names()
        names.update(context.values if seen is None else seen)
    return names


def _is_operators(name: str, context: contexts.Context) -> bool:
    """Whether a value is a default, or was set by a step."""
    argument = context.argument(name)
    known = argument.name if argument else name
    if known in context.assigned:
        return True
    value = context.value(name)
    return value is None or (
        argument is not None and value == argument.default
    )


def _canonical(content: Any) -> str:
    return json.dumps(
        content, sort_keys=True, ensure_ascii=True, separators=(',', ':')
    )
