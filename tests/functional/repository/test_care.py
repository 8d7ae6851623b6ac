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
"""A conductor looks after its repository."""

import os
import time

import pytest

from imagebuild import db
from imagebuild import exception
from imagebuild import repository as kit
from imagebuild.conductor import repository_care
from imagebuild.db import migration
from tests.contract import database as rows
from tests.functional import conductors
from tests.unit.repository.conftest import facts


@pytest.fixture
def database(tmp_path):
    url = f'sqlite:///{tmp_path}/imagebuild.sqlite'
    migration.upgrade(url)
    database = db.Database(url)
    yield database
    database.close()


@pytest.fixture
def make(tmp_path, database):
    """Makes what looks after a repository, as after a restart."""

    def make(name='c1', **limits):
        repository = kit.Repository(
            tmp_path / 'repository', kit.Limits(**limits)
        )
        made = repository_care.RepositoryCare(repository, database, name)
        return repository, made

    return make


@pytest.fixture
def put(tmp_path, database):
    def put(repository, build='b1', hours=0):
        try:
            database.get_build(build)
        except exception.NotFound:
            database.create_build(rows.values(id=build, content_key=build))
            # It has ended: its file is wanted by nobody in particular.
            database.request_cancel(build)
        path = tmp_path / 'image'
        path.write_bytes(os.urandom(3000))
        made = repository.put(path, facts(build))
        lock = repository.directory_of(made.id) / 'lock'
        past = time.time() - hours * 3600
        os.utime(lock, (past, past))
        return made

    return put


def states(database):
    found = database.list_artifacts(status=None)
    return {each.build_id: each.status for each in found}


def test_a_restart_registers_what_is_there(make, put, database):
    repository, care = make()
    put(repository, 'b1')
    lost, bad = put(repository, 'b2'), put(repository, 'b3')
    care.look()
    assert set(states(database).values()) == {'present'}
    (repository.directory_of(lost.id) / 'image').unlink()
    (repository.directory_of(bad.id) / 'image').write_bytes(b'y' * 3000)
    gone = put(repository, 'b4')
    make()[1].look()
    repository.remove(gone.id)
    make()[1].look()
    assert states(database) == {
        'b1': 'present', 'b2': 'lost', 'b3': 'corrupt', 'b4': 'lost',
    }  # fmt: skip
    assert database.get_artifact(bad.id).status_reason


def test_what_is_wanted_stays(make, put, database):
    repository, care = make(max_age=3600)
    running = rows.start(database)
    put(repository, running.id, hours=3)
    put(repository, 'b2', hours=2)
    put(repository, 'b3')
    care.look()
    assert states(database) == {
        running.id: 'present', 'b2': 'removed', 'b3': 'present',
    }  # fmt: skip
    found = {each.facts.build_id for each in repository.list_artifacts()}
    assert found == {running.id, 'b3'}


def test_killed_between_the_row_and_the_file(make, put, database):
    repository, care = make()
    made = put(repository)
    care.look()
    assert database.retire_artifact(made.id)
    make()[1].look()
    assert repository.list_artifacts() == []
    assert states(database) == {'b1': 'removed'}


def test_a_database_that_is_away_removes_nothing(make, put, database):
    repository, care = make(max_age=3600)
    put(repository, hours=3)
    database.close()
    away = db.Database('sqlite:////nowhere/x.sqlite')
    lonely = repository_care.RepositoryCare(repository, away, 'c1')
    with pytest.raises(exception.DatabaseUnavailable):
        lonely.look()
    assert len(repository.list_artifacts()) == 1


def test_what_the_disk_did_is_found_in_time(make, put, database, monkeypatch):
    repository, care = make()
    made = put(repository)
    care.look()
    path = repository.directory_of(made.id) / 'image'
    status = path.stat()
    path.write_bytes(b'y' * 3000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    care.look()
    care.verify()
    assert states(database) == {'b1': 'present'}
    monkeypatch.setattr(repository_care, '_CHECK_AFTER', 0)
    care.verify()
    assert states(database) == {'b1': 'corrupt'}


def test_a_directory_that_is_gone_takes_no_row_along(make, put, database):
    """An unmounted file system: nothing is lost, it is not there."""
    repository, care = make()
    put(repository)
    care.look()
    os.rename(repository.directory, repository.directory.with_name('away'))
    with pytest.raises(exception.EnvironmentFault):
        care.look()
    # Whatever is mounted in its place is another repository.
    other, other_care = make()
    other_care.look()
    assert other.id != repository.id
    assert states(database) == {'b1': 'present'}


def test_it_runs_by_itself(make, put, database):
    repository, care = make()
    put(repository)
    care.start()
    conductors.wait_until(lambda: states(database) == {'b1': 'present'})
    put(repository, 'b2')
    care.wake()
    conductors.wait_until(lambda: 'b2' in states(database))
    care.stop()
