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
"""Tools that bring a system into a state that their own files describe.

A tool is a row of a table: a command for each mode, and what it prints where
something was changed, or would be. It runs in the system itself, without its
server.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from collections.abc import Mapping

#: In the directory of the files.
VARIABLES = '.imagebuild-variables.json'


@dataclasses.dataclass(frozen=True)
class Call:
    """How a tool is called.

    :ivar source: name of the main file in the directory of the files, which
        is the working directory.
    :ivar check: whether nothing may be changed.
    """

    source: str
    check: bool


@dataclasses.dataclass(frozen=True)
class Tool:
    """One of them.

    :ivar name: in manifests.
    :ivar program: that must be there.
    :ivar command: the command of a call.
    :ivar changes: finds in what was printed how many things were changed, or
        would be; each match has a number, or counts as one. What is printed
        may be anything: a number has no more than nine digits.
    :ivar environment: variables of the command, of those of the manifest and
        the directory of the files.
    :ivar good: exit codes besides 0 that mean success.
    """

    name: str
    program: str
    command: Callable[[Call], list[str]]
    changes: re.Pattern[str]
    environment: Callable[[Mapping[str, str], str], dict[str, str]]
    good: frozenset[int] = frozenset()

    def changed(self, printed: str) -> int:
        """How many things were changed, or would be."""
        return sum(
            int(match[1]) if match.lastindex else 1
            for match in self.changes.finditer(printed)
        )


def _ansible(call: Call) -> list[str]:
    return [
        'ansible-playbook',
        *('--connection', 'local', '--inventory', 'localhost,'),
        *('--extra-vars', f'@{VARIABLES}'),
        *(['--check'] if call.check else []),
        *('--', call.source),
    ]


def _puppet(call: Call) -> list[str]:
    return [
        *('puppet', 'apply', '--color=false', '--detailed-exitcodes'),
        '--modulepath=modules',
        *(['--noop'] if call.check else []),
        *('--', call.source),
    ]


def _chef(call: Call) -> list[str]:
    return [
        *('chef-client', '--local-mode', '--no-color', '--force-formatter'),
        *('--chef-license', 'accept-silent', '--json-attributes', VARIABLES),
        *(['--why-run'] if call.check else []),
        call.source,
    ]


def _salt(call: Call) -> list[str]:
    return [
        *('salt-call', '--local', '--no-color', '--retcode-passthrough'),
        *('--file-root=.', '--state-output=changes', 'state.apply'),
        call.source.removesuffix('.sls').replace('/', '.'),
        *(['test=True'] if call.check else []),
    ]


def _of_ansible(_values: Mapping[str, str], directory: str) -> dict[str, str]:
    return {
        'ANSIBLE_NOCOLOR': '1',
        'ANSIBLE_RETRY_FILES_ENABLED': '0',
        # Else it leaves directories in /root and /tmp.
        'ANSIBLE_HOME': f'{directory}/.ansible',
        'ANSIBLE_LOCAL_TEMP': f'{directory}/.ansible/local',
        'ANSIBLE_REMOTE_TEMP': f'{directory}/.ansible/remote',
    }


def _of_puppet(values: Mapping[str, str], _directory: str) -> dict[str, str]:
    return {f'FACTER_{name}': value for name, value in values.items()}


def _nothing(_values: Mapping[str, str], _directory: str) -> dict[str, str]:
    return {}


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            'ansible',
            'ansible-playbook',
            _ansible,
            re.compile(r'\bok=\d{1,9} +changed=(\d{1,9})'),
            environment=_of_ansible,
        ),
        Tool(
            'puppet',
            'puppet',
            _puppet,
            re.compile(
                r'^Notice: /Stage\[main\].*(?:\(noop\)|defined content|created'
                r'|changed|executed successfully|removed|ensure)',
                re.MULTILINE,
            ),
            good=frozenset({2}),
            environment=_of_puppet,
        ),
        Tool(
            'chef',
            'chef-client',
            _chef,
            re.compile(
                r'(?<!\d)(\d{1,9})/\d{1,9} resources '
                r'(?:would have been )?updated'
            ),
            environment=_nothing,
        ),
        Tool(
            'salt',
            'salt-call',
            _salt,
            re.compile(r'(?:un)?changed=(\d{1,9})'),
            environment=_nothing,
        ),
    )
}


def variables(values: Mapping[str, str]) -> bytes:
    """The file of variables."""
    return json.dumps(values, sort_keys=True).encode()
