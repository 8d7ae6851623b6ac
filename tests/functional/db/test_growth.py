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
from imagebuild.db import models
from imagebuild.db import package_models

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


@pytest.fixture(scope='module')
def images(empty_file, tmp_path_factory):
    """Databases with few and with many images, all of them active.

    Every image holds package 1, three of them package 2.
    """
    found = []
    for number in (300, 3000):
        path = tmp_path_factory.mktemp('images') / 'imagebuild.sqlite'
        path.write_bytes(empty_file.read_bytes())
        database = db.Database(f'sqlite:///{path}')
        _fill(database, number)
        found.append(database)
    yield found
    for each in found:
        each.close()


def _fill(database, number):
    packages = [
        {'id': id, 'digest': f'{id}', 'project_id': 'p1', 'type': 'deb',
         'name': f'package-{id}', 'version': '1', 'architecture': 'all'}
        for id in range(1, number)
    ]  # fmt: skip
    ids = range(1, number + 1)
    sboms = [
        {'id': id, 'build_id': f'b{id}', 'created_at': database._clock(),
         'document': b''}
        for id in ids
    ]  # fmt: skip
    images = [
        {'id': f'i{id}', 'project_id': 'p1', 'content_key': 'k',
         'image_id': f'g{id}', 'build_id': f'b{id}',
         'created_at': database._clock()}
        for id in ids
    ]  # fmt: skip
    links = [{'package_id': 1, 'sbom_id': id} for id in ids] + [
        {'package_id': 2, 'sbom_id': id} for id in ids[-3:]
    ]
    with database._engine.begin() as connection:
        for model, values in (
            (package_models.Package, packages),
            (package_models.Sbom, sboms),
            (models.Image, images),
            (package_models.SbomPackage, links),
        ):
            connection.execute(sa.insert(model), values)


def _holders(database, name, limit):
    found = database.package_versions([(None, name)], project_id='p1')
    held = database.images_with([each.id for each in found], limit=limit)
    assert len(held) == min(limit, 3 if name == 'package-2' else limit)


@pytest.mark.parametrize('name', ['package-1', 'package-2'])
def test_who_holds_a_package_does_not_grow_with_the_images(images, name):
    few, many = (
        steps(each, lambda database: _holders(database, name, 20))
        for each in images
    )
    assert many <= few * 1.5 + 100, f'{few} steps became {many}'


def test_what_grows_is_seen(filled):
    few, many = (
        steps(each, finished.CALLS['count_builds']) for each in filled
    )
    assert many > 4 * few
