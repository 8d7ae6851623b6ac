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
"""Install as "pip install" would, in a quarter of the time.

    .venv/bin/python tools/pip_install.py [options and requirements]

With uv, which has pip's command line. It reads no pip.conf, which is where a
site names its mirror: that is told to it. Where pip has a setting that uv
would not be told, or uv fails, pip does it, and says why if it fails as well.
By https://docs.astral.sh/uv/reference/environment/ and "pip config --help".

Then all of it is compiled, by all processors.
"""

import ast
import os
import signal
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
_PIP = (
    *('pip', 'install', '--quiet', '--quiet', '--no-input', '--no-compile'),
    '--disable-pip-version-check',
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


def _configured() -> dict[str, str] | None:
    """Variables of uv's by the pip of this interpreter, None without."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'config', 'list'],
        capture_output=True,
        text=True,
    )
    try:
        return None if done.returncode else translate(done.stdout.splitlines())
    except (UnknownSetting, ValueError, SyntaxError):
        return None


def _run(*argv: str, quiet: bool = False, **variables: str) -> int:
    return subprocess.run(
        [sys.executable, '-m', *argv],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
        env={**os.environ, **variables},
    ).returncode


def _by_uv(arguments: list[str]) -> bool:
    variables = _configured()
    if variables is None or _run(*_PIP, 'uv', quiet=True):
        return False
    # pip adds to these what it is told in a call; uv would replace them.
    constraints = variables.pop('UV_CONSTRAINT', '').split()
    return not _run(
        *('uv', 'pip', 'install', '--quiet', '--python', sys.executable),
        *(f'--constraint={each}' for each in constraints),
        *arguments,
        quiet=True,
        # As pip does: the newest of all indexes.
        UV_INDEX_STRATEGY='unsafe-best-match',
        **variables,
    )


def main(arguments: list[str]) -> int:
    """Install, and compile.

    :param arguments: of "pip install", those that uv has, too.
    :returns: the exit code of pip, 0 when all is there.
    """
    # Ctrl-C ends this without a traceback, and pip is not asked as well.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not _by_uv(arguments):
        code = _run(*_PIP, *arguments)
        if code:
            return code
    # Without the tests of packages. What cannot be compiled is their business.
    library = os.path.join(sys.prefix, 'lib')
    _run('compileall', '-qq', '-j', '0', '-x', '/tests?/', library)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
