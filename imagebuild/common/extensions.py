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
"""What all extension points do alike."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any
from typing import Generic
from typing import TypeVar

import stevedore

from imagebuild import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Installed(Generic[T]):
    """The extensions of one namespace.

    :ivar usable: by their names, in alphabetical order.
    :ivar broken: why the others are not, in a few words.
    """

    namespace: str
    usable: dict[str, T]
    broken: dict[str, str]

    def refuse(self, name: str, reason: str) -> None:
        """Take one for broken, and say so in the log; the others work on."""
        self.usable.pop(name, None)
        self.broken[name] = reason
        LOG.error(
            'The extension "%s" of %s is not used: %s',
            name,
            self.namespace,
            reason,
        )

    def broken_one(self, name: str) -> exception.MissingDependency | None:
        """What to raise when one is asked for that is broken."""
        if name not in self.broken:
            return None
        return exception.MissingDependency(
            what=f'the extension "{name}" of {self.namespace}',
            remedy=self.broken[name],
        )


def installed(namespace: str, prepare: Callable[[Any], T]) -> Installed[T]:
    """Load the extensions of a namespace; one that does not load is left out.

    :param namespace: of the entry points.
    :param prepare: makes what is kept of what an entry point names; whatever
        it raises makes an extension a broken one.
    """
    found: Installed[T] = Installed(namespace, {}, {})

    def on_failure(
        _manager: object, entry_point: Any, error: BaseException
    ) -> None:
        found.refuse(entry_point.name, f'it does not load ({error})')

    manager: stevedore.ExtensionManager[Any] = stevedore.ExtensionManager(
        namespace,
        invoke_on_load=False,
        on_load_failure_callback=on_failure,
    )
    for extension in sorted(manager, key=lambda each: each.name):
        try:
            found.usable[extension.name] = prepare(extension.plugin)
        except Exception as error:
            found.refuse(
                extension.name,
                f'it does not load ({type(error).__name__}: {error})',
            )
    return found


def refuse(manager: object, entry_point: object, error: BaseException) -> None:
    """Be stevedore's ``on_load_failure_callback``: say which does not load.

    :raises MissingDependency: always.
    """
    raise exception.MissingDependency(
        what=f'the extension {entry_point}',
        remedy=f'it does not load ({error})',
    ) from error
