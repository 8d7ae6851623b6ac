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
"""Configuration files of OpenStack's services."""

import pathlib
from collections.abc import Mapping

Sections = Mapping[str, Mapping[str, object]]


def text(sections: Sections) -> str:
    """Sections as oslo.config reads them; lists are joined by commas."""
    lines = []
    for section, options in sections.items():
        lines.append(f'[{section}]')
        lines += [f'{name} = {_value(v)}' for name, v in options.items()]
        lines.append('')
    return '\n'.join(lines)


def write(path: pathlib.Path, content: str) -> None:
    """Write a file that only we can read: passwords are in there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == content:
        return
    new = path.with_name(f'{path.name}.new')
    new.touch(mode=0o600)
    new.write_text(content)
    new.replace(path)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ','.join(map(str, value))
    return str(value)
