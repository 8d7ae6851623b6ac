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
"""A job as the conductor has one: a process with two pipes."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).parents[2]


class Job:
    """A job in a process of its own.

    :ivar pause: seconds that its reader sleeps after each event.
    """

    pause = 0.0

    def __init__(self, program, errors):
        self._errors = errors.open('w+b')
        self.process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            cwd=ROOT,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
        )
        self.events = []
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            self.events.append(json.loads(line))
            if self.pause:
                time.sleep(self.pause)

    def send(self, document):
        self.process.stdin.write(json.dumps(document).encode() + b'\n')
        self.process.stdin.flush()
        return self

    def wait(self, seconds=60):
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def until(self, wanted, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for event in list(self.events):
                if wanted(event):
                    return event
            time.sleep(0.02)
        raise AssertionError(f'{self.events} {self.stderr}')

    @property
    def stderr(self):
        self._errors.seek(0)
        return self._errors.read().decode()

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self._errors.close()


def is_alive(pid):
    """Whether a process is there and no zombie."""
    try:
        line = pathlib.Path(f'/proc/{pid}/stat').read_bytes()
    except OSError:
        return False
    return line.rpartition(b')')[2].split()[0] != b'Z'


def wait_until_gone(pid, seconds=60):
    end = time.monotonic() + seconds
    while is_alive(pid):
        assert time.monotonic() < end, f'{pid} still lives'
        time.sleep(0.02)
