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
"""Properties of which some values come from resources that do not exist yet.

``get_attr`` of a resource that is still to be created has no value when a
template is validated. What does not depend on it can be checked nevertheless:
placeholders take the place of what is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat.engine import function
from heat.engine import properties as heat_properties

from heat_plugin import schema
from imagebuild import exception

#: A text that may stand for a package, a file's content, a value, a tag.
PLACEHOLDER = 'placeholder'

#: What cannot be judged where a property is not known.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    schema.OS: (schema.OS, schema.BASE_IMAGE),
    schema.BASE_IMAGE: (schema.OS, schema.BASE_IMAGE),
    schema.RECIPE: (
        schema.RECIPE,
        schema.RECIPE_VERSION,
        schema.ARGUMENTS,
    ),
    schema.RECIPE_VERSION: (schema.RECIPE_VERSION, schema.ARGUMENTS),
    schema.MANIFEST: (schema.MANIFEST, schema.RESOURCES, schema.ARGUMENTS),
    # The manifest names them.
    schema.RESOURCES: (schema.MANIFEST, schema.RESOURCES),
    schema.VISIBILITY: (schema.VISIBILITY, schema.MEMBERS),
}


class Given:
    """The properties as far as they are known.

    ``given[name]`` is the value of a property, with placeholders in it, or
    None where nothing of it is known.

    :param properties: Heat's.
    :ivar complete: all of them are known: none waits for another resource.
    """

    def __init__(self, properties: Any) -> None:
        self._properties = properties
        self._places: set[str] = set()
        self._replaced = {
            name: self._known(snippet, name)
            for name, snippet in properties.data.items()
            if _waits(snippet)
        }
        self.complete = not self._replaced
        #: Those of which nothing can be said.
        self._left_out = {
            needed
            for name, snippet in properties.data.items()
            if name in self._places
            for needed in _NEEDS.get(name, (name,))
        }

    def has(self, name: str) -> bool:
        """Whether a property has a value, or will have one."""
        if name not in self._properties.data:
            return False
        if name in self._replaced:
            return True
        return self._properties.get_user_value(name) not in (None, '', [], {})

    def __getitem__(self, name: str) -> Any:
        if name in self._left_out:
            return None
        if name not in self._replaced:
            return self._properties[name]
        # So that Heat makes of the known parts what it makes of them later.
        one = heat_properties.Properties(
            {name: schema.PROPERTIES[name]},
            {name: self._replaced[name]},
            context=self._properties.context,
        )
        try:
            return one[name]
        except ValueError:
            # The placeholder is not of the type that Heat wants there.
            self._places.add(name)
            self._left_out.add(name)
            return None

    def about_known(
        self, problems: Iterable[exception.Problem]
    ) -> list[exception.Problem]:
        """Those problems that are none of the placeholders'."""
        return [
            problem
            for problem in problems
            if not any(self._is_unknown(place) for place in _above(problem))
        ]

    def _is_unknown(self, place: str) -> bool:
        if place in self._places or place in self._left_out:
            return True
        # A recipe that is a program may refuse a value without naming it.
        return place == schema.RECIPE and any(
            each.startswith(schema.ARGUMENTS) for each in self._places
        )

    def _known(self, snippet: Any, place: str) -> Any:
        """Resolve a snippet, with placeholders for what is not known."""
        if not _waits(snippet):
            return function.resolve(snippet)
        if isinstance(snippet, function.Function):
            self._places.add(place)
            return PLACEHOLDER
        if isinstance(snippet, Mapping):
            return {
                str(key): self._known(value, f'{place}.{key}')
                for key, value in snippet.items()
            }
        return [
            self._known(value, f'{place}[{index}]')
            for index, value in enumerate(snippet)
        ]


def _waits(snippet: Any) -> bool:
    # As Heat does for constraints.
    return any(
        resource.action == resource.INIT
        for resource in function.dependencies(snippet)
    )


def _above(problem: exception.Problem) -> Iterator[str]:
    """Every place that a problem is at: files[0].path, files[0], files."""
    path = problem.path
    while path:
        yield re.sub(r'\["(.*?)"\]', r'.\1', path)
        path = re.sub(r'(\.[^.\[\]]*|\[[^\[\]]*\])$|^[^.\[\]]*$', '', path)
