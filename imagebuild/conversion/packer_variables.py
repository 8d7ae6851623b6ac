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
"""Templates of Packer, read, and the variables in them.

A variable becomes an argument. Packer replaces its name before a shell sees
the text; so does this, by the variable's default. Where a value is exactly a
variable, as in ``environment_vars``, scripts get the argument itself.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.common import extras
from imagebuild.conversion import draft
from imagebuild.conversion import values

_MAX_BYTES = 4 * 1024 * 1024
#: ``{{ user `name` }}`` of JSON, ``${var.name}`` of HCL.
_REFERENCE = re.compile(
    r'\{\{\s*user\s+[`"](?P<json>[^`"]+)[`"]\s*\}\}'
    r'|\$\{\s*(?:var|local)\.(?P<hcl>[A-Za-z_][A-Za-z0-9_-]*)\s*\}'
)
_LEFT = re.compile(r'(?<!\$)\$\{(?![A-Za-z_][A-Za-z0-9_]*\})[^}]*\}'
                   r'|\{\{[^}]*\}\}')  # fmt: skip
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_.-]*')

Provisioner = tuple[str, str, Mapping[str, Any]]


@dataclasses.dataclass
class Variables:
    """The variables of a template.

    :ivar defaults: None where a value has to be given.
    :ivar hidden: names of those that are secrets.
    :ivar hcl: written in HCL, which has further expressions.
    """

    made: draft.Draft
    hcl: bool
    defaults: dict[str, str | None] = dataclasses.field(default_factory=dict)
    descriptions: dict[str, str] = dataclasses.field(default_factory=dict)
    hidden: set[str] = dataclasses.field(default_factory=set)
    used: set[str] = dataclasses.field(default_factory=set)

    def alone(self, value: str) -> str:
        """The variable that a value is, '' if it is something else."""
        match = _REFERENCE.fullmatch(value.strip())
        name = (match['json'] or match['hcl']) if match else ''
        if name not in self.defaults or not _NAME.fullmatch(name):
            return ''
        self.used.add(name)
        return name

    def resolved(self, where: str, text: str) -> str:
        """A text with the defaults of its variables.

        :raises Malformed: one has none, or is a secret.
        """

        def replace(match: re.Match[str]) -> str:
            name = match['json'] or match['hcl']
            default = self.defaults.get(name)
            if default is None or name in self.hidden:
                raise draft.Malformed(
                    f'the variable {name} has no default that could be '
                    'written down; hand it to the script by environment_vars'
                )
            self.made.remark(
                where, f'the variable {name} is replaced by its default'
            )
            return default

        text = _REFERENCE.sub(replace, text)
        if match := _LEFT.search(text):
            raise draft.Malformed(
                f'the expression {match[0]} is not understood'
            )
        if self.hcl:
            text = text.replace('$${', '${').replace('%%{', '%{')
        return text

    def arguments(self) -> dict[str, dict[str, Any]]:
        """Those that scripts are given, as arguments of a manifest."""
        found: dict[str, dict[str, Any]] = {}
        for name in sorted(self.used):
            default = self.defaults[name]
            entry: dict[str, Any] = {
                'description': self.descriptions.get(name)
                or f'The variable {name} of the template.'
            }
            if default is None or name in self.hidden:
                entry['required'] = True
            else:
                entry['default'] = default
            if name in self.hidden:
                entry['hidden'] = True
            found[name] = entry
        return found


@dataclasses.dataclass
class Template:
    """What is needed of a template.

    :ivar provisioners: place, type and properties, in order.
    :ivar others: place and kind of what is not carried over.
    """

    variables: Variables
    provisioners: list[Provisioner]
    others: list[tuple[str, str]]


def exported(argument: str) -> str:
    """The variable that scripts find an argument in."""
    return argument.replace('-', '_').replace('.', '_')


def of_json(text: str, made: draft.Draft) -> Template:
    """Read a template of the older form.

    :raises InvalidInput: it is not one.
    """
    try:
        data = json.loads(text)
        if len(text) > _MAX_BYTES or not isinstance(data, dict):
            raise ValueError('it is too large, or not a mapping')
    except (ValueError, RecursionError) as error:
        raise exception.InvalidInput(
            f'{made.name} is no template of Packer: {error}.'
        ) from None
    made.description = str(data.get('description') or '')
    variables = Variables(made, hcl=False)
    found = data.get('variables')
    for name, value in (found if isinstance(found, dict) else {}).items():
        default = None if value is None else values.text(value)
        # {{env `X`}} is of the host that builds.
        if default is not None and '{{' in default:
            made.lose(f'variables.{name}', f'its default {default}')
            default = None
        variables.defaults[name] = default
    for name in data.get('sensitive-variables') or ():
        variables.hidden.add(str(name))
    provisioners: list[Provisioner] = []
    listed = data.get('provisioners')
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        where = f'provisioners[{index}]'
        if isinstance(item, dict):
            provisioners.append((where, str(item.get('type', '')), item))
        else:
            made.lose(where, 'it is not a mapping')
    others = [(key, key) for key in ('builders', 'post-processors')
              if data.get(key)]  # fmt: skip
    return Template(variables, provisioners, others)


def of_hcl(text: str, made: draft.Draft) -> Template:
    """Read a template in HCL.

    :raises InvalidInput: it is not one.
    :raises MissingDependency: python-hcl2 is not installed.
    """
    data = _parsed(text, made)
    variables = Variables(made, hcl=True)
    for name, entry in _blocks(data, 'variable'):
        default = entry.get('default')
        variables.defaults[name] = (
            None
            if default is None or isinstance(default, list | dict)
            else _null(values.text(default))
        )
        variables.descriptions[name] = str(entry.get('description') or '')
        if values.is_true(entry.get('sensitive')):
            variables.hidden.add(name)
    for entry in _listed(data, 'locals'):
        for name, value in entry.items():
            text = _REFERENCE.sub(
                lambda match: (
                    variables.defaults.get(match['hcl'] or '') or match[0]
                ),
                value if isinstance(value, str) else '${}',
            )
            if not _LEFT.search(text):
                variables.defaults[name] = text
    provisioners: list[Provisioner] = []
    for build in _listed(data, 'build'):
        for kind, entry in _blocks(build, 'provisioner'):
            where = f'provisioner[{len(provisioners)}]'
            provisioners.append((where, kind, entry))
    others = [
        (f'source {kind}', 'the source') for kind, _ in _blocks(data, 'source')
    ]
    others += [
        ('post-processor', 'a post-processor')
        for build in _listed(data, 'build')
        if 'post-processor' in build or 'post-processors' in build
    ]
    return Template(variables, provisioners, list(dict.fromkeys(others)))


def _null(default: str) -> str | None:
    return None if default == '${null}' else default


def _parsed(text: str, made: draft.Draft) -> Mapping[str, Any]:
    with extras.needed('A template in HCL', 'packer'):
        import hcl2
    if len(text) > _MAX_BYTES:
        raise exception.InvalidInput(f'{made.name} is too large.')
    options = hcl2.SerializationOptions(
        with_comments=False,
        preserve_heredocs=False,
        explicit_blocks=False,
        strip_string_quotes=True,
    )
    try:
        data = hcl2.loads(text.rstrip() + '\n', serialization_options=options)
    # The parser raises its own tree of errors, and RecursionError.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise exception.InvalidInput(
            f'{made.name} is no HCL: {lines[0]}'
        ) from None
    return data if isinstance(data, dict) else {}


def _listed(data: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    for item in values.items(data.get(key)) if key in data else ():
        if isinstance(item, dict):
            yield item


def _blocks(
    data: Mapping[str, Any], key: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Label and content of blocks with a label."""
    for item in _listed(data, key):
        for label, entry in item.items():
            yield label.strip('"'), entry if isinstance(entry, dict) else {}
