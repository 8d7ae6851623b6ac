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
"""A draft as the text of a manifest, which loads."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import yaml

from imagebuild import exception
from imagebuild import manifest
from imagebuild.common import control_characters
from imagebuild.conversion import draft

_PLACE = re.compile(r'validators\[([0-9]+)\]')
_ARGUMENT = re.compile(r'arguments\.([^.\[]+)')
#: What YAML and Python take for the end of a line as well.
_BREAKS = re.compile('[\r\v\f\x1c-\x1e\x85\u2028\u2029]')
_BEGIN = re.compile(r'^(?=[^\n])', re.MULTILINE)
_WIDTH = 76


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        style = '|' if '\n' in data else None
        if _BREAKS.search(data):
            style = '"'
        return self.represent_scalar('tag:yaml.org,2002:str', data, style)

    def key(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar('tag:yaml.org,2002:str', data, '"')


class _Key(str):
    """A key that must be in quotation marks: a block is none."""


_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(_Key, _Dumper.key)


def _with_keys(data: Any) -> Any:
    if isinstance(data, dict):
        return {
            _Key(key) if '\n' in str(key) else key: _with_keys(value)
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [_with_keys(item) for item in data]
    return data


def settle(made: draft.Draft) -> None:
    """Leave out of a draft what a manifest cannot have.

    What was converted may hold anything: a name that no package can have, a
    mode that is none. Such a step becomes a note.

    :raises InvalidInput: it is wrong elsewhere than in a step.
    """
    while True:
        try:
            manifest.load(text(made), resources=made.resources)
            return
        except exception.InvalidManifest as error:
            _leave_out(made, error)


def _leave_out(made: draft.Draft, error: exception.InvalidManifest) -> None:
    reasons: dict[int, list[str]] = {}
    removed = False
    for problem in error.errors:
        if match := _PLACE.match(problem.path):
            reasons.setdefault(int(match[1]), []).append(str(problem))
        elif match := _ARGUMENT.match(problem.path):
            removed |= made.arguments.pop(match[1], None) is not None
            made.lose(problem.path, problem.message)
    if not reasons and not removed:
        raise exception.InvalidInput(
            f'{made.name} cannot be converted: {error}'
        )
    for index in sorted(reasons, reverse=True):
        step = made.steps.pop(index)
        [kind] = step.validator
        reason = '; '.join(reasons[index])
        made.lose(
            step.comment or kind,
            f'a manifest cannot have it: {_PLACE.sub("step", reason)}',
        )


def _head(made: draft.Draft) -> dict[str, Any]:
    head: dict[str, Any] = {}
    if made.description:
        head['description'] = made.description
    head |= made.root
    if made.arguments:
        head['arguments'] = made.arguments
    return head


def text(made: draft.Draft) -> str:
    """The manifest, with what is to be known about it as comments."""
    name = control_characters.escaped(made.name)
    lines = _comment(
        f'Converted from {name} ({made.form}) by imagebuild-convert.'
    )
    for title, lost in (
        ('Not carried over:', True),
        ('Carried over, and to be looked at:', False),
    ):
        found = [note for note in made.notes if note.lost is lost]
        if found:
            lines += ['#', f'# {title}']
        for note in found:
            lines += _comment(str(note), '* ')
    head = _head(made)
    parts = ['\n'.join(lines) + '\n']
    if head:
        parts.append(_dump(head))
    parts.append(_steps(made))
    return '\n'.join(parts)


def _steps(made: draft.Draft) -> str:
    if not made.steps:
        return 'validators: []\n'
    parts = ['validators:\n']
    for step in made.steps:
        comment = control_characters.escaped(step.comment)
        found = '\n'.join(_comment(comment)) + '\n' if comment else ''
        found += _dump([step.validator])
        parts.append(_BEGIN.sub('  ', found))
    return ''.join(parts)


def _comment(line: str, mark: str = '') -> list[str]:
    indent = '# ' + ' ' * len(mark)
    return textwrap.wrap(
        line,
        _WIDTH,
        initial_indent=f'# {mark}',
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _dump(data: Any) -> str:
    made = yaml.dump(
        _with_keys(data),
        Dumper=_Dumper,
        allow_unicode=True,
        default_flow_style=False,
        sort_keys=False,
        width=1000,
    )
    # After a text that ends with blank lines comes the end of a document.
    return str(made[:-4] if made.endswith('\n...\n') else made)
