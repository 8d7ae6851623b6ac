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
"""imagebuild-manage repository."""

import re
import uuid

import pytest

from imagebuild import db
from imagebuild import repository as kit
from imagebuild.cmd import manage
from imagebuild.db import migration
from tests.contract import database as rows
from tests.unit.repository.conftest import facts


@pytest.fixture
def run(tmp_path, capsys):
    config = tmp_path / 'imagebuild.conf'
    config.write_text(f'[DEFAULT]\nstate_path = {tmp_path}\n')

    def run(*words):
        code = manage.main(
            ['--config-file', str(config), 'repository', *words]
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def repository(tmp_path):
    return kit.Repository(tmp_path / 'repository')


@pytest.fixture
def database(tmp_path):
    url = f'sqlite:///{tmp_path}/imagebuild.sqlite'
    migration.upgrade(url)
    database = db.Database(url)
    yield database
    database.close()


@pytest.fixture
def put(repository, tmp_path):
    def put(build='b1'):
        path = tmp_path / 'image'
        path.write_bytes(b'x' * 3000)
        return repository.put(path, facts(build))

    return put


def test_there_is_none(run, tmp_path):
    code, out, err = run('list')
    assert (code, out) == (2, '')
    assert err == (
        f'There is no repository in {tmp_path}/repository: no conductor has '
        'made one.\n'
    )
    assert not (tmp_path / 'repository').exists()


def test_list(run, repository, put):
    made = put()
    (repository.directory_of(put('b2').id) / 'image').unlink()
    (repository.directory / 'artifacts' / 'x').mkdir()
    code, out, err = run('list')
    first, one, two, total, stray = out.splitlines()
    assert (code, err) == (0, '')
    assert first == f'Repository {repository.id} in {repository.directory}'
    assert re.fullmatch(
        rf'{made.id}  build b1  qcow2     2.9 KiB  used \S+Z  present', one
    )
    assert two.endswith('  lost: its file is gone')
    assert total == '2 image files of 5.9 KiB'
    assert stray.endswith(
        'artifacts/x is no image file; the conductor removes it.'
    )


def test_verify(run, repository, put):
    made, other = put(), put('b2')
    code, out, err = run('verify')
    assert (code, err, out.count('present')) == (0, '', 2)
    (repository.directory_of(made.id) / 'image').write_bytes(b'y' * 3000)
    code, out, err = run('verify', '--rate', '10')
    assert code == 3
    assert 'corrupt: its file has another sha512' in out
    assert err == '1 of 2 image files lost or corrupt.\n'
    assert run('verify', other.id)[0] == 0
    assert repository.get(made.id).status == kit.CORRUPT


def test_remove(run, repository, put, database):
    made = put()
    database.add_artifact(repository.id, 'c1', made.row())
    assert run('remove', made.id) == (0, '', '')
    assert repository.list_artifacts() == []
    assert database.get_artifact(made.id).status == 'removed'


def test_what_is_wanted_is_not_removed(run, repository, put, database):
    build = rows.start(database)
    made, used, free = put(build.id), put(), put()
    database.add_artifact(repository.id, 'c1', made.row())
    with repository.hold(used.id):
        code, out, err = run('remove', made.id, used.id, free.id)
    assert (code, out) == (3, '')
    assert err.splitlines() == [
        f'{made.id} is not removed: its build runs, or uploads of it are to '
        'come.',
        f'{used.id} is not removed: it is in use.',
        '2 of 3 image files not removed.',
    ]
    left = {each.id for each in repository.list_artifacts()}
    assert left == {made.id, used.id}
    assert database.get_artifact(made.id).status == 'present'


def test_without_a_database_nothing_is_removed(run, repository, put):
    made = put()
    code, _out, err = run('remove', made.id)
    assert code == 3
    assert err.startswith('The database has not the tables')
    assert repository.list_artifacts() == [made]


@pytest.mark.parametrize('command', ['verify', 'remove'])
@pytest.mark.parametrize('id', ['x', '../id', str(uuid.UUID(int=7))])
def test_one_that_is_not_there(run, put, command, id):
    made = put()
    code, out, err = run(command, made.id, id)
    assert (code, out) == (2, '')
    assert err == f'There is no image file {id}.\n'


@pytest.mark.parametrize(
    'words',
    [(), ('remove',), ('verify', '--rate', '0'), ('verify', '--rate', 'x')],
)
def test_bad_usage(run, words):
    code, _out, err = run(*words)
    assert code == 2
    assert 'see "imagebuild-manage' in err
