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
#: What makes whoever runs the tests root, if he is not.
#: Runs $1 as sshd does.
"""Print what pip is configured with as variables of uv's, one on a line.

uv reads no pip.conf, which is where a site names its mirror. The exit code is
1 when pip has a setting that is not known here, and would have been lost. By
https://docs.astral.sh/uv/reference/environment/ and "pip config --help".
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterable

NAMES = {
    'index-url': 'UV_DEFAULT_INDEX',
    'extra-index-url': 'UV_INDEX',
    'find-links': 'UV_FIND_LINKS',
    'constraint': 'UV_CONSTRAINT',
    'trusted-host': 'UV_INSECURE_HOST',
    'cert': 'SSL_CERT_FILE',
}
#: What says neither which packages are taken nor from where.
OTHERS = frozenset(
    (
        'break-system-packages cache-dir default-timeout '
        'disable-pip-version-check no-cache-dir no-color no-input '
        'no-warn-script-location progress-bar quiet require-virtualenv '
        'retries root-user-action timeout verbose'
    ).split()
)
#: Sections that "pip install" reads; the last one wins.
SECTIONS = ('global', 'install', ':env:')


class UnknownSetting(Exception):
    """pip is told something that uv would not be."""


def translate(lines: Iterable[str]) -> dict[str, str]:
    """Variables of uv's, by their names.

    :param lines: of "pip config list", as ``global.index-url='...'``.
    :raises UnknownSetting: there is no such variable.
    """
    found: dict[str, dict[int, str]] = {}
    for line in lines:
        key, _, value = line.strip().partition('=')
        section, _, name = key.partition('.')
        if section not in SECTIONS or name in OTHERS:
            continue
        if name not in NAMES:
            raise UnknownSetting(name)
        values = found.setdefault(NAMES[name], {})
        values[SECTIONS.index(section)] = str(ast.literal_eval(value))
    return {
        name: text
        for name, values in found.items()
        if (text := _joined(name, values[max(values)].split()))
    }


def _joined(name: str, words: list[str]) -> str:
    if name != 'UV_FIND_LINKS':
        return ' '.join(words)
    # Those that are not there are an error of uv's, and none of pip's.
    return ','.join(w for w in words if '://' in w or os.path.exists(w))


def main() -> int:
    """Ask the pip of this interpreter."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'config', 'list'],
        capture_output=True,
        text=True,
    )
    try:
        variables = translate(done.stdout.splitlines())
    except (UnknownSetting, ValueError, SyntaxError):
        return 1
    for name, value in variables.items():
        print(f'{name}={value}')
    return done.returncode


if __name__ == '__main__':
    sys.exit(main())
