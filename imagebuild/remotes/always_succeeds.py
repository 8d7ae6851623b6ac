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
"""A Remote on which everything succeeds, for builds without a guest.

It calls itself Debian 12. Packages that are installed are there afterwards,
each with an enabled service of its own name; files that are written have what
was written, one among systemd's units is a unit; scripts succeed, and every
other command succeeds without output. Validators that look for more than
that find nothing and fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from imagebuild.remotes import base
from imagebuild.remotes import fake

#: In the script that looks at files.
_LOOKS_AT_FILES = 'sha256sum < "$path"'
_INSTALL = ('install', '--')
#: In the script that lists all packages.
_LISTS_PACKAGES = 'imagebuild-lists-packages'
#: In the scripts that look at units and change them; the latter has both.
_LOOKS_AT_UNITS = 'systemctl --root=/ is-enabled'
_CHANGES_UNITS = 'systemctl --root=/ "$1" "$2"'
_UNIT_DIRECTORIES = ('/etc', '/lib', '/usr/lib')
#: Words before the arguments: /bin/sh -c TEXT imagebuild.
_SHELL_WORDS = 4


class AlwaysSucceedsRemote(fake.FakeRemote):
    """A system in which everything succeeds.

    :param output_lines: how many lines each script prints.
    """

    def __init__(self, output_lines: int = 0) -> None:
        super().__init__(
            {
                '/etc/os-release': 'ID=debian\nVERSION_ID="12"\n'
                'PRETTY_NAME="Debian 12 (fake)"\n'
            }
        )
        self._output_lines = output_lines
        self._packages: dict[str, str] = {}
        self._enabled: dict[str, bool] = {}
        self._masked: set[str] = set()
        self.when(lambda command: True, self._reply)

    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int = 0o644,
        owner: str = 'root',
        group: str = 'root',
    ) -> None:
        """See :meth:`base.Remote.write_file`; every owner is known."""
        self.users.add(owner)
        self.groups.add(group)
        super().write_file(path, content, mode=mode, owner=owner, group=group)

    def _reply(self, command: fake.Command) -> fake.Answer:
        if command.script is not None:
            return fake.Answer(pieces=self._lines(command))
        if command.argv[0] == 'dpkg-query':
            return fake.Answer(self._dump())
        text = ' '.join(command.argv[:_SHELL_WORDS])
        words = command.argv[_SHELL_WORDS:]
        if _LISTS_PACKAGES in text:
            return fake.Answer(self._packages_and_sources())
        if _LOOKS_AT_FILES in text:
            return fake.Answer(''.join(self._look(path) for path in words))
        if _CHANGES_UNITS in text:
            return self._change_units(words)
        if _LOOKS_AT_UNITS in text:
            lines = [f'{unit} {self._unit(unit)}\n' for unit in words]
            return fake.Answer(''.join(lines))
        if _INSTALL[1] in words and _INSTALL[0] in words:
            for name in words[words.index(_INSTALL[1]) + 1 :]:
                package, _, version = name.partition('=')
                self._packages[package] = version or '1.0'
            return fake.Answer(self._dump())
        return fake.Answer()

    def _lines(self, command: fake.Command) -> list[tuple[base.Stream, str]]:
        name = command.argv[0]
        return [
            ('stdout', f'{name}: line {number} of {self._output_lines}\n')
            for number in range(1, self._output_lines + 1)
        ]

    def _dump(self) -> str:
        return ''.join(
            f'ii \t{name}\t{version}\tamd64\t\n'
            for name, version in self._packages.items()
        )

    def _packages_and_sources(self) -> str:
        return 'database\tdeb\n' + ''.join(
            f'deb\tii \t{name}\t{version}\tamd64\t{name}\t{version}\n'
            for name, version in self._packages.items()
        )

    def _look(self, path: str) -> str:
        found = self.files.get(path)
        if found is None:
            return 'absent\n'
        digest = hashlib.sha256(found.content).hexdigest()
        # Both by name and by number: whatever was asked for is there.
        who = f'{found.owner} {found.group} {found.owner} {found.group}'
        return f'file {digest} {found.mode:o} {who}\n'

    def _unit(self, name: str) -> str:
        """What ``systemctl is-enabled`` prints."""
        if name in self._masked:
            return 'masked'
        comes_with = name.removesuffix('.service') in self._packages
        paths = [f'{each}/systemd/system/{name}' for each in _UNIT_DIRECTORIES]
        if not comes_with and not any(path in self.files for path in paths):
            return 'not-found'
        enabled = self._enabled.get(name, comes_with)
        return 'enabled' if enabled else 'disabled'

    def _change_units(self, words: Sequence[str]) -> fake.Answer:
        """Verb, unit, verb, unit, as far as the units are there."""
        for verb, name in zip(words[::2], words[1::2], strict=True):
            if self._unit(name) == 'not-found':
                error = f'Failed to {verb} unit: {name} does not exist\n'
                return fake.Answer(stderr=error, exit_code=1)
            if verb == 'mask':
                self._masked.add(name)
            elif verb == 'unmask':
                self._masked.discard(name)
            else:
                self._enabled[name] = verb == 'enable'
        return fake.Answer()
