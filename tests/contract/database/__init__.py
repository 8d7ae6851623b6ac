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
"""What imagebuild.db promises, as tests for every kind of database.

A module that has a database makes it pass them like this::

    class TestQueue(queue.QueueContract):
        pass

with the fixtures ``clock``, ``database`` and ``crowded`` of this package and
its own ``url`` (a database that has the tables and no rows) and ``blank_url``
(one without tables).
"""

import datetime
import itertools

import pytest

from imagebuild import db
from imagebuild.common import placement
from imagebuild.conductor import lane_order
from imagebuild.db import models
from imagebuild.db import transaction

START = datetime.datetime(2026, 1, 1)
RETRIES = transaction.Retries(seconds=60, first=0.02)
_ids = itertools.count(1)


class Clock:
    """A clock that goes on by a millisecond whenever it is read."""

    def __init__(self):
        self.time = START

    def __call__(self):
        self.forward(0.001)
        return self.time

    def forward(self, seconds):
        self.time += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(url, clock):
    database = db.Database(url, clock=clock, retries=RETRIES)
    yield database
    database.close()


@pytest.fixture
def crowded(url):
    """For many at once: the real clock, and time to wait for each other."""
    database = db.Database(url, retries=RETRIES)
    yield database
    database.close()


def values(**others):
    """Columns of a build; each call is another content."""
    return {
        'project_id': 'p1',
        'user_id': 'u1',
        'name': 'web',
        'os': 'debian-12',
        'driver': 'fake',
        'architecture': 'x86_64',
        'request': {'name': 'web', 'packages': ['nginx']},
        'base': {'driver': 'fake', 'kind': 'none'},
        'content_key': f'key-{next(_ids)}',
        'timeout': 60,
        **others,
    }


IMAGE = {
    'image_id': 'glance-1',
    'disk_format': 'qcow2',
    'container_format': 'bare',
    'size': 3_000_000_000,
    'os_hash_algo': 'sha512',
    'os_hash_value': 'f' * 128,
}


def claim(database, build_id, conductor, **others):
    """Claim the job of a build.

    :returns: the build; None if that is not to be had.
    """
    job = database.claim(conductor, job=build_id, **others)
    return None if job is None else database.get_build(build_id)


def claim_next(
    database,
    conductor,
    *,
    drivers=('fake',),
    operating_systems=(),
    architecture='x86_64',
    running_limit=-1,
    aging=0,
):
    """Claim as a conductor does.

    :returns: the build; None if there is none to be had.
    """
    capable = placement.Capability(
        name=conductor,
        drivers=tuple(drivers),
        operating_systems=tuple(operating_systems),
        architectures=(architecture,),
        destinations=('north', 'south'),
    )
    lanes = [
        lane
        for lane in database.lanes(['build'], running_limit=running_limit)
        if not placement.missing(
            placement.Needs.from_dict(lane.needs), capable
        )
    ]
    now = datetime.datetime.max if aging else START
    for lane in lane_order.in_order(lanes, now=now, aging=aging):
        job = database.claim(
            conductor, lane=lane.id, running_limit=running_limit
        )
        if job is not None:
            return database.get_build(job.build_id)
    return None


def claimable(database, limit=None, **others):
    """The ids of what a conductor would claim, in that order.

    It claims them, and puts them back.
    """
    claimed = []
    while limit is None or len(claimed) < limit:
        build = claim_next(database, 'look', **others)
        if build is None:
            break
        claimed.append(build)
    for build in claimed:
        database.requeue_build(
            build.id,
            conductor='look',
            attempt=build.attempt,
            reason='',
            counts=False,
        )
    return [build.id for build in claimed]


def start(database, conductor='c1', **others):
    """Create a build and claim it."""
    build = database.create_build(values(**others))
    return claim(database, build.id, conductor)


def insert(database, row):
    """Put a row into a table as it is."""
    for name in ('created_at', 'updated_at'):
        if hasattr(row, name):
            setattr(row, name, database._clock())
    database._write(lambda session: session.add(row))


def upload_row(database, **columns):
    """An upload as some conductor has left it."""
    columns = {'id': transaction.new_id(), 'disk_format': 'raw', **columns}
    insert(database, models.Upload(**columns))
    database.adopt_uploads()
    return database.get_upload(columns['id'])


def image_row(database, build, destination):
    """An image that a build has at a further destination."""
    columns = {
        **IMAGE,
        'id': transaction.new_id(),
        'project_id': build.project_id,
        'content_key': build.content_key,
        'build_id': build.id,
        'destination': destination,
        'image_id': f'g-{destination}',
    }
    insert(database, models.Image(**columns))


def without_users(database):
    """Images that are to be deleted, once it was looked for unused ones."""
    database.retire_unused_images()
    return database.deleting_images()


def delete_image(database, image, conductor='c1'):
    """Delete an image as a conductor does."""
    job = database.claim(conductor, job=image.id)
    assert database.finish_deletion(
        image.id, conductor=conductor, attempt=job.attempt
    )


def finish(database, build, status='active', **others):
    """End a claimed build as its conductor."""
    if status == 'active':
        others.setdefault('image', IMAGE)
    return database.finish_build(
        build.id,
        db.Outcome(status, **others),
        conductor=build.conductor,
        attempt=build.attempt,
    )
