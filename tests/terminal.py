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
"""A program at a terminal, for tests of what it asks whoever sits there."""

import os
import pty
import select
import subprocess
import time


class Terminal:
    """A program whose standard streams and terminal are one.

    :ivar shown: all that the terminal has shown.
    """

    def __init__(self, argv, **options):
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            ['setsid', '--ctty', '--wait', *map(str, argv)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            **options,
        )
        os.close(slave)
        self.shown = ''

    def read(self, until='', timeout=300):
        """Read until the last of what is shown is that; or until the end."""
        end = time.monotonic() + timeout
        while not until or not self.shown.endswith(until):
            left = end - time.monotonic()
            assert left > 0, self.shown
            if not select.select([self._master], [], [], left)[0]:
                continue
            try:
                piece = os.read(self._master, 65536)
            # The other end is closed.
            except OSError:
                piece = b''
            if not piece:
                assert not until, self.shown
                return
            self.shown += piece.decode('utf-8', 'replace')

    def type(self, prompt, text):
        """Wait for a prompt, and answer it."""
        self.read(prompt)
        os.write(self._master, text.encode())

    def end(self):
        """Wait for the end; returns the exit code."""
        self.read()
        os.close(self._master)
        return self._process.wait(180)
