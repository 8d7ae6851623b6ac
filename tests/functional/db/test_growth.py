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
"""What the database reads does not grow with what is finished.

Steps of SQLite's machine are counted, which are the same each time: about a
dozen for each row that is read. benchmarks/queue/finished.py has the times, on
other databases, too.
"""

import pytest
import sqlalchemy as sa

from benchmarks.queue import finished
from imagebuild import db

#: What reads all that there is, and is called seldom.
_GROWS = {
    'count_builds': 'scraped by Prometheus',
    'retire_unused_images, all': 'once an hour',
    'the same with quotas': 'as far as the limits of the project',
    'stored_bytes': 'only for projects with that limit',
}


@pytest.fixture(scope='module')
def filled(empty_file, tmp_path_factory):
    """Databases with few and with many builds that have ended."""
    found = []
    for number in (600, 6000):
        path = tmp_path_factory.mktemp('growth') / 'imagebuild.sqlite'
        path.write_bytes(empty_file.read_bytes())
        database = db.Database(f'sqlite:///{path}')
        finished.fill(database, number)
        found.append(database)
    yield found
    for each in found:
        each.close()


def steps(database, call):
    """How many tens of steps a call takes."""
    counted = [0]

    def count():
        counted[0] += 1

    def connect(connection, _record, _proxy=None):
        connection.set_progress_handler(count, 10)

    def release(connection, _record):
        connection.set_progress_handler(None, 10)

    engine = database._engine
    sa.event.listen(engine, 'checkout', connect)
    sa.event.listen(engine, 'checkin', release)
    try:
        call(database)
    finally:
        sa.event.remove(engine, 'checkout', connect)
        sa.event.remove(engine, 'checkin', release)
    return counted[0]


@pytest.mark.parametrize('name', [
    name for name in finished.CALLS if name not in _GROWS
])  # fmt: skip
def test_growth(filled, name):
    few, many = (steps(each, finished.CALLS[name]) for each in filled)
    # Ten times as many rows; trees that are a level deeper.
    assert many <= few * 1.5 + 100, f'{few} steps became {many}'


def test_what_grows_is_seen(filled):
    few, many = (
        steps(each, finished.CALLS['count_builds']) for each in filled
    )
    assert many > 4 * few
