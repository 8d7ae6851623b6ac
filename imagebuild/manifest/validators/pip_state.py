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
"""What Python distributions a system holds, and installing more."""

from __future__ import annotations

import dataclasses
import json
import re
import urllib.parse
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from packaging import requirements
from packaging import utils
from packaging import version

from imagebuild import exception
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell

#: What pip prints when no index has what it was asked for.
_NO_DISTRIBUTION = re.compile(r'No matching distribution found for (\S+)')

#: Runs in the guest, with whatever Python 3 it has: importlib.metadata came
#: with 3.8, setuptools' pkg_resources serves those before.
LOOK_PYTHON = r"""
import importlib.util
import json
import os
import platform
import sys

found = {}
try:
    from importlib import metadata
except ImportError:
    try:
        import pkg_resources
        for item in pkg_resources.working_set:
            found[item.project_name] = [item.version, None]
    except ImportError:
        pass
else:
    for item in metadata.distributions():
        name = item.metadata['Name']
        if name and name not in found:
            origin = item.read_text('direct_url.json')
            found[name] = [item.version, origin and json.loads(origin)]
implementation = sys.implementation
number = '.'.join(map(str, implementation.version[:3]))
print(json.dumps({
    'pip': importlib.util.find_spec('pip') is not None,
    'found': found,
    'environment': {
        'implementation_name': implementation.name,
        'implementation_version': number,
        'os_name': os.name,
        'platform_machine': platform.machine(),
        'platform_release': platform.release(),
        'platform_system': platform.system(),
        'platform_version': platform.version(),
        'python_full_version': platform.python_version(),
        'platform_python_implementation': platform.python_implementation(),
        'python_version': '.'.join(platform.python_version_tuple()[:2]),
        'sys_platform': sys.platform,
    },
}))
"""
#: Arguments: the interpreter, the program above.
LOOK = shell.Script(
    'look at Python distributions',
    r"""
# No Python is an answer, not an error: a later step may install it.
if ! command -v "$1" > /dev/null; then
    echo null
    exit 0
fi
# -I: what lies in a directory or in PYTHONPATH does not count as installed.
cd /
exec "$1" -I -c "$2"
""",
)
#: Arguments: the virtualenv or '', then requirements.
INSTALL = shell.Script(
    'python3 -m pip install',
    r"""
set -eu
python=python3
if [ -n "$1" ]; then
    python=$1/bin/python3
    if ! [ -x "$python" ] || ! "$python" -I -c 'import pip' 2> /dev/null
    then
        python3 -m venv "$1"
    fi
fi
shift
exec "$python" -m pip install --no-cache-dir --no-input \
    --disable-pip-version-check -- "$@"
""",
)
#: Older ones did not note where a distribution came from.
_NOTES_ORIGIN = version.Version('20.1')


@dataclasses.dataclass(frozen=True)
class PipState:
    """What one interpreter finds.

    :ivar pip: whether it has pip.
    :ivar found: normalized name to version and origin (PEP 610).
    :ivar environment: what markers are compared with.
    """

    pip: bool
    found: Mapping[str, tuple[str, Mapping[str, Any] | None]]
    environment: Mapping[str, str]

    def unmet(self, wanted: requirements.Requirement) -> str | None:
        """Say why a requirement is not met."""
        if wanted.marker and self.environment:
            if not wanted.marker.evaluate(dict(self.environment)):
                return None
        name = utils.canonicalize_name(wanted.name)
        if name not in self.found:
            return f'{wanted.name} is not installed'
        number, origin = self.found[name]
        if wanted.url and not self._is_from(wanted.url, origin):
            return f'{wanted.name} was not installed from that URL'
        # prereleases: the question is what is there, not what pip may take.
        try:
            met = wanted.specifier.contains(number, prereleases=True)
        except version.InvalidVersion:
            met = not wanted.specifier
        if not met:
            return f'{wanted.name} is {number}, not {wanted.specifier}'
        return None

    def _is_from(self, url: str, origin: Mapping[str, Any] | None) -> bool:
        if origin is None:
            # Without a note an old pip may have installed it from anywhere;
            # a new one would have noted a URL.
            number = self.found.get('pip', ('0', None))[0]
            return version.Version(number) < _NOTES_ORIGIN
        plain, revision = _split_revision(url)
        noted = str(origin.get('url', ''))
        wanted_revision = origin.get('vcs_info', {}).get('requested_revision')
        return (
            _without_login(plain) == _without_login(noted)
            and revision == wanted_revision
        )


def _split_revision(url: str) -> tuple[str, str | None]:
    """Take ``git+`` and ``@revision`` from the URL of a repository."""
    url = url.partition('#')[0]
    kind, plus, rest = url.partition('+')
    if not plus or '/' in kind or ':' in kind:
        return url, None
    head, at, revision = rest.rpartition('@')
    if at and '/' not in head.partition('://')[2]:
        return rest, None  # only a login stands before the "@"
    return (head, revision) if at else (rest, None)


def _without_login(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition('@')[2]
    return parts._replace(netloc=host).geturl().rstrip('/')


def python(virtualenv: str) -> str:
    """The interpreter that is meant."""
    return f'{virtualenv}/bin/python3' if virtualenv else 'python3'


def look(context: base.Context, virtualenv: str) -> PipState:
    """Look in one call.

    :raises StepFailed: the interpreter failed or printed something else.
    """
    output = LOOK.run(context, python(virtualenv), LOOK_PYTHON)
    try:
        state = json.loads(output)
        if state is None:
            return PipState(False, {}, {})
        return PipState(
            state['pip'],
            {
                utils.canonicalize_name(name): (number, origin)
                for name, (number, origin) in state['found'].items()
            },
            state['environment'],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise exception.StepFailed(
            'the Python distributions could not be looked at'
        ) from error


def install(
    context: base.Context,
    record: base.StepRecord,
    virtualenv: str,
    index_url: str,
    wanted: Sequence[str],
) -> None:
    """Install in one call.

    :param index_url: '' for pip's own. Then its output is shown only when
        it ends, for it must be searched for the URL as a whole.
    :raises StepFailed: pip failed.
    """
    env = environment(virtualenv, index_url)
    hidden = secrets([index_url, *wanted])
    try:
        output = INSTALL.run(
            context,
            virtualenv,
            *wanted,
            env=env,
            record=None if hidden else record,
        )
    except exception.StepFailed as error:
        raise exception.StepFailed(
            _redact(_unknown(error.output) or error.reason, hidden),
            command=error.command,
            command_exit_code=error.command_exit_code,
            output=_redact(error.output, hidden),
        ) from None
    if hidden:
        record.on_output('stdout', _redact(output, hidden))


def environment(virtualenv: str, index_url: str) -> dict[str, str]:
    """Variables for pip."""
    env = {'PIP_ROOT_USER_ACTION': 'ignore'}
    if not virtualenv:
        # As --break-system-packages; ignored by a pip that lacks it.
        env['PIP_BREAK_SYSTEM_PACKAGES'] = '1'
    if index_url:
        env['PIP_INDEX_URL'] = index_url
    return env


def _unknown(output: str) -> str:
    """Say what no index has, '' when that was not why pip failed."""
    found = _NO_DISTRIBUTION.search(output)
    if found is None:
        return ''
    return f"Python package '{found[1]}' is not known to pip of this image"


def secrets(texts: Sequence[str]) -> list[str]:
    """URLs and logins in texts, longest first."""
    found = set()
    for text in texts:
        url = text.partition('@ ')[2] or text
        if '://' not in url:
            continue
        login = urllib.parse.urlsplit(url).netloc.rpartition('@')[0]
        if login:
            found |= {url, login, *login.split(':', 1)}
            # pip may print a login as it was given or decoded.
            found |= set(map(urllib.parse.unquote, login.split(':', 1)))
        elif text == url:
            found.add(url)
    return sorted(found - {'', 'git'}, key=len, reverse=True)


def _redact(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, '***')
    return text
