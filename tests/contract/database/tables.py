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
import contextlib
import datetime

import pytest
import sqlalchemy as sa

from imagebuild import db
from imagebuild import exception
from imagebuild.db import engine as engines
from imagebuild.db import migration
from tests.contract.database import table_differences


class TablesContract:
    def test_migrations_make_what_the_models_say(self, url):
        assert table_differences.find(url) == []

    def test_version(self, url):
        assert migration.version(url) == migration.head()

    def test_upgrading_what_is_new(self, url):
        migration.upgrade(url)
        assert migration.version(url) == migration.head()

    def test_the_release_before_goes_on_with_newer_tables(self, blank_url):
        migration.upgrade(blank_url, '0001')
        engine = engines.create(blank_url, engines.PoolSettings())
        table = sa.Table('builds', sa.MetaData(), autoload_with=engine)
        row = {
            column.name: 0 if column.type.python_type is int else '{}'
            for column in table.columns
            if not column.nullable and column.type.python_type is not bool
        } | {'cancel_requested': False}
        row |= {
            name: datetime.datetime(2026, 1, 1)
            for name in ('created_at', 'updated_at')
        }
        with engine.begin() as connection:
            connection.execute(table.insert().values(row | {'id': 'before'}))
        migration.upgrade(blank_url)
        with engine.begin() as connection:
            connection.execute(table.insert().values(row | {'id': 'while'}))
        engine.dispose()
        with contextlib.closing(db.Database(blank_url)) as database:
            found = {each.id: each for each in database.list_builds()}
            assert set(found) == {'before', 'while'}
            for each in found.values():
                assert (each.requeues, each.request) == (0, {})

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
        assert table_differences.find(blank_url) == []
