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
"""The resource reference of the documentation, made from the schema.

``python -m tools.heat_reference`` prints the page. It needs Heat, which the
documentation is not built with, so the page is kept in the tree; a test
compares the two.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from heat.engine import constraints
from heat.engine import properties

from heat_plugin import schema

PAGE = 'doc/source/heat/reference.rst'

_HEAD = """\
.. Made by "python -m tools.heat_reference": change heat_plugin/schema.py.

=========================
``OS::ImageBuild::Image``
=========================

Builds an image and keeps it in Glance. ``get_resource`` gives the id of the
image.

.. code-block:: yaml

    resources:
      image:
        type: OS::ImageBuild::Image
        properties:
          os: debian-12
          packages: [nginx]
      server:
        type: OS::Nova::Server
        properties:
          image: {get_resource: image}
          flavor: m1.small
          networks: [{network: private}]

One of ``os``, ``base_image`` and ``base_channel`` is needed, everything else
may be left out.
First the packages are installed, then the Python packages, then the files are
written, then the recipe or manifest is applied.
"""

_GROUPS = (
    (
        'Properties that make the image',
        'A change builds another image and replaces the resource '
        '(:doc:`updates`).',
        schema.CONTENT,
    ),
    (
        'Properties about the image',
        'A change is made to the image that there is; its id stays.',
        schema.ABOUT,
    ),
    (
        'Properties about building',
        'A change costs nothing and holds for the next build.',
        schema.BUILDING,
    ),
    (
        'Properties that promote the image',
        'When it is built, and when they change: :doc:`../user/channels`.',
        schema.PROMOTION,
    ),
)

_CONSTRAINTS = """\
Constraints
===========

Parameters of templates may have them too, so that a wrong value is refused
before anything is done:

``imagebuild.base_image``
    An image in Glance, by its id or name.

``imagebuild.channel``
    A channel that the service has.

``imagebuild.os``
    An operating system of the service's catalogue.

``imagebuild.recipe``
    A recipe that the service has.
"""


def page() -> str:
    """Return the whole page."""
    return '\n'.join([_HEAD, *_properties(), *_attributes(), _CONSTRAINTS])


def _properties() -> Iterator[str]:
    for title, text, names in _GROUPS:
        yield f'{_title(title)}\n{text}\n'
        for name in names:
            yield _property(name, schema.PROPERTIES[name])


def _attributes() -> Iterator[str]:
    yield _title('Attributes')
    for name in schema.ATTRIBUTES:
        attribute = schema.ATTRIBUTES_SCHEMA[name]
        yield _entry(
            f'``{name}`` ({str(attribute.type).lower()})',
            [str(attribute.description)],
        )
    yield _entry(
        '``show`` (map)', ['Everything that the service knows of the build.']
    )


def _property(name: str, item: Any) -> str:
    lines = [str(item.description), *_limits(item)]
    kind = str(item.type).lower()
    inner = (
        item.schema['*'] if item.type == item.LIST and item.schema else None
    )
    if inner is not None:
        kind += f' of {str(inner.type).lower()}s'
    text = _entry(f'``{name}`` ({kind})', lines)
    if inner is None or not inner.schema:
        return text
    keys = '\n'.join(_property(key, inner.schema[key]) for key in inner.schema)
    return f'{text}\n{textwrap.indent(keys, "    ")}'


def _limits(item: Any) -> Iterator[str]:
    if item.required:
        yield 'Required.'
    for limit in item.constraints:
        if isinstance(limit, constraints.AllowedValues):
            values = ', '.join(f'``{value}``' for value in limit.allowed)
            yield f'One of {values}.'
        elif type(limit) is constraints.Range and limit.min:
            yield f'At least {limit.min}.'
        elif isinstance(limit, constraints.AllowedPattern):
            yield f'Matches ``{limit.pattern}``.'
        elif isinstance(limit, constraints.CustomConstraint):
            yield f'Constraint ``{limit.name}``.'
    if item.default is not None:
        yield f'Default: ``{_default(item)}``.'


def _default(item: Any) -> str:
    if item.type == properties.Schema.BOOLEAN:
        return str(item.default).lower()
    return str(item.default)


def _entry(term: str, sentences: list[str]) -> str:
    lines = [term]
    line = '   '
    for word in ' '.join(sentences).split():
        if len(line) + 1 + len(word) > 78:
            lines.append(line)
            line = '   '
        line += f' {word}'
    return '\n'.join([*lines, line]) + '\n'


def _title(text: str) -> str:
    return f'{text}\n{"=" * len(text)}\n'


if __name__ == '__main__':
    print(page(), end='')
