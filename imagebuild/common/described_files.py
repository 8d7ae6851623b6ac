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
"""Files that are described by a small JSON document beside them.

The document is digested, so that one that was cut off or edited is known;
the file itself has a stamp in it, which changes whenever it is written to.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import secrets
from collections.abc import Mapping
from typing import Any

#: Inode, size and time of the last change, in nanoseconds.
Stamp = tuple[int, int, int]


class Damaged(Exception):
    """It is not what was written."""


def stamp_of(path: pathlib.Path) -> Stamp:
    """What changes whenever a file is written to.

    :raises OSError: there is no such file.
    """
    status = os.stat(path, follow_symlinks=False)
    return status.st_ino, status.st_size, status.st_mtime_ns


def write(path: pathlib.Path, content: bytes) -> None:
    """Write a new file that nobody else can read, and bring it to the disk.

    :raises OSError: it cannot be written, or is there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: pathlib.Path, content: bytes) -> None:
    """Write a file as :func:`write`, in place of one that was there.

    :raises OSError: it cannot be written; the old one is still there.
    """
    new = path.with_name(f'.{path.name}.{secrets.token_hex(8)}')
    try:
        write(new, content)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def dump(values: Mapping[str, Any], form: int) -> str:
    """Write a document.

    :param values: of JSON's types.
    :param form: a number that changes when their meaning does.
    """
    values = {**values, 'form': form}
    return json.dumps({**values, 'digest': _digest(values)})


def parse(text: bytes, form: int) -> dict[str, Any]:
    """Read what :func:`dump` wrote.

    :raises Damaged: it is something else, or of another form.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        known = values.pop('digest')
        if known != _digest(values) or values.pop('form') != form:
            raise Damaged
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged from error
    return values


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
