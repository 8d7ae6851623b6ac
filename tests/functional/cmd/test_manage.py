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
import datetime

import pytest

from imagebuild import db
from imagebuild.cmd import manage
from imagebuild.db import migration
from tests.contract.database import Clock
from tests.contract.database import table_differences
from tests.contract.database import values


@pytest.fixture
def url(tmp_path):
    return f'sqlite:///{tmp_path}/imagebuild.sqlite'


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'imagebuild.conf'
    path.write_text(f'[DEFAULT]\nstate_path = {tmp_path}\n')
    return path


@pytest.fixture
def run(config, capsys):
    def run(*words):
        code = manage.main(['--config-file', str(config), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_sync_and_version(run, url):
    assert run('db', 'version') == (0, 'none\n', '')
    head = migration.head()
    said = f'The tables are at version {head}.\n'
    assert run('db', 'sync') == (0, said, '')
    assert run('db', 'sync') == (0, said, '')
    assert run('db', 'version') == (0, f'{head}\n', '')
    assert table_differences.find(url) == []


def test_purge(run, url):
    run('db', 'sync')
    clock = Clock()
    clock.time = datetime.datetime(2020, 1, 1)
    database = db.Database(url, clock=clock)
    database.request_cancel(database.create_build(values()).id)
    database.create_build(values())
    assert run('db', 'purge', '--older-than', '30') == (
        0,
        'Removed 1 build.\n',
        '',
    )
    assert len(database.list_builds()) == 1
    database.close()


def test_quota(run):
    run('db', 'sync')
    usual = run('quota', 'show', 'red')[1]
    assert 'own' not in usual
    assert run('quota', 'set', 'red', 'running', '7') == (0, '', '')
    assert 'running        7 (of its own)\n' in run('quota', 'show', 'red')[1]
    assert run('quota', 'show', 'blue')[1] == usual
    assert run('quota', 'set', 'red', 'running', '-1') == (0, '', '')
    assert 'running        -1 (of its own)' in run('quota', 'show', 'red')[1]
    assert run('quota', 'unset', 'red', 'running') == (0, '', '')
    assert run('quota', 'show', 'red')[1] == usual


def test_config_file_after_the_command(config, capsys, url):
    arguments = ['db', 'sync', '--config-file', str(config)]
    assert manage.main(arguments) == 0
    assert migration.version(url)


def test_unknown_version(run):
    code, out, err = run('db', 'sync', 'nonsense')
    assert (code, out) == (2, '')
    assert 'nonsense' in err


def test_no_server(run, config):
    config.write_text(
        '[database]\nconnection = mysql+pymysql://u:secret@127.0.0.1:1/d\n'
    )
    for words in ('db sync', 'db version'):
        code, out, err = run(*words.split())
        assert (code, out) == (3, '')
        assert err.startswith('The database cannot be used: ')
        assert 'secret' not in err


def test_no_config_file(capsys):
    assert manage.main(['--config-file', '/no/such', 'db', 'version']) == 2
    assert '/no/such' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words',
    [
        [],
        ['db'],
        ['db', 'purge'],
        ['db', 'purge', '--older-than', '-1'],
        ['db', 'purge', '--older-than', 'x'],
    ],
)
def test_bad_usage(words, capsys):
    assert manage.main(words) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert 'see "imagebuild-manage' in error


def test_a_build_is_moved_to_the_front(run, url):
    run('db', 'sync')
    database = db.Database(url)
    first, second = (database.create_build(values()).id for _ in range(2))
    assert run('build', 'prioritize', second, '5') == (0, '', '')
    assert run('build', 'prioritize', first, '-1') == (0, '', '')
    order = [b.id for b in database.list_builds(sort=[('priority', 'desc')])]
    assert order == [second, first]
    database.request_cancel(first)
    code, _, said = run('build', 'prioritize', first, '9')
    assert (code, said) == (
        2,
        f'Build {first} is not in the queue; it is cancelled.\n',
    )
    code, _, said = run('build', 'prioritize', 'none', '9')
    assert (code, 'none' in said) == (2, True)
    code, _, said = run('build', 'prioritize', second, '1001')
    assert (code, '"1001" is not an integer' in said) == (2, True)
    database.close()
