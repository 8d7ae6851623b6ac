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
"""The contract of the database on real servers, and servers that fail.

MariaDB and PostgreSQL are started from the distribution's packages, once for
all tests. Every test begins with empty tables.
"""

# Fixtures are imported, and asked for by the same name.
# ruff: noqa: F811

import threading
import time

import pytest
import sqlalchemy as sa

from imagebuild import db
from imagebuild import exception
from imagebuild.db import migration
from imagebuild.db import models
from imagebuild.db import transaction
from tests.contract.database import claim
from tests.contract.database import claimable
from tests.contract.database import clock  # noqa: F401
from tests.contract.database import crowded  # noqa: F401
from tests.contract.database import crowds
from tests.contract.database import database  # noqa: F401
from tests.contract.database import finish
from tests.contract.database import start
from tests.contract.database import values
from tests.contract.database.suite import *  # noqa: F403, H303
from tools.cloud.servers import mariadb
from tools.cloud.servers import postgresql

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SERVERS = {'mariadb': mariadb, 'postgresql': postgresql}


@pytest.fixture(scope='session', params=SERVERS)
def server(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    with SERVERS[request.param].running(directory) as server:
        migration.upgrade(server.url('imagebuild'))
        yield server


@pytest.fixture
def url(server):
    server.start()
    url = server.url('imagebuild')
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.update(models.Build).values(leader_id=None))
        for table in reversed(models.Base.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    engine.dispose()
    return url


@pytest.fixture
def blank_url(server):
    server.drop('blank')
    yield server.url('blank')
    server.drop('blank')


class TestServers:
    """Servers that are restarted, killed, and gone."""

    def test_isolation(self, url, database):
        select = {
            'mysql': 'SELECT @@tx_isolation, @@sql_mode',
            'postgresql': 'SHOW transaction_isolation',
        }
        dialect = database._engine.dialect.name
        [found] = database._read(
            lambda session: session.execute(sa.text(select[dialect])).all()
        )
        assert found[0].lower().replace('-', ' ') == 'read committed'
        if dialect == 'mysql':
            assert 'STRICT_ALL_TABLES' in found[1]

    @pytest.mark.parametrize('how', ['restart', 'kill'])
    def test_a_call_waits_for_a_server_that_comes_back(
        self, server, crowded, how
    ):
        build = crowded.create_build(values())
        if how == 'restart':
            server.restart()
        else:
            server.kill()
            comes_back = threading.Timer(1, server.start)
            comes_back.start()
        assert crowded.get_build(build.id) == build
        if how == 'kill':
            comes_back.join()
        assert crowded.claim('c1', job=build.id)

    def test_no_server(self, server, url, database):
        database.ping()
        server.stop()
        quick = db.Database(url, retries=transaction.Retries(seconds=1))
        for each in (database, quick):
            begin = time.monotonic()
            with pytest.raises(exception.DatabaseUnavailable) as caught:
                each.ping()
            # "database" would try for a minute.
            assert time.monotonic() - begin < 45
        begin = time.monotonic()
        with pytest.raises(exception.DatabaseUnavailable):
            quick.list_builds()
        assert 1 <= time.monotonic() - begin < 45
        with pytest.raises(exception.DatabaseUnavailable):
            migration.version(url)
        assert server.state.secret(server.name) not in str(caught.value)
        server.start()
        quick.ping()
        database.ping()
        quick.close()

    def test_work_goes_on_over_kills(self, server, crowded):
        """Builds are made, claimed and ended while the server dies twice."""
        done = []
        over = threading.Event()

        def work(n):
            while not over.is_set():
                build = crowded.create_build(values(project_id=f'p{n}'))
                build = claim(crowded, build.id, f'c{n}')
                assert build is not None
                text = f'{n}\n' * 10
                assert crowded.append_log(build.id, text) == len(text)
                assert crowded.update_build(
                    build.id,
                    {'status': 'uploading'},
                    conductor=f'c{n}',
                    attempt=1,
                    expected_status='building',
                )
                assert finish(crowded, build) is not None
                done.append(build.id)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()

        def go_on():
            before, end = len(done), time.monotonic() + 120
            time.sleep(1)
            while len(done) <= before + 6:
                assert time.monotonic() < end
                time.sleep(0.1)

        try:
            for _ in range(2):
                go_on()
                server.kill()
                server.start()
            go_on()
        finally:
            over.set()
        for thread in threads:
            thread.join(300)
        assert not any(thread.is_alive() for thread in threads)
        assert crowded.count_builds() == {('active', None): len(done)}

    def test_a_transaction_that_is_cut_off(self, server, url, crowded):
        """Nothing is half done."""
        follower_of = start(crowded, content_key='k')
        crowded.create_build(values(content_key='k'))
        real = crowded._writing

        def cut(session):
            session.execute(sa.update(models.Build).values(status='cancelled'))
            server.kill()
            server.start()
            session.execute(sa.select(1))

        with pytest.raises(exception.DatabaseUnavailable):
            crowded._run(cut, real, transaction.Retries(seconds=0))
        assert crowded.get_build(follower_of.id).status == 'building'
        assert claimable(crowded) == []

    @pytest.mark.parametrize('what', ['no_such FROM builds', '1 FROM no_such'])
    def test_what_is_missing_of_the_tables(self, crowded, what):
        crowded.check_tables()
        with pytest.raises(exception.TablesMissing, match='db sync'):
            crowded._read(
                lambda session: session.execute(sa.text(f'SELECT {what}'))
            )

    def test_wrong_password(self, server, url):
        wrong = sa.make_url(url).set(password='wr0ng')
        refused = db.Database(
            wrong.render_as_string(hide_password=False),
            retries=transaction.Retries(seconds=120),
        )
        begin = time.monotonic()
        with pytest.raises(exception.DatabaseUnavailable) as caught:
            refused.list_builds()
        assert time.monotonic() - begin < 90, 'it is not tried again'
        assert 'wr0ng' not in str(caught.value)


class TestCrowds(crowds.CrowdContract):
    pass
