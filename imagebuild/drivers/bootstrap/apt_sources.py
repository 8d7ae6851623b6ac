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
"""The package sources of this machine, read from both of apt's formats.

See sources.list(5). Only what decides where packages come from is kept.

python-debian reads deb822, but neither the one-line format nor the folding of
values: it would save a dozen lines and be one more dependency of the programs
for one machine.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

_ETC = pathlib.Path('/etc/apt')

#: Options that decide whether an archive is believed. The others choose
#: among architectures, languages and indexes, and stay with the machine.
_KEPT = (
    'Signed-By',
    'Trusted',
    'Check-Valid-Until',
    'Valid-Until-Max',
    'Check-Date',
    'Allow-Insecure',
    'Allow-Weak',
)
_KEPT_LOWER = {name.lower(): name for name in _KEPT}
_ONE_LINE = re.compile(
    r'deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?'
    r'(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)'
)
#: apt reads no other names in sources.list.d.
_FILE_NAME = re.compile(r'[A-Za-z0-9_.-]+\.(?:list|sources)')


@dataclasses.dataclass(frozen=True)
class AptSource:
    """One archive with one suite.

    :ivar uri: as the machine spells it, without a final slash.
    :ivar suite: such as ``bookworm-updates``.
    :ivar components: such as ``main``.
    :ivar options: deb822 field names and values, ``Signed-By`` among them;
        a value of several lines is a key.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def signed_by(self) -> str:
        """Keyring paths, fingerprints or a key; '' when not set."""
        return self.options.get('Signed-By', '')

    def signed_by_these(self, names: Sequence[str]) -> AptSource:
        """The same source with other keyrings.

        :param names: keyring paths and fingerprints.
        """
        options = {**self.options, 'Signed-By': ' '.join(names)}
        return dataclasses.replace(self, options=options)

    def deb822(self) -> str:
        """The stanza of a ``.sources`` file, ending in a newline."""
        fields = {
            'Types': 'deb',
            'URIs': self.uri,
            'Suites': self.suite,
            'Components': ' '.join(self.components),
            **self.options,
        }
        return ''.join(
            f'{name}:{_folded(value)}\n' for name, value in fields.items()
        )


def _folded(value: str) -> str:
    first, *rest = value.split('\n')
    lines = [f' {first}' if first else '']
    lines.extend(f' {line or "."}' for line in rest)
    return '\n'.join(lines)


def read(etc: pathlib.Path = _ETC) -> list[AptSource]:
    """Read the sources of a machine, in apt's order.

    :param etc: apt's directory.
    :returns: the enabled binary sources. Files that cannot be read and
        lines that apt would refuse are left out.
    """
    paths = [etc / 'sources.list']
    directory = etc / 'sources.list.d'
    if directory.is_dir():
        paths.extend(
            path
            for path in sorted(directory.iterdir())
            if _FILE_NAME.fullmatch(path.name)
        )
    found: list[AptSource] = []
    for path in paths:
        try:
            text = path.read_text(encoding='utf-8', errors='replace')
        except OSError:
            continue
        parse = parse_deb822 if path.suffix == '.sources' else parse_list
        found.extend(parse(text))
    return found


def parse_list(text: str) -> list[AptSource]:
    """Read the one-line format."""
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition('#')[0].strip())
        if match:
            words = (match['options'] or '').split()
            options = dict(word.split('=', 1) for word in words if '=' in word)
            found.append(
                AptSource(
                    match['uri'].rstrip('/'),
                    match['suite'],
                    tuple(match['components'].split()),
                    _kept(options),
                )
            )
    return found


def parse_deb822(text: str) -> list[AptSource]:
    """Read the format of ``.sources`` files."""
    found = []
    for fields in _stanzas(text):
        if 'deb' not in fields.get('types', '').split():
            continue
        if fields.get('enabled', 'yes').lower() in ('no', 'false', '0'):
            continue
        for uri in fields.get('uris', '').split():
            for suite in fields.get('suites', '').split():
                found.append(
                    AptSource(
                        uri.rstrip('/'),
                        suite,
                        tuple(fields.get('components', '').split()),
                        _kept(fields),
                    )
                )
    return found


def _kept(options: Mapping[str, str]) -> dict[str, str]:
    return {
        _KEPT_LOWER[name.lower()]: value
        for name, value in options.items()
        if name.lower() in _KEPT_LOWER
    }


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Give each stanza's fields, names in lower case."""
    fields: dict[str, str] = {}
    last = ''
    for line in [*text.splitlines(), '']:
        if line.startswith('#'):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ''
        elif line[0] in ' \t':
            if last:
                # A line of a full stop alone stands for an empty one.
                more = line.strip()
                fields[last] += '\n' + ('' if more == '.' else more)
        else:
            # Names of fields are the same in any case, as for apt.
            name, _, value = line.partition(':')
            last = name.strip().lower()
            fields[last] = value.strip()
