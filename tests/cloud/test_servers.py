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
"""The servers that other tests rely on."""

import os
import pathlib
import signal
import time

import pytest

from tools.cloud.servers import base
from tools.cloud.servers import mariadb
from tools.cloud.servers import postgresql
from tools.cloud.servers import proc
from tools.cloud.servers import rabbitmq

SERVERS = [mariadb.MariaDB, postgresql.PostgreSQL, rabbitmq.RabbitMQ]
DATABASES = [mariadb.MariaDB, postgresql.PostgreSQL]


@pytest.mark.parametrize('kind', SERVERS)
def test_one_life_after_the_other(
    kind: type[base.Server], tmp_path: pathlib.Path
) -> None:
    with kind.running(tmp_path) as server:
        port, pid = server.port, server.pid
        assert pid
        assert server.start() is False
        assert server.pid == pid
        server.kill()
        assert not server.alive
        assert server.start() is True
        assert server.port == port
        assert server.pid != pid
        server.restart()
        assert server.alive
    assert not server.alive
    assert server.processes.names() == []


@pytest.mark.parametrize('kind', DATABASES)
def test_what_was_committed_outlives_a_crash(
    kind: type[mariadb.MariaDB | postgresql.PostgreSQL],
    tmp_path: pathlib.Path,
) -> None:
    with kind.running(tmp_path) as server:
        assert server.url('first') == server.url('first')
        server.query('CREATE TABLE numbers (n INT)', database='first')
        server.query('INSERT INTO numbers VALUES (7)', database='first')
        server.kill()
        server.start()
        read = server.query('SELECT n FROM numbers', database='first')
        assert read.strip() == '7'
        server.drop('first')
        server.drop('first')


def test_a_killed_postgresql_leaves_no_children(
    tmp_path: pathlib.Path,
) -> None:
    with postgresql.running(tmp_path) as server:
        pid = server.pid
        assert pid
        children = [proc.identity(child) for child in _children(pid)]
        assert len(children) > 2
        server.kill()
        assert not [child for child in children if proc.is_same(child)]


def test_a_crash_is_noticed(tmp_path: pathlib.Path) -> None:
    with mariadb.running(tmp_path) as server:
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        end = time.monotonic() + 120
        while server.alive:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert server.start() is True


def _children(pid: int) -> list[int]:
    text = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return [int(word) for word in text.split()]
