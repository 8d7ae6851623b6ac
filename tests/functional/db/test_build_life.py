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
"""The diagram of a build's life has what the database lets happen."""

import pathlib
import re

import pytest

from imagebuild import exception
from imagebuild.common import statuses
from tests.contract.database import claim
from tests.contract.database import finish
from tests.contract.database import start
from tests.contract.database import uploads
from tests.contract.database import values

ROOT = pathlib.Path(__file__).parents[3]
DIAGRAM = ROOT / 'doc' / 'source' / 'diagrams' / 'build-life.dot'
#: What is no status: before there is a build, and when it is not found.
ASKED, GONE = 'asked', 'gone'


def drawn():
    edges = re.findall(r'^ *(\w+) -> (\w+)\b', DIAGRAM.read_text(), re.M)
    assert len(edges) == len(set(edges))
    return set(edges)


# -- a build of each status -------------------------------------------------


def queued(database):
    return database.create_build(values())


def uploading(database):
    """A conductor has its upload; without one it is ended at once."""
    build = uploads.start_uploads(database, start(database))
    uploads.claim_upload(database, build)
    return database.get_build(build.id)


def active(database):
    build = start(database)
    finish(database, build)
    return build


def error(database):
    build = start(database)
    finish(database, build, 'error', fault='service')
    return build


def cancelled(database):
    return database.request_cancel(queued(database).id)


def deleting(database):
    build = start(database)
    database.delete_build(build.id)
    return build


BUILDS = {
    'queued': queued,
    'building': start,
    'uploading': uploading,
    'active': active,
    'error': error,
    'cancelled': cancelled,
    'deleting': deleting,
}


# -- what may happen to one -------------------------------------------------


def cancel(database, build):
    database.request_cancel(build.id)


def cancel_and_stop(database, build):
    """As the conductor that has it, when it sees that."""
    database.request_cancel(build.id)
    finish(database, build, 'cancelled')


def delete(database, build):
    database.delete_build(build.id)


def requeue(database, build):
    database.requeue_build(
        build.id,
        conductor=build.conductor,
        attempt=build.attempt,
        reason='Its conductor died.',
    )


def lose_its_file(database, build):
    database._clock.forward(3600)
    database.uploads_without_file(seconds=60, max_attempts=3)


def end_its_upload(**outcome):
    def end_its_upload(database, build):
        [job] = database.list_uploads(build_id=build.id)
        uploads.finish_upload(database, job, **outcome)

    return end_its_upload


EVENTS = [
    cancel,
    cancel_and_stop,
    delete,
    requeue,
    lose_its_file,
    end_its_upload(),
    end_its_upload(reason='No.', fault='user'),
    lambda database, build: claim(database, build.id, 'c2'),
    lambda database, build: database.end_queued(build.id, 'In vain.'),
    lambda database, build: finish(database, build, 'error', fault='user'),
    lambda database, build: uploads.start_uploads(database, build),
]


def status_of(database, id):
    try:
        return database.get_build(id).status
    except exception.NotFound:
        return GONE


def test_every_status_is_drawn():
    assert BUILDS.keys() == set(statuses.ALL)
    assert {node for edge in drawn() for node in edge} == {
        *statuses.ALL,
        ASKED,
        GONE,
    }


def test_what_may_happen_is_drawn(database):
    met = set()
    for status, make in BUILDS.items():
        for event in EVENTS:
            build = make(database)
            assert status_of(database, build.id) == status
            try:
                event(database, build)
            except (exception.Conflict, exception.NotFound, ValueError):
                continue
            found = status_of(database, build.id)
            if found != status:
                met.add((status, found))
    met |= set(met_by_the_same_content(database))
    assert met == drawn()


def met_by_the_same_content(database):
    for ending, fault in (('active', None), ('error', 'user')):
        key = f'of one that becomes {ending}'
        first = start(database, content_key=key)
        second = database.create_build(values(content_key=key))
        yield ASKED, second.status
        finish(database, first, ending, fault=fault)
        yield second.status, status_of(database, second.id)
        third = database.create_build(values(content_key=key))
        yield ASKED, third.status


def test_what_a_channel_has_is_refused(database):
    """The 409 that is drawn."""
    assert '409: a channel has it' in DIAGRAM.read_text()
    build = active(database)
    database.promote_build(build.id, 'stable')
    with pytest.raises(exception.Conflict):
        database.delete_build(build.id)
