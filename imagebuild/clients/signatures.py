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
"""Signatures of files, by gpgv."""

from __future__ import annotations

import pathlib
import re
import subprocess
import tempfile

from imagebuild import exception
from imagebuild.common import openpgp

_TIMEOUT = 30
_MAX_KEYRING = 4 * 1024 * 1024
_VALID = re.compile(
    r'^\[GNUPG:\] VALIDSIG [0-9A-F]+ \S+ (?P<time>[0-9]+) ', re.MULTILINE
)


def verified(
    content: bytes,
    signature: bytes | None,
    keyring: pathlib.Path,
    what: str,
) -> tuple[bytes, int]:
    """Return what of a file is signed by somebody in a keyring.

    :param content: the file.
    :param signature: a detached one; None: it is inside of the file.
    :param keyring: public keys, binary or armoured.
    :param what: the file as it is called in messages.
    :returns: what is signed, and when, in seconds since 1970.
    :raises EnvironmentFault: there is no good signature.
    :raises MissingDependency: there is no gpgv.
    """
    with tempfile.TemporaryDirectory(prefix='imagebuild-') as name:
        directory = pathlib.Path(name)
        (directory / 'keys').write_bytes(_keys(keyring))
        (directory / 'content').write_bytes(content)
        files = ['content']
        if signature is not None:
            (directory / 'signature').write_bytes(signature)
            files = ['signature', 'content']
        done = _run(
            ['gpgv', '--homedir', name, '--keyring', './keys',
             '--status-fd', '1', '--output', 'signed', *files],
            directory, what,
        )  # fmt: skip
        match = _VALID.search(done.stdout)
        if done.returncode or match is None:
            raise exception.EnvironmentFault(
                f'{what} has no good signature by a key of {keyring}; it is '
                'not used.'
            )
        if signature is not None:
            return content, int(match['time'])
        # Of a file with its signature inside, nothing else is signed.
        return (directory / 'signed').read_bytes(), int(match['time'])


def _run(
    argv: list[str], directory: pathlib.Path, what: str
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            cwd=directory,
            env={'LC_ALL': 'C', 'PATH': '/usr/local/bin:/usr/bin:/bin'},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding='utf-8',
            errors='replace',
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise exception.MissingDependency(
            'The signature of a list of checksums is looked at with gpgv, '
            'which is not installed.'
        ) from None
    except subprocess.TimeoutExpired:
        raise exception.EnvironmentFault(
            f'gpgv did not end in {_TIMEOUT} s over the signature of {what}.'
        ) from None


def _keys(keyring: pathlib.Path) -> bytes:
    """The keys as gpgv wants them: not armoured."""
    try:
        with keyring.open('rb') as file:
            content = file.read(_MAX_KEYRING + 1)
    except OSError as error:
        raise exception.EnvironmentFault(
            f'The keyring {keyring} cannot be read: {error.strerror}.'
        ) from None
    if len(content) > _MAX_KEYRING:
        raise exception.EnvironmentFault(
            f'The keyring {keyring} is larger than any.'
        )
    try:
        keys = openpgp.read(content)
    except openpgp.InvalidKeys as error:
        raise exception.EnvironmentFault(
            f'The keyring {keyring} cannot be used: {error}.'
        ) from None
    return b''.join(key.packets for key in keys)
