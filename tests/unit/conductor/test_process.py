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

import signal
import threading
import time
from unittest import mock

import pytest

from imagebuild.conductor import process


@pytest.mark.timeout(60)
def test_a_signal_that_another_thread_gets_is_noticed() -> None:
    conductor = mock.MagicMock()
    conductor.running_builds = []
    conf = mock.MagicMock()
    conf.conductor.metrics_port = 0

    def send() -> None:
        time.sleep(0.5)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    process.Process(conf, conductor).run()
    thread.join()
    conductor.drain.assert_called_once_with()
    conductor.stop.assert_called_once_with()
