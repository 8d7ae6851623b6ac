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
"""Databases with our tables and no rows, for tests."""

import functools
import pathlib
import tempfile

from imagebuild.db import migration


def make(path):
    """Make one of SQLite.

    The migrations are run once; the others are copies: 1 ms, not 100.

    :param path: of its file, which is not there.
    :returns: its URL.
    """
    path = pathlib.Path(path)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(_migrated())
    return f'sqlite:///{path}'


@functools.cache
def _migrated():
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / 'imagebuild.sqlite'
        migration.upgrade(f'sqlite:///{path}')
        # All of it is in the one file, as nobody has it open.
        assert not path.with_name(f'{path.name}-wal').exists()
        return path.read_bytes()
