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
import concurrent.futures
import pathlib
import socket

from tools.cloud import cloud_state


def test_values_outlive_the_object(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / 'new'
    state = cloud_state.State(directory)
    assert state.get('done', 'it') is None
    assert not directory.exists()
    state.mark_done('it')
    port, secret = state.port('server'), state.secret('user')
    later = cloud_state.State(directory)
    assert later.done('it')
    assert later.port('server') == port
    assert later.secret('user') == secret
    assert later.path.stat().st_mode & 0o077 == 0
    later.set('done', 'it', None)
    assert not state.done('it')


def test_no_change_is_lost(tmp_path: pathlib.Path) -> None:
    names = [f'server-{number}' for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ports = list(
            pool.map(lambda n: cloud_state.State(tmp_path).port(n), names)
        )
    assert len(set(ports)) == len(names)
    assert cloud_state.State(tmp_path).section('ports') == dict(
        zip(names, ports, strict=True)
    )


def test_a_port_that_is_listened_on_is_not_free() -> None:
    port = cloud_state.free_port()
    assert port in cloud_state.PORTS
    assert cloud_state.port_is_free(port)
    with socket.create_server((cloud_state.LOOPBACK, port)):
        assert not cloud_state.port_is_free(port)


def test_the_default_directory_is_the_users(monkeypatch) -> None:
    monkeypatch.setenv('XDG_STATE_HOME', '/somewhere')
    expected = pathlib.Path('/somewhere/imagebuild-cloud')
    assert cloud_state.default_directory() == expected
