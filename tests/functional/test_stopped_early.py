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
"""A conductor that is stopped while it still starts."""

import threading

from imagebuild.messaging import bus
from tests.functional import conductors


class Server:
    """One whose start takes until the test has it go on."""

    def __init__(self):
        self.go_on, self.starts = threading.Event(), threading.Event()
        self.stopped = threading.Event()

    def start(self):
        self.starts.set()
        assert self.go_on.wait(30)

    def stop(self):
        self.stopped.set()

    def wait(self):
        pass


def test_nobody_serves_the_bus_afterwards(tmp_path, monkeypatch):
    server = Server()
    monkeypatch.setattr(bus, 'get_rpc_server', lambda *_: server)
    database = conductors.make_database(tmp_path)
    with conductors.running(tmp_path):
        assert server.starts.wait(30)
        # While the conductor is being stopped.
        threading.Timer(1, server.go_on.set).start()
    assert server.stopped.wait(30)
    database.close()
