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
"""Properties, some of which depend on resources that do not exist yet.

``get_attr`` of a resource that is still to be created has no value when a
template is validated. What does not depend on it can be checked nevertheless:
placeholders stand for the unknown values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat.engine import function
from heat.engine.properties import Properties

from heat_plugin import schema
from imagebuild import exception

#: A string that may stand for a package, a file's content, a value, a tag.
PLACEHOLDER = 'placeholder'

#: Properties that cannot be checked where the property of the key is unknown.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    schema.OS: (schema.OS, schema.BASE_IMAGE),
    schema.BASE_IMAGE: (schema.OS, schema.BASE_IMAGE),
    schema.BASE_CHANNEL: (
        schema.OS,
        schema.BASE_IMAGE,
        schema.BASE_CHANNEL,
    ),
    schema.RECIPE: (
        schema.RECIPE,
        schema.RECIPE_VERSION,
        schema.ARGUMENTS,
    ),
    schema.RECIPE_VERSION: (schema.RECIPE_VERSION, schema.ARGUMENTS),
    schema.MANIFEST: (schema.MANIFEST, schema.RESOURCES, schema.ARGUMENTS),
    # The manifest names the resources, so neither is checked without both.
    schema.RESOURCES: (schema.MANIFEST, schema.RESOURCES),
    schema.VISIBILITY: (schema.VISIBILITY, schema.MEMBERS),
}


class KnownProperties:
    """The properties as far as they are known.

    ``known[name]`` is the value of a property, with placeholders in it, or
    None where nothing of it is known.

    :param properties: Heat's.
    :ivar complete: all are known: none depends on a resource to be created.
    """

    def __init__(self, properties: Any) -> None:
        self._properties = properties
        self._unknown_paths: set[str] = set()
        self._with_placeholders = {
            name: self._substitute(snippet, name)
            for name, snippet in properties.data.items()
            if depends_on_new(snippet)
        }
        self.complete = not self._with_placeholders
        #: Properties that cannot be checked.
        self._unchecked = {
            needed
            for name, snippet in properties.data.items()
            if name in self._unknown_paths
            for needed in _NEEDS.get(name, (name,))
        }

    def has(self, name: str) -> bool:
        """Whether a property has a value, or will have one."""
        if name not in self._properties.data:
            return False
        if name in self._with_placeholders:
            return True
        return self._properties.get_user_value(name) not in (None, '', [], {})

    def __getitem__(self, name: str) -> Any:
        if name in self._unchecked:
            return None
        if name not in self._with_placeholders:
            return self._properties[name]
        # Properties of one property: Heat converts the known parts as it will
        # when all values are there.
        single = Properties(
            {name: schema.PROPERTIES[name]},
            {name: self._with_placeholders[name]},
            context=self._properties.context,
        )
        try:
            return single[name]
        except ValueError:
            # The placeholder, a string, is not of this property's type.
            self._unknown_paths.add(name)
            self._unchecked.add(name)
            return None

    def not_of_placeholders(
        self, problems: Iterable[exception.Problem]
    ) -> list[exception.Problem]:
        """Return the problems that no placeholder is the cause of."""
        return [
            problem
            for problem in problems
            if not any(self._is_unknown(path) for path in _ancestors(problem))
        ]

    def _is_unknown(self, path: str) -> bool:
        if path in self._unknown_paths or path in self._unchecked:
            return True
        # The service finds a problem where its own request has the value.
        # Also, a recipe written as a program may refuse an argument's value
        # without naming the argument.
        cause = {
            schema.OS: schema.BASE_CHANNEL,
            schema.RECIPE: schema.ARGUMENTS,
        }.get(path)
        return cause is not None and any(
            re.split(r'[.[]', each)[0] == cause for each in self._unknown_paths
        )

    def _substitute(self, snippet: Any, path: str) -> Any:
        """Resolve a snippet, with placeholders for unknown values."""
        if not depends_on_new(snippet):
            return function.resolve(snippet)
        if isinstance(snippet, function.Function):
            self._unknown_paths.add(path)
            return PLACEHOLDER
        if isinstance(snippet, Mapping):
            return {
                str(key): self._substitute(value, f'{path}.{key}')
                for key, value in snippet.items()
            }
        return [
            self._substitute(value, f'{path}[{index}]')
            for index, value in enumerate(snippet)
        ]


def of_map(
    properties: Properties, name: str, schemata: Mapping[str, Any]
) -> KnownProperties | None:
    """Return what is known of a map that is one property.

    :param properties: Heat's, of the resource.
    :param name: of the property.
    :param schemata: of what is in the map.
    :returns: None where nothing is known.
    """
    given = properties.data.get(name)
    if not depends_on_new(given):
        # As Heat converts it: a template may give a text of JSON.
        given = {
            key: value
            for key, value in properties[name].items()
            if value is not None
        }
    if not isinstance(given, Mapping):
        return None
    return KnownProperties(
        Properties(
            schemata, given, properties.resolve, context=properties.context
        )
    )


def depends_on_new(snippet: Any) -> bool:
    """Whether a part of a template needs a resource that does not exist."""
    # As heat.engine.properties decides whether to check constraints.
    return any(
        resource.action == resource.INIT
        for resource in function.dependencies(snippet)
    )


def _ancestors(problem: exception.Problem) -> Iterator[str]:
    """Yield a problem's path and those above: files[0].path ... files."""
    path = problem.path
    while path:
        yield re.sub(r'\["(.*?)"\]', r'.\1', path)
        path = re.sub(r'(\.[^.\[\]]*|\[[^\[\]]*\])$|^[^.\[\]]*$', '', path)
