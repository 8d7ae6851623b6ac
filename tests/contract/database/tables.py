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
"""The tables and their migrations."""

import concurrent.futures

import pytest

from imagebuild import exception
from imagebuild.db import migration


class TablesContract:
    def test_migrations_make_what_the_models_say(self, url):
        assert migration.differences(url) == []

    def test_version(self, url):
        assert migration.version(url) == migration.head()

    def test_upgrading_what_is_new(self, url):
        migration.upgrade(url)
        assert migration.version(url) == migration.head()

    def test_unknown_version(self, url):
        with pytest.raises(exception.InvalidInput, match='nonsense'):
            migration.upgrade(url, 'nonsense')

    def test_from_nothing_by_several_at_once(self, blank_url):
        assert migration.version(blank_url) is None
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in [
                pool.submit(migration.upgrade, blank_url) for _ in range(4)
            ]:
                done.result()
        assert migration.version(blank_url) == migration.head()
        assert migration.differences(blank_url) == []
