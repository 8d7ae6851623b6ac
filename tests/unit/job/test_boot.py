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
"""What a build job does around a machine; machines have tests of their own."""

import threading
import time

import pytest

from imagebuild import exception
from imagebuild.boot import boot_test
from imagebuild.job import boot
from imagebuild.job import limits


class Monitor:
    def __init__(self):
        self.lines = []
        self.notices = []
        self.begun = []

    def program_output(self, line):
        self.lines.append(line)

    def notice(self, sentence):
        self.notices.append(sentence)

    def begin(self, what):
        self.begun.append(what)


def test_a_console_that_floods_the_log():
    monitor = Monitor()
    log = boot._Log(monitor)
    for number in range(30_000):
        log.add(f'{number:099d}')
    assert sum(len(line) + 1 for line in monitor.lines) <= 1024**2 + 100
    assert monitor.notices == ['(the console says more than is kept)']
    kept = len(monitor.lines)
    end = '\n'.join(f'last {number}' for number in range(60))
    log.end(boot_test.Outcome((), '', (), end, 1.0))
    assert monitor.lines[kept:] == [f'last {n}' for n in range(10, 60)]


def test_the_end_of_one_that_was_kept_is_not_repeated():
    monitor = Monitor()
    log = boot._Log(monitor)
    log.add('all of it')
    log.end(boot_test.Outcome((), '', (), 'all of it', 1.0))
    assert monitor.lines == ['all of it']


def test_one_machine_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(boot, '_LOOK', 0.01)
    config = {'directory': str(tmp_path / 'machines'), 'max_running': 1}
    monitor, ended = Monitor(), []
    never = limits.Deadline(None, str)

    def second():
        with boot._place(config, monitor, never):
            ended.append('second')

    with boot._place(config, Monitor(), never):
        thread = threading.Thread(target=second)
        thread.start()
        deadline = time.monotonic() + 60
        while not monitor.begun:
            assert time.monotonic() < deadline, 'it does not wait'
            time.sleep(0.01)
        assert not ended
        late = limits.Deadline(0.05, lambda: 'waiting')
        with pytest.raises(exception.BuildTimeout):
            with boot._place(config, Monitor(), late):
                pass
        ended.append('first')
    thread.join(60)
    assert ended == ['first', 'second']
    assert monitor.begun == ['waiting for other machines of this host']


def test_without_a_place_for_locks(tmp_path):
    (tmp_path / 'file').touch()
    config = {'directory': str(tmp_path / 'file/x'), 'max_running': 1}
    with pytest.raises(exception.EnvironmentFault, match='cannot be written'):
        with boot._place(config, Monitor(), limits.Deadline(None, str)):
            pass
    # The job of a conductor of the release before.
    with boot._place({}, Monitor(), limits.Deadline(None, str)):
        pass
