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
"""Tables that are migrated once."""

import pathlib

import pytest

from tools.cloud import tables
from tools.cloud import venv


class Server:
    """In place of MariaDB: what its databases hold."""

    def __init__(self) -> None:
        self.held = {'one': '', 'two': ''}

    def is_empty(self, database: str) -> bool:
        return not self.held[database]

    def dump(self, database: str, file: pathlib.Path) -> None:
        file.write_text(self.held[database])

    def load(self, database: str, file: pathlib.Path) -> None:
        self.held[database] = file.read_text()


def make(server: Server, text: str = 'tables') -> bool:
    def migrate() -> None:
        server.held = dict.fromkeys(server.held, text)

    return tables.make(server, list(server.held), migrate)  # type: ignore


@pytest.fixture(autouse=True)
def environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    monkeypatch.setenv(venv.VARIABLE, str(tmp_path))
    return tmp_path


def test_once_for_all_clouds() -> None:
    assert make(Server()) is True
    second = Server()
    assert make(second, 'others') is False
    assert second.held == {'one': 'tables', 'two': 'tables'}


def test_what_is_in_use_is_migrated_and_not_kept() -> None:
    used = Server()
    used.held['two'] = 'rows'
    assert make(used, 'newer') is True
    assert used.held['two'] == 'newer'
    assert make(Server()) is True


def test_another_environment_has_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(Server())
    monkeypatch.setattr(venv, 'version', lambda: 'f' * 64)
    assert make(Server()) is True


def test_half_of_it(environment: pathlib.Path) -> None:
    make(Server())
    next((environment / 'tables').glob('two-*')).unlink()
    assert make(Server()) is True
