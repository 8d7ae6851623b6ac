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
import shutil

import pytest

from imagebuild.db import migration
from tests.contract.database import clock  # noqa: F401
from tests.contract.database import crowded  # noqa: F401
from tests.contract.database import database  # noqa: F401


@pytest.fixture(scope='session')
def empty_file(tmp_path_factory):
    """A SQLite file with the tables, to be copied."""
    path = tmp_path_factory.mktemp('database') / 'empty.sqlite'
    migration.upgrade(f'sqlite:///{path}')
    return path


@pytest.fixture
def url(empty_file, tmp_path):
    path = tmp_path / 'imagebuild.sqlite'
    shutil.copyfile(empty_file, path)
    return f'sqlite:///{path}'


@pytest.fixture
def blank_url(tmp_path):
    return f'sqlite:///{tmp_path / "blank.sqlite"}'
