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
"""Parts of a document that a program writes."""

from __future__ import annotations

import pathlib
import textwrap


def write(path: pathlib.Path, name: str, text: str) -> None:
    """Replace one part of a reStructuredText file by a literal block.

    :param path: it has the two comments that are the part's limits.
    :param name: of the part.
    :raises ValueError: the file has no such part.
    """
    begin = f'.. generated: {name}\n'
    end = f'.. end of {name}\n'
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f'{path} has no part "{name}"')
    lines = '\n'.join(line.rstrip() for line in text.splitlines())
    block = textwrap.indent(lines, '    ')
    path.write_text(f'{before}{begin}\n::\n\n{block}\n\n{end}{after}')
